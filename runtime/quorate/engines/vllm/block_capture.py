"""Rows behind several tokens of one step, of which vLLM takes logits behind the last alone.

When the scores of prompts would be computed, both of vLLM's model runners have what a step computed
of every token. That place is found by its name and its parameters; where it is not as expected,
there are no blocks, and each row takes a step.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch

from quorate.engines.vllm.logits_capture import CaptureRow, LogitsCapture

_RUNNER_V1_PARAMETERS = ["hidden_states", "num_scheduled_tokens"]
_RUNNER_V2_PARAMETERS = [
    "logits_fn", "hidden_states", "input_batch", "all_token_ids", "num_computed_tokens",
    "prompt_lens",
]  # fmt: skip


class WantedRows(NamedTuple):
    """The rows behind a run of tokens of one request.

    Attributes:
        request: vLLM's request.
        position: Position of the first of these tokens.
        slots: Where in the shared rows they go, one for each token.
        sums: Whether their prefix sums are wanted.
    """

    request: str
    position: int
    slots: Sequence[int]
    sums: bool


class Span(NamedTuple):
    """What one step computes of one request.

    Attributes:
        request: vLLM's request.
        offset: Where its first token stands in the step.
        position: Where that token stands in the request.
        tokens: How many they are.
    """

    request: str
    offset: int
    position: int
    tokens: int


class BlockCapture:
    """Captures wanted rows, in whatever steps their tokens are computed.

    Args:
        capture: Writes them.
        compute_logits: From hidden states to logits, of shape (rows, at least vocabulary); None
            where another process has them.
    """

    def __init__(
        self,
        capture: LogitsCapture,
        compute_logits: Callable[[torch.Tensor], torch.Tensor | None],
    ) -> None:
        self._capture = capture
        self._compute_logits = compute_logits
        self._wanted: dict[str, WantedRows] = {}

    def want(self, wanted: Iterable[WantedRows]) -> None:
        """Takes note of what the next steps are to capture; what was wanted before is forgotten."""
        self._wanted = {rows.request: rows for rows in wanted}

    def take(self, hidden_states: torch.Tensor, spans: Iterable[Span]) -> None:
        """Captures what a step has of it.

        Args:
            hidden_states: Shape (tokens of the step, hidden).
            spans: Every request of the step.
        """
        if not self._wanted:
            return
        places: list[int] = []
        actions: list[CaptureRow] = []
        for span in spans:
            wanted = self._wanted.get(span.request)
            if wanted is None:
                continue
            for index, slot in enumerate(wanted.slots):
                inside = wanted.position + index - span.position
                if 0 <= inside < span.tokens:
                    places.append(span.offset + inside)
                    actions.append(CaptureRow(slot, wanted.sums))
            if wanted.position + len(wanted.slots) <= span.position + span.tokens:
                # Whoever goes back comes by the same positions again.
                del self._wanted[span.request]
        if not places:
            return
        logits = self._compute_logits(hidden_states[places])
        if logits is not None:
            self._capture.apply(logits.to(torch.float32), list(enumerate(actions)))


def install(runner: Any, blocks: BlockCapture) -> bool:
    """Has a model runner of vLLM hand every step to the capture; False where it is another one."""
    if hasattr(runner, "_get_prompt_logprobs_dict"):
        return _on_runner_v1(runner, blocks)
    return _on_runner_v2(runner, blocks)


def _on_runner_v1(runner: Any, blocks: BlockCapture) -> bool:
    compute = runner._get_prompt_logprobs_dict
    known = all(hasattr(runner, name) for name in ("requests", "input_batch", "query_start_loc"))
    if not known or list(inspect.signature(compute).parameters) != _RUNNER_V1_PARAMETERS:
        return False

    def compute_and_capture(hidden_states: Any, num_scheduled_tokens: dict[str, int]) -> Any:
        blocks.take(hidden_states, map(span, num_scheduled_tokens.items()))
        return compute(hidden_states, num_scheduled_tokens)

    def span(scheduled: tuple[str, int]) -> Span:
        request, tokens = scheduled
        offset = int(runner.query_start_loc.np[runner.input_batch.req_id_to_index[request]])
        return Span(request, offset, int(runner.requests[request].num_computed_tokens), tokens)

    runner._get_prompt_logprobs_dict = compute_and_capture
    return True


def _on_runner_v2(runner: Any, blocks: BlockCapture) -> bool:
    if not hasattr(runner, "prompt_logprobs_worker"):
        return False
    worker = runner.prompt_logprobs_worker
    if worker is None:
        # Of several groups of layers, this has not the last.
        return True
    compute = getattr(worker, "compute_prompt_logprobs", None)
    if compute is None or list(inspect.signature(compute).parameters) != _RUNNER_V2_PARAMETERS:
        return False

    def compute_and_capture(
        logits_fn: Any, hidden_states: Any, input_batch: Any, *arguments: Any
    ) -> Any:
        spans = zip(
            input_batch.req_ids,
            input_batch.query_start_loc_np.tolist(),
            input_batch.num_computed_tokens_np.tolist(),
            input_batch.num_scheduled_tokens.tolist(),
            strict=False,
        )
        blocks.take(hidden_states, (Span(*span) for span in spans))
        return compute(logits_fn, hidden_states, input_batch, *arguments)

    worker.compute_prompt_logprobs = compute_and_capture
    return True
