"""A model made large for machines to which nothing large can be carried."""

from __future__ import annotations

import numpy as np
import pytest
from proving.gpu import Bench, Failed, _holds, drafts, offload
from proving.inflated import inflate

from quorate.engines.scheduler.contract import Chunk
from quorate_registry import Registry
from support.gguf_files import loaded

PROMPT = [5, 300, 17, 44, 260, 9]


def rows(path):
    with loaded(path, sessions=1, context_length=64) as model:
        row = np.empty(len(model.vocabulary), np.float32)
        model.decode([Chunk(0, 0, PROMPT, row)])
        return row


def test_it_says_what_the_small_one_says_and_is_larger(tmp_path):
    small = Registry().resolve("catalogue-specialist").path
    large = tmp_path / "large.gguf"
    inflate(small, large, layers=3, width=1024)
    # Each layer: four matrices of 128 x 128 and three of 128 x 1024; two bytes a weight.
    added = 3 * (4 * 128 * 128 + 3 * 128 * 1024) * 2
    assert large.stat().st_size - small.stat().st_size > added
    # What no model may say is masked in both.
    np.testing.assert_allclose(rows(large), rows(small), atol=0.05)


def bench(taken: int, gpu: bool = True) -> Bench:
    return Bench("127.0.0.1:1", weights=100 << 20, taken=taken << 20, gpu=gpu)


def test_weights_that_stay_out_of_the_gpu_fail_the_proof():
    assert "120 MiB" in offload(bench(120))
    with pytest.raises(Failed, match="loading took 3 MiB of 100 MiB"):
        offload(bench(3))
    assert offload(bench(0, gpu=False)) == "left out"


def test_a_proof_that_breaks_is_told_and_the_next_ones_go_on(capsys):
    def breaks(one: Bench) -> str:
        raise ConnectionError("nobody listens")

    assert not _holds(breaks, bench(0))
    assert _holds(offload, bench(120))
    assert capsys.readouterr().out.splitlines()[0] == "FAILED  breaks: nobody listens"


def test_drafts_are_left_out_where_there_are_none(monkeypatch):
    monkeypatch.setattr("proving.gpu.drafting", lambda mode: {})
    assert drafts(bench(0)).startswith("left out")
