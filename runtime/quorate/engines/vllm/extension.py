"""What the engine has vLLM's workers do besides running steps.

vLLM mixes the class into its own worker class in every process that computes, and calls its
methods by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from vllm.distributed import get_tensor_model_parallel_rank

from quorate.engines.vllm.block_capture import BlockCapture, WantedRows, install
from quorate.engines.vllm.logits_capture import LogitsCapture


class WorkerExtension:
    """Methods of vLLM's worker; ``model_runner`` is the worker's own."""

    model_runner: Any
    _quorate_blocks: BlockCapture

    def quorate_compile_nothing(self) -> None:
        """Has functions that vLLM would compile at their first call run as they are.

        There are some beside the model: the first text that is scored would wait for a compiler.
        """
        torch.compiler.set_stance("force_eager")

    def quorate_mask(self, ids: Sequence[int]) -> None:
        """Gives these tokens no probability, whatever the logits are used for.

        No model may say padding or the beginning of a text, nor the ids with which the embedding is
        filled up. To leave them out of the logits leaves them out of rows, of scores and of what
        vLLM samples alike.
        """
        if not ids:
            return
        model = self.model_runner.model
        compute = model.compute_logits
        masked: dict[torch.device, torch.Tensor] = {}

        def compute_logits(*arguments: Any, **named: Any) -> torch.Tensor | None:
            logits: torch.Tensor | None = compute(*arguments, **named)
            if logits is not None:
                if logits.device not in masked:
                    masked[logits.device] = torch.tensor(ids, device=logits.device)
                there = masked[logits.device]
                LogitsCapture.note_masked(logits[..., there])
                logits.index_fill_(-1, there, -torch.inf)
            return logits

        model.compute_logits = compute_logits

    def quorate_blocks(self) -> bool:
        """Prepares the capture of blocks; False where this vLLM has no place for it.

        It is called behind ``quorate_mask``.
        """
        runner = self.model_runner
        if runner.vllm_config.cache_config.kv_sharing_fast_prefill:
            # Of most tokens not everything is computed.
            return False
        capture = LogitsCapture(runner.device, writes=get_tensor_model_parallel_rank() == 0)
        self._quorate_blocks = BlockCapture(capture, partial(_compute_logits, runner))
        return install(runner, self._quorate_blocks)

    def quorate_want(self, wanted: Sequence[Sequence[Any]]) -> None:
        """Has the next steps capture these rows, each the fields of a ``WantedRows``."""
        self._quorate_blocks.want(WantedRows(*rows) for rows in wanted)

    def quorate_score(self, request: str) -> None:
        """Has the tokens that a known request is given next scored as a prompt's are.

        The second model runner knows from the request's parameters; the first reads them only when
        a request is new.
        """
        pending = getattr(self.model_runner, "num_prompt_logprobs", None)
        if isinstance(pending, dict):
            pending[request] = 0


def _compute_logits(runner: Any, hidden_states: torch.Tensor) -> torch.Tensor | None:
    """As the model does it now: what is masked was put into it when it was loaded."""
    logits: torch.Tensor | None = runner.model.compute_logits(hidden_states)
    return logits
