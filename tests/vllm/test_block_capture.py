"""Rows behind several tokens of one step, with model runners that are none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.vllm

WIDTH = 4
TWO_REQUESTS = {"a": 3, "b": 4}
"""Tokens of a step; they stand in it one request after the other."""


class Written:
    """Instead of a capture: the first number of each row by its slot."""

    def __init__(self) -> None:
        self.rows: dict[int, float] = {}

    def apply(self, logits: Any, actions: Any) -> Any:
        self.rows |= {action.slot: float(logits[row, 0]) for row, action in actions}
        return logits


def states(tokens: int) -> Any:
    """What was computed of so many tokens: the first number is the place in the step."""
    import torch

    return torch.arange(tokens, dtype=torch.float32).unsqueeze(-1).expand(tokens, WIDTH)


def capture(written: Written, compute: Any = lambda hidden: hidden) -> Any:
    from quorate.engines.vllm.block_capture import BlockCapture

    return BlockCapture(written, compute)


def wanted(request: str, position: int, *slots: int) -> Any:
    from quorate.engines.vllm.block_capture import WantedRows

    return WantedRows(request, position, slots, False)


class FirstRunner:
    """Of vLLM's first model runner, what a step leaves."""

    def __init__(self, computed: dict[str, int]) -> None:
        self.requests = {
            request: SimpleNamespace(num_computed_tokens=count)
            for request, count in computed.items()
        }
        places = {request: index for index, request in enumerate(computed)}
        self.input_batch = SimpleNamespace(req_id_to_index=places)
        starts = np.cumsum([0, *TWO_REQUESTS.values()])
        self.query_start_loc = SimpleNamespace(np=starts)

    def _get_prompt_logprobs_dict(self, hidden_states: Any, num_scheduled_tokens: Any) -> str:
        return "scores"

    def step(self) -> str:
        return self._get_prompt_logprobs_dict(states(7), TWO_REQUESTS)


class SecondRunner:
    """Of vLLM's second model runner, what a step leaves."""

    class Worker:
        def compute_prompt_logprobs(
            self,
            logits_fn: Any,
            hidden_states: Any,
            input_batch: Any,
            all_token_ids: Any,
            num_computed_tokens: Any,
            prompt_lens: Any,
        ) -> str:
            return "scores"

    def __init__(self, computed: dict[str, int]) -> None:
        self.prompt_logprobs_worker = self.Worker()
        tokens = [*TWO_REQUESTS.values()]
        self._batch = SimpleNamespace(
            req_ids=[*computed],
            query_start_loc_np=np.cumsum([0, *tokens]),
            num_computed_tokens_np=np.array([*computed.values()]),
            num_scheduled_tokens=np.array(tokens),
        )

    def step(self) -> str:
        worker: Any = self.prompt_logprobs_worker
        said: str = worker.compute_prompt_logprobs(None, states(7), self._batch, None, None, None)
        return said


@pytest.mark.parametrize("kind", [FirstRunner, SecondRunner])
def test_rows_of_a_step_go_to_their_slots_by_the_position_of_their_tokens(kind: Any) -> None:
    from quorate.engines.vllm.block_capture import install

    written = Written()
    blocks = capture(written)
    runner = kind({"a": 10, "b": 0})
    assert install(runner, blocks)
    assert runner.step() == "scores"
    assert written.rows == {}
    blocks.want([wanted("a", 11, 5, 6), wanted("b", 0, 7, 8, 9), wanted("c", 0, 4)])
    assert runner.step() == "scores"
    assert written.rows == {5: 1.0, 6: 2.0, 7: 3.0, 8: 4.0, 9: 5.0}


def test_a_block_that_comes_in_two_steps_is_captured_in_both() -> None:
    from quorate.engines.vllm.block_capture import Span

    written = Written()
    blocks = capture(written)
    blocks.want([wanted("a", 2, 0, 1, 2)])
    blocks.take(states(3), [Span("a", 0, 0, 3)])
    assert written.rows == {0: 2.0}
    blocks.take(states(6), [Span("b", 0, 2, 4), Span("a", 4, 3, 2)])
    assert written.rows == {0: 2.0, 1: 4.0, 2: 5.0}
    # The request goes back and comes by the same positions.
    blocks.take(states(3), [Span("a", 0, 2, 3)])
    assert written.rows == {0: 2.0, 1: 4.0, 2: 5.0}


def test_what_was_wanted_of_a_call_is_forgotten_with_the_next() -> None:
    from quorate.engines.vllm.block_capture import Span

    written = Written()
    blocks = capture(written)
    blocks.want([wanted("a", 0, 1)])
    blocks.want([])
    blocks.take(states(1), [Span("a", 0, 0, 1)])
    assert written.rows == {}


def test_a_process_without_the_logits_writes_nothing() -> None:
    from quorate.engines.vllm.block_capture import Span

    written = Written()
    blocks = capture(written, lambda hidden: None)
    blocks.want([wanted("a", 0, 1)])
    blocks.take(states(1), [Span("a", 0, 0, 1)])
    assert written.rows == {}


@pytest.mark.parametrize("kind", [FirstRunner, SecondRunner])
def test_a_runner_whose_place_has_other_parameters_is_left_alone(kind: Any) -> None:
    from quorate.engines.vllm.block_capture import install

    runner = kind({"a": 0, "b": 0})
    changed = SimpleNamespace(
        _get_prompt_logprobs_dict=lambda other: None,
        requests={},
        input_batch=None,
        query_start_loc=None,
    )
    if kind is SecondRunner:
        runner.prompt_logprobs_worker.compute_prompt_logprobs = lambda other: None
        changed = runner
    assert not install(changed, capture(Written()))
    assert not install(SimpleNamespace(), capture(Written()))


def test_of_several_groups_of_layers_all_but_the_last_have_nothing_to_do() -> None:
    from quorate.engines.vllm.block_capture import install

    assert install(SimpleNamespace(prompt_logprobs_worker=None), capture(Written()))
