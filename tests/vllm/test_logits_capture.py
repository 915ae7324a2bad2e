from __future__ import annotations

import math
import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.engines.byte_order import ByteOrder
from quorate.engines.vllm.captured_rows import CapturedRows
from quorate.sampling.candidates import truncate

pytestmark = pytest.mark.vllm

PIECES = [b"", b"a", b"ab", b"b", b"", b"c"]
"""Token 0 is masked, token 4 ends generation."""


@pytest.fixture
def rows() -> Iterator[CapturedRows]:
    from quorate.engines.vllm.logits_capture import ADDRESS_VARIABLE

    order = ByteOrder(PIECES, {4})
    rows = CapturedRows.create(3, len(PIECES), order.ids.tolist())
    os.environ[ADDRESS_VARIABLE] = rows.address
    yield rows
    del os.environ[ADDRESS_VARIABLE]


def logits(rows: int, seed: int = 0) -> Any:
    import torch

    # Two ids more than the vocabulary has: padding of the embedding.
    values = np.random.default_rng(seed).normal(size=(rows, len(PIECES) + 2)).astype(np.float32)
    values[:, [0, 6, 7]] = -math.inf
    return torch.from_numpy(values)


def expected(row: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    values = row.numpy().astype(np.float64)[: len(PIECES)]
    return values - math.log(np.exp(values).sum())


def test_rows_are_normalised_and_go_to_their_slots(rows: CapturedRows) -> None:
    import torch

    from quorate.engines.vllm.logits_capture import CaptureRow, LogitsCapture

    given_logits = logits(3)
    capture = LogitsCapture(torch.device("cpu"))
    capture.apply(given_logits, [(0, CaptureRow(2, False)), (2, CaptureRow(0, False))])
    np.testing.assert_allclose(rows.all_rows[2], expected(given_logits[0]), atol=1e-6)
    np.testing.assert_allclose(rows.all_rows[0], expected(given_logits[2]), atol=1e-6)
    assert not rows.all_rows[1].any()


def test_the_probability_of_what_is_masked_is_told_for_each_row(rows: CapturedRows) -> None:
    import torch

    from quorate.engines.vllm.logits_capture import CaptureRow, LogitsCapture

    whole = logits(3)
    whole[:, 0] = torch.tensor([0.0, 3.0, -math.inf])
    exact = torch.softmax(whole.to(torch.float64), dim=-1)[:, 0]
    LogitsCapture.note_masked(whole[:, [0]])
    whole[:, 0] = -math.inf
    capture = LogitsCapture(torch.device("cpu"))
    capture.apply(whole, [(0, CaptureRow(2, False)), (1, CaptureRow(0, True))])
    assert rows.all_masked[[2, 0]].tolist() == pytest.approx(exact[:2].tolist(), abs=1e-6)
    # What was noted of other logits says nothing of these.
    capture.apply(logits(2), [(0, CaptureRow(0, False))])
    assert rows.all_masked[0] == 0.0


def test_prefix_sums_are_those_of_the_row(rows: CapturedRows) -> None:
    import torch

    from quorate.engines.vllm.logits_capture import CaptureRow, LogitsCapture

    capture = LogitsCapture(torch.device("cpu"))
    capture.apply(logits(2), [(0, CaptureRow(0, False)), (1, CaptureRow(1, True))])
    order = ByteOrder(PIECES, {4})
    sums = np.empty(len(order) + 1)
    order.prefix_sums(rows.all_rows[1], sums)
    np.testing.assert_allclose(rows.sums(1)[: len(order) + 1], sums, rtol=0, atol=1e-12)
    assert not rows.sums(0).any()


def test_logits_of_rows_that_are_captured_stay_as_they_are(rows: CapturedRows) -> None:
    import torch

    from quorate.engines.vllm.logits_capture import CaptureRow, LogitsCapture

    given_logits = logits(1)
    before = given_logits.clone()
    assert torch.equal(
        LogitsCapture(torch.device("cpu")).apply(given_logits, [(0, CaptureRow(0, True))]), before
    )


def test_one_of_several_processes_with_the_same_logits_writes(rows: CapturedRows) -> None:
    import torch

    from quorate.engines.vllm.logits_capture import CaptureRow, LogitsCapture, Narrow

    given_logits = logits(2)
    capture = LogitsCapture(torch.device("cpu"), writes=False)
    capture.apply(given_logits, [(0, CaptureRow(0, True)), (1, Narrow(1, 1.0, 0.0))])
    assert not rows.all_rows.any()
    assert int(torch.isfinite(given_logits[1]).sum()) == 1


@settings(max_examples=200)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(1, 400),
    top_k=st.integers(0, 450),
    top_p=st.floats(0.01, 1.0),
    min_p=st.floats(0.0, 1.0),
)
def test_what_is_kept_is_what_the_sampler_of_a_vote_keeps(
    seed: int, size: int, top_k: int, top_p: float, min_p: float
) -> None:
    import torch

    from quorate.engines.vllm.logits_capture import Narrow, narrow

    values = np.random.default_rng(seed).normal(scale=4, size=size).astype(np.float32)
    row = torch.from_numpy(values.copy())
    narrow(row, Narrow(top_k, top_p, min_p))
    kept = set(np.flatnonzero(np.isfinite(row.numpy())).tolist())
    wanted = set(truncate(values, top_k, top_p, min_p).tolist())
    # Sums of float64 in another order may differ in the last bit at the edge of the nucleus.
    assert len(kept ^ wanted) <= 1
    assert int(values.argmax()) in kept


