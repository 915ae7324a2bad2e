"""Which settings are worth trying, and what is planned out."""

from __future__ import annotations

from typing import Any

import pytest
from quorate_bench.sweep import BenchPlan
from quorate_bench.tuning.facts import Workload
from quorate_bench.tuning.search import AS_IT_IS
from quorate_bench.tuning.space import Space
from quorate_bench.tuning.variants import Variant, changed, variant_of

from support.tuning import ALONE, PAIR, model, space


def names(found: Space) -> list[str]:
    return [one.name for one in found.dimensions]


def values(found: Space, name: str) -> list[Any]:
    (dimension,) = [one for one in found.dimensions if one.name == name]
    return [tuple(one.values()) if len(one) > 1 else next(iter(one.values()))
            for one in dimension.candidates]  # fmt: skip


def test_what_keeps_the_answers_is_tried_and_nothing_else() -> None:
    kept = [
        "profiles.pair.drafts", "models.large.cores", "models.small.cores", "fleet.pin_cores",
        "profiles.pair.drafts_most", "models.large.options.flash_attention",
        "models.small.options.flash_attention",
    ]  # fmt: skip
    assert names(space(PAIR)) == kept
    more = names(space(PAIR, other_answers=True))[len(kept) :]
    assert [one.rpartition(".")[2] for one in more] == ["quantisation"] * 2 + ["kv_type_v"] * 2


def test_cores_are_tried_in_shares_of_those_that_there_are() -> None:
    assert values(space(machine_cores=16), "models.large.cores") == [0, 12, 8, 4]
    assert values(space(machine_cores=2), "models.large.cores") == [0, 1]
    assert "models.large.cores" not in names(space(machine_cores=1))


def test_batches_are_tried_as_far_as_they_differ_for_what_is_read() -> None:
    long = Workload((1,), 700, 16)
    # Of 700 tokens a batch of 1024 reads as many as one of 2048.
    assert values(space(workload=long), "models.large.options.batch_tokens") == [
        512,
        128,
        256,
        1024,
    ]
    short = Workload((1,), 100, 16)
    assert not [one for one in names(space(workload=short)) if "batch" in one]
    small = space(workload=short, models=(model("large", batch_tokens=16), model("small")))
    assert values(small, "models.large.options.batch_tokens") == [16, 128]


def test_sessions_and_cells_only_grow_and_only_where_answers_would_wait_for_them() -> None:
    busy = Workload((1, 64), 128, 64)
    key = "models.small.options.sessions and models.small.options.cells"
    # Sixty-four answers of 192 tokens take 12288 cells; none that are set are the context's 4096.
    assert values(space(ALONE, workload=busy), key) == [(32, 0), (64, 8192), (64, 16384)]
    assert not [one for one in names(space(ALONE)) if "sessions" in one]


def test_what_does_not_fit_into_memory_is_left_out_and_said() -> None:
    tried = space(ALONE, workload=Workload((64,), 128, 64), available_bytes=1.1e9,
                  models=(model("small", 500_000_000),))  # fmt: skip
    (dimension,) = [one for one in tried.dimensions if "cells" in one.name]
    fitting, left_out = tried.contenders(dimension, AS_IT_IS)
    assert not fitting
    assert left_out[0].reason == "no memory: its models take 1.0 GB of 1.1"


def test_what_the_settings_refuse_is_left_out_with_their_reason() -> None:
    tried = space(problem=lambda one: "needs flash attention" if one.changes else "")
    for dimension in tried.dimensions:
        fitting, left_out = tried.contenders(dimension, AS_IT_IS)
        assert not fitting
        assert {one.reason for one in left_out} <= {"needs flash attention"}


def test_nobody_asks_how_far_to_guess_where_nobody_guesses() -> None:
    tried = space(PAIR)
    (most,) = [one for one in tried.dimensions if one.name == "profiles.pair.drafts_most"]
    off = changed(AS_IT_IS, {("profiles", "pair", "drafts"): "off"}, tried.originals)
    assert tried.contenders(most, off) == ([], [])
    assert len(tried.contenders(most, AS_IT_IS)[0]) == 2


def test_a_member_is_named_for_drafts_only_where_nobody_would_guess_by_itself() -> None:
    equal = space(models=(model("large"), model("small", 900_000_000)))
    assert values(equal, "profiles.pair.drafts") == ["auto", "off", "prompt", "small"]
    assert values(space(), "profiles.pair.drafts") == ["auto", "off", "prompt"]
    assert values(space(ALONE), "profiles.alone.drafts") == ["auto", "prompt"]


def test_a_cascade_and_a_plan_of_no_profile_have_no_drafts_to_set() -> None:
    cascade = BenchPlan("careful", {"profile": "careful"}, ("large", "small"))
    lone = BenchPlan("small", {"model": "small"}, ("small",))
    assert not [one for one in names(space(cascade, lone)) if "drafts" in one]


def test_weights_are_made_smaller_only_where_they_have_bits_to_spare() -> None:
    found = space(other_answers=True)
    assert values(found, "models.large.quantisation") == ["", "Q8_0", "Q4_K_M"]
    smaller = found.memory_bytes(Variant(((("models", "large", "quantisation"), "Q8_0"),)))
    assert smaller < found.memory_bytes(AS_IT_IS)


def test_a_change_that_leads_back_is_no_change() -> None:
    tried = space()
    key = ("fleet", "pin_cores")
    once = changed(AS_IT_IS, {key: False}, tried.originals)
    assert once.changes == ((key, False),)
    assert changed(once, {key: True}, tried.originals) == AS_IT_IS
    assert variant_of(once.told()) == once


@pytest.mark.parametrize("told", [[["x", 1]], [[["a", 2], 1]], [[]]])
def test_a_record_of_no_variant_is_refused(told: list[Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        variant_of(told)
