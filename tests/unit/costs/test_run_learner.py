from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from quorate.costs.prediction import RunShape
from quorate.costs.run_learner import RunLearner
from quorate.request import EnergyTier

SHAPE = RunShape(100, 50)


def after(*run: Any) -> RunLearner:
    """A learner that saw one run."""
    learner = RunLearner()
    learner.observe(*run)
    return learner


def test_one_run_sets_the_scale() -> None:
    model = after(SHAPE, 5000.0).model()
    assert model.samples == 1
    assert not model.cold
    assert model.time(SHAPE).mean_ms == pytest.approx(5000.0)
    assert model.time(SHAPE).q90_ms == pytest.approx(15_000.0)


@pytest.mark.parametrize("first_token_ms", [0.0, -1.0, math.nan, 5001.0])
def test_an_impossible_first_token_is_ignored_and_the_run_learned(first_token_ms: float) -> None:
    assert after(SHAPE, 5000.0, first_token_ms).model() == after(SHAPE, 5000.0).model()


@pytest.mark.parametrize("joules", [None, 0.0, -1.0, math.nan, math.inf])
def test_impossible_joules_are_ignored_and_the_run_learned(joules: float | None) -> None:
    model = after(SHAPE, 5000.0, None, joules, EnergyTier.MEASURED).model()
    assert model.samples == 1
    assert model.energy(SHAPE) is None


def test_joules_that_nobody_came_by_are_ignored() -> None:
    model = after(SHAPE, 5000.0, None, 7.0, EnergyTier.UNAVAILABLE).model()
    assert model.energy(SHAPE) is None


def test_energy_is_learned_even_where_the_time_is_not_known() -> None:
    model = after(SHAPE, math.nan, None, 7.0, EnergyTier.ESTIMATED).model()
    prediction = model.energy(SHAPE)
    assert prediction is not None
    assert prediction.joules == pytest.approx(7.0)
    assert prediction.tier is EnergyTier.ESTIMATED
    assert model.cold


def test_measured_energy_replaces_estimates_and_is_not_diluted_by_them() -> None:
    learner = RunLearner()
    for joules, tier in [
        (100.0, EnergyTier.ESTIMATED),
        (7.0, EnergyTier.MEASURED),
        (100.0, EnergyTier.ESTIMATED),
    ]:
        learner.observe(SHAPE, 5000.0, None, joules, tier)
    prediction = learner.model().energy(SHAPE)
    assert prediction is not None
    assert prediction.joules == pytest.approx(7.0)
    assert prediction.tier is EnergyTier.MEASURED


def test_first_tokens_tell_the_cost_of_the_prompt_from_that_of_the_answer() -> None:
    learner = RunLearner()
    for _ in range(60):
        learner.observe(SHAPE, 100 * 7.0 + 50 * 3.0, 100 * 7.0 + 3.0)
    costs = learner.model().work_costs()
    assert costs.prefill * 1000 == pytest.approx(7.0, rel=0.1)
    assert learner.model().first_token_ms(SHAPE) == pytest.approx(703.0, rel=0.05)


def test_a_first_token_that_comes_late_is_corrected() -> None:
    learner = RunLearner()
    for step in range(60):
        prompt = 50 + 10 * (step % 20)
        late_ms = 3 * (prompt * 7.0 + 3.0)
        learner.observe(RunShape(prompt, 500), prompt * 7.0 + 500 * 30.0, late_ms)
    expected = 3 * 703.0
    assert learner.model().first_token_ms(RunShape(100, 500)) == pytest.approx(expected, rel=0.15)


def test_the_first_token_of_a_machine_that_scatters_is_the_median_one() -> None:
    random = np.random.default_rng(1)
    learner = RunLearner()
    for _ in range(200):
        prompt, output = int(random.integers(50, 1000)), int(random.integers(10, 200))
        first_ms = (prompt * 7.0 + 30.0) * float(np.exp(0.5 * random.standard_normal()))
        rest_ms = output * 30.0 * float(np.exp(0.5 * random.standard_normal()))
        learner.observe(RunShape(prompt, output), first_ms + rest_ms, first_ms)
    found = learner.model().first_token_ms(RunShape(500, 100))
    assert found == pytest.approx(3530.0, rel=0.12)


def test_a_wild_first_run_is_forgotten_soon() -> None:
    learner = after(SHAPE, 5.0)
    for _ in range(30):
        learner.observe(SHAPE, 5000.0)
    assert learner.model().time(SHAPE).mean_ms == pytest.approx(5000.0, rel=0.05)


@pytest.mark.parametrize("missing", ["time", "first_token", "energy", "tier"])
@pytest.mark.parametrize("instead", [None, 3, "broken", {}])
def test_a_damaged_state_is_refused(missing: str, instead: Any) -> None:
    sound = after(SHAPE, 5000.0, 400.0, 5.0, EnergyTier.MEASURED).state()
    with pytest.raises(ValueError, match=r"is not|broken"):
        RunLearner.restore({**sound, missing: instead})
