"""The search for better settings, on machines that are made up."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quorate_bench.tuning.racing import MARGIN, ratio_interval, standing
from quorate_bench.tuning.search import AS_IT_IS, PROPOSAL, Limits, Outcome, Step, advance
from quorate_bench.tuning.variants import Variant

from support.tuning import ALONE, PAIR, measured, searched, space

LIMITS = Limits(repetitions=5, final_repetitions=7)
BATCH = ("models", "large", "options", "batch_tokens")
CORES = ("models", "small", "cores")
DRAFTS = ("profiles", "pair", "drafts")


def takes(variant: Variant, case: str) -> float:
    """Half of the cores suit the small model, and drafts cost more than they bring."""
    cores = {0: 1.0, 3: 0.9, 2: 0.8, 1: 1.4}[variant.get(CORES, 0)]
    drafts = {"auto": 1.0, "off": 0.7, "prompt": 0.95}[variant.get(DRAFTS, "auto")]
    return 2.0 * cores * (drafts if case.startswith("pair") else 1.0)


def test_what_is_better_is_found_and_told_with_its_gain() -> None:
    outcome, blocks = searched(space(PAIR, ALONE), takes, LIMITS, noise=0.02)
    assert dict(outcome.best.changes) == {CORES: 2, DRAFTS: "off"}
    found = outcome.verification
    assert found is not None
    assert found.holds
    assert found.by_case["pair, 1 at once"].value == pytest.approx(0.56, rel=0.05)
    assert found.by_case["alone, 1 at once"].value == pytest.approx(0.8, rel=0.05)
    assert found.ratio.low < math.sqrt(0.56 * 0.8) < found.ratio.high
    assert found.before["alone, 1 at once"] == pytest.approx(2.0, rel=0.05)
    assert found.after["alone, 1 at once"] == pytest.approx(1.6, rel=0.05)
    # What is stated comes from repetitions that nothing was chosen by.
    assert sum(one.race == PROPOSAL for one in blocks) == 7


def test_what_is_clearly_worse_is_measured_but_twice_or_once() -> None:
    def one_core_is_bad(variant: Variant, case: str) -> float:
        return {0: 1.0, 3: 1.0, 2: 1.2, 1: 3.5}[variant.get(CORES, 0)]

    outcome, _ = searched(space(ALONE), one_core_is_bad, LIMITS, noise=0.001)
    (race,) = [one for one in outcome.races if one.dimension == "models.small.cores"]
    times = {variant.get(CORES, 0): one.repetitions for variant, one in race.standings.items()}
    assert times == {3: 3, 2: 2, 1: 1}
    verdicts = {variant.get(CORES, 0): one.verdict for variant, one in race.standings.items()}
    assert verdicts == {3: "no better", 2: "worse", 1: "worse"}


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 0.3))
def test_nothing_is_proposed_that_brings_nothing(seed: int, noise: float) -> None:
    outcome, _ = searched(space(PAIR), lambda variant, case: 1.0, LIMITS, noise, seed)
    found = outcome.verification
    # One in forty by chance, of those that came so far by chance; then it costs nothing either.
    assert found is None or not found.holds or found.ratio.high > 0.8


def test_gains_that_are_noise_hardly_ever_hold() -> None:
    runs = [
        searched(space(PAIR), lambda variant, case: 1.0, LIMITS, 0.1, seed)[0] for seed in range(20)
    ]
    assert sum(one.verification is not None and one.verification.holds for one in runs) <= 1


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 200))
def test_a_search_goes_on_from_records_as_if_it_had_not_been_interrupted(
    seed: int, cut: int
) -> None:
    tried = space(PAIR, ALONE)
    outcome, blocks = searched(tried, takes, LIMITS, 0.05, seed)
    assert advance(tried, blocks, LIMITS) == outcome
    known = blocks[: min(cut, len(blocks) - 1)]
    step = advance(tried, known, LIMITS)
    assert isinstance(step, Step)
    block = blocks[len(known)]
    assert (step.race, step.base) == (block.race, block.base)
    assert set(step.variants) == {*block.values, *block.problems}


def test_what_makes_one_plan_worse_is_not_taken_whatever_others_gain() -> None:
    def divided(variant: Variant, case: str) -> float:
        if variant.get(CORES, 0) != 2:
            return 1.0
        return 0.5 if case.startswith("pair") else 1.2

    outcome, _ = searched(space(PAIR, ALONE), divided, LIMITS, noise=0.01)
    assert CORES not in dict(outcome.best.changes)
    (race,) = [one for one in outcome.races if one.dimension == "models.small.cores"]
    whys = {variant.get(CORES, 0): one.why for variant, one in race.standings.items()}
    assert whys[2] == "worse for alone, 1 at once"


def test_a_proposal_that_makes_a_plan_worse_after_all_is_withdrawn() -> None:
    calls = itertools.count()

    def turning(variant: Variant, case: str) -> float:
        """The machine changes before the last race, as when another program begins."""
        next(calls)
        late = phase["race"] == PROPOSAL
        better = variant.get(DRAFTS, "auto") == "off"
        return (1.3 if late else 0.7) if better else 1.0

    phase: dict[str, Any] = {"race": ""}
    tried = space(PAIR)
    blocks = []
    while isinstance(step := advance(tried, blocks, LIMITS), Step):
        phase["race"] = step.race
        blocks.append(measured(step, turning, lambda: 1.0))
    assert isinstance(step, Outcome)
    assert step.verification is not None
    assert not step.verification.holds
    assert step.verification.problem == "it is worse for pair, 1 at once"


def test_a_variant_that_dies_is_left_and_the_search_goes_on() -> None:
    def dying(variant: Variant, case: str) -> float:
        return math.inf if variant.get(DRAFTS, "") == "prompt" else takes(variant, case)

    outcome, blocks = searched(space(PAIR), dying, LIMITS, noise=0.01)
    (race,) = [one for one in outcome.races if one.dimension == "profiles.pair.drafts"]
    found = {variant.get(DRAFTS, ""): one for variant, one in race.standings.items()}
    assert (found["prompt"].verdict, found["prompt"].why) == ("failed", "it died")
    assert outcome.best.get(DRAFTS, "") == "off"
    assert sum("prompt" in str(one.problems) for one in blocks) == 1


@settings(max_examples=10, deadline=None)
@given(st.floats(30.0, 400.0))
def test_a_search_keeps_to_its_time_and_has_its_last_race(seconds: float) -> None:
    limits = Limits(5, 7, seconds)
    outcome, blocks = searched(space(PAIR, ALONE), takes, limits, noise=0.02)
    spent = sum(one.seconds for one in blocks)
    # The first step is made without knowing what one takes.
    longest = max(one.seconds for one in blocks)
    assert spent <= 1.1 * max(seconds, 8 * longest)
    if outcome.best != AS_IT_IS:
        assert outcome.verification is not None
        assert sum(one.race == PROPOSAL for one in blocks) == 7
    assert set(outcome.not_raced) <= {one.name for one in space(PAIR, ALONE).dimensions}


def test_what_there_is_no_time_for_is_told() -> None:
    outcome, _ = searched(space(PAIR), takes, Limits(5, 7, 60.0), noise=0.01)
    assert outcome.races[0].dimension == "profiles.pair.drafts"
    assert "models.large.options.flash_attention" in outcome.not_raced


def test_ratios_hold_the_true_one_about_as_often_as_they_say() -> None:
    import numpy as np

    rng = np.random.default_rng(3)
    found = [ratio_interval(rng.normal(0.0, 0.1, 5)) for _ in range(400)]
    # 95 % of 400 are 380; a binomial spread of 4.4 around it.
    assert 366 <= sum(one.low <= 1 <= one.high for one in found) <= 394


@given(st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=9))
def test_a_ratio_lies_in_its_interval(logs: list[float]) -> None:
    found = ratio_interval(logs)
    assert found.low <= found.value * (1 + 1e-12)
    assert found.value <= found.high * (1 + 1e-12)
    assert math.exp(min(logs)) * (1 - 1e-9) <= found.value <= math.exp(max(logs)) * (1 + 1e-9)


@pytest.mark.parametrize(
    ("logs", "verdict"),
    [
        ([1.0], "open"),
        ([1.2], "worse"),
        ([0.10, 0.30], "worse"),
        ([-0.2, -0.21, -0.19], "better"),
        ([-0.01, 0.0, -0.005], "no better"),
        ([-0.4, 0.1, -0.3], "open"),
        ([-0.4, 0.1, -0.3, 0.2, -0.1], "no better"),
        ([math.log(1 - MARGIN)] * 5, "no better"),
    ],
)
def test_a_verdict_waits_for_what_noise_does_not_explain(logs: list[float], verdict: str) -> None:
    assert standing([{"a": one} for one in logs], 5).verdict == verdict