def test_without_limits_everything_is_kept() -> None:
    import torch

    from quorate.engines.vllm.logits_capture import Narrow, narrow

    row = torch.tensor([0.0, -50.0, -math.inf, 3.0])
    before = row.clone()
    narrow(row, Narrow(0, 1.0, 0.0))
    assert torch.equal(row, before)


def test_actions_cross_processes_as_plain_values() -> None:
    import json

    from quorate.engines.vllm.logits_capture import (
        CaptureRow,
        Narrow,
        from_extra_args,
        to_extra_args,
    )

    for action in (CaptureRow(7, True), Narrow(40, 0.95, 0.05)):
        crossed = json.loads(json.dumps(to_extra_args(action)))
        assert from_extra_args(crossed) == action
    assert from_extra_args(None) is None
    assert from_extra_args({"other": 1}) is None


def _params(slot: int) -> Any:
    from quorate.engines.vllm.requests import row_params

    return row_params(slot, False)


def test_the_first_runner_moves_requests_within_its_batch(rows: CapturedRows) -> None:
    import torch
    from vllm.sampling_params import SamplingParams
    from vllm.v1.sample.logits_processor.interface import BatchUpdate, MoveDirectionality

    from quorate.engines.vllm.logits_capture_runner_v1 import RunnerV1LogitsCapture

    capture = _without_ranks(RunnerV1LogitsCapture, None, torch.device("cpu"), False)
    added = [(0, _params(0), [], []), (1, _params(1), [], []), (2, SamplingParams(), [], [])]
    capture.update_state(BatchUpdate(batch_size=3, removed=[], added=added, moved=[]))
    given_logits = logits(3)
    capture.apply(given_logits)
    np.testing.assert_allclose(rows.all_rows[1], expected(given_logits[1]), atol=1e-6)
    swap = [(0, 1, MoveDirectionality.SWAP)]
    capture.update_state(BatchUpdate(batch_size=3, removed=[], added=[], moved=swap))
    capture.apply(given_logits)
    np.testing.assert_allclose(rows.all_rows[1], expected(given_logits[0]), atol=1e-6)
    np.testing.assert_allclose(rows.all_rows[0], expected(given_logits[1]), atol=1e-6)
    capture.update_state(BatchUpdate(batch_size=2, removed=[1], added=[], moved=[]))
    rows.all_rows[:] = 0.0
    capture.update_state(None)
    capture.apply(given_logits)
    assert not rows.all_rows[0].any()
    np.testing.assert_allclose(rows.all_rows[1], expected(given_logits[0]), atol=1e-6)


def test_the_second_runner_says_which_row_is_whose(rows: CapturedRows) -> None:
    import torch
    from vllm.sampling_params import SamplingParams

    from quorate.engines.vllm.logits_capture_runner_v2 import RunnerV2LogitsCapture

    capture = _without_ranks(
        RunnerV2LogitsCapture, None, SimpleNamespace(device=torch.device("cpu"))
    )
    assert capture.add_request(5, _params(0))
    assert capture.add_request(9, _params(2))
    assert not capture.add_request(3, SamplingParams())
    given_logits = logits(3)
    context: Any = SimpleNamespace(idx_mapping_np=np.array([9, 3, 5]))
    capture.apply(given_logits, context)
    np.testing.assert_allclose(rows.all_rows[2], expected(given_logits[0]), atol=1e-6)
    np.testing.assert_allclose(rows.all_rows[0], expected(given_logits[2]), atol=1e-6)
    # A slot that another request takes over is no longer the former one's.
    assert not capture.add_request(5, SamplingParams())
    rows.all_rows[:] = 0.0
    capture.apply(given_logits, context)
    assert not rows.all_rows[0].any()


def _without_ranks(kind: Any, *arguments: Any) -> Any:
    """Makes a logits capture outside of vLLM, where no process has a rank."""
    import importlib
    from unittest import mock

    module = importlib.import_module(kind.__module__)
    with mock.patch.object(module, "get_tensor_model_parallel_rank", return_value=0):
        return kind(*arguments)
