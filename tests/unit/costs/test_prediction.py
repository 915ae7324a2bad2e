from __future__ import annotations

import pytest

from quorate.costs.prediction import EnergyModel, RunModel, RunShape
from quorate.costs.residuals import UNTRIED_RATIO
from quorate.costs.run_learner import RunLearner
from quorate.request import EnergyTier
from quorate.request.work import WorkCosts

MODEL = RunModel(
    samples=9,
    time_coefficients=(10.0, 2.0, 20.0, 5.0, 0.01),
    time_spread=1.5,
    first_token_ratio=1.1,
    energy_model=EnergyModel((1.0, 0.1, 0.5, 0.001, 0.002, 3.0), 1.2, EnergyTier.MEASURED),
)
SHAPE = RunShape(prompt_tokens=100, output_tokens=50, batch=4, cached_tokens=25)


def test_the_time_is_the_sum_of_its_parts() -> None:
    prediction = MODEL.time(SHAPE)
    assert prediction.mean_ms == pytest.approx(10 + 200 + 50 * (20 + 5 * 4 + 0.01 * 150))
    assert prediction.q90_ms == pytest.approx(1.5 * prediction.mean_ms)


def test_the_features_of_time_times_its_coefficients_are_the_time() -> None:
    pairs = zip(MODEL.time_coefficients, SHAPE.time_features(), strict=True)
    total = sum(coefficient * feature for coefficient, feature in pairs)
    assert MODEL.time(SHAPE).mean_ms == pytest.approx(total)


def test_the_first_token_needs_the_prompt_and_one_step() -> None:
    expected = 1.1 * (10 + 200 + 20 + 5 * 4 + 0.01 * 125.5)
    assert MODEL.first_token_ms(SHAPE) == pytest.approx(expected)


def test_the_energy_is_the_sum_of_its_parts_and_falls_with_the_batch() -> None:
    prediction = MODEL.energy(SHAPE)
    assert prediction is not None
    expected = 1 + 10 + 50 * (0.5 + 0.001 * 125 + 0.002 * 50 + 3 / 4)
    assert prediction.joules == pytest.approx(expected)
    assert prediction.q90_joules == pytest.approx(1.2 * expected)
    assert prediction.tier is EnergyTier.MEASURED
    alone = MODEL.energy(RunShape(100, 50, 1, 25))
    assert alone is not None
    assert alone.joules == pytest.approx(expected + 50 * 3 * (1 - 1 / 4))


def test_without_an_energy_model_there_is_no_figure() -> None:
    assert RunModel().energy(SHAPE) is None


def test_a_model_that_saw_nothing_is_cold_and_wide() -> None:
    model = RunModel()
    assert model.cold
    assert model.time(SHAPE).q90_ms == pytest.approx(UNTRIED_RATIO * model.time(SHAPE).mean_ms)
    assert not MODEL.cold


def test_throughput_rises_with_the_batch_less_than_in_proportion() -> None:
    assert MODEL.tokens_per_second(1) == pytest.approx(1000 / 25)
    assert MODEL.tokens_per_second(8) == pytest.approx(8000 / 60)
    assert MODEL.tokens_per_second(8, kv_entries=1000) == pytest.approx(8000 / 70)


def test_throughput_is_unknown_where_steps_took_no_time() -> None:
    assert RunModel(1, (10.0, 2.0, 0.0, 0.0, 0.0)).tokens_per_second(4) is None


def test_the_costs_of_work_are_in_seconds() -> None:
    assert MODEL.work_costs() == WorkCosts(prefill=0.002, decode=0.025, kv=1e-5)


def test_no_energy_is_thought_to_be_saved_by_a_larger_batch_than_was_ever_seen() -> None:
    learner = RunLearner()
    for _ in range(12):
        learner.observe(RunShape(2, 10, 1), 100.0, joules=10.0, tier=EnergyTier.MEASURED)
    alone, together = (learner.model().energy(RunShape(2, 10, batch)) for batch in (1, 64))
    assert together == alone
    for _ in range(12):
        learner.observe(RunShape(2, 10, 8), 100.0, joules=4.0, tier=EnergyTier.MEASURED)
    eight, more = (learner.model().energy(RunShape(2, 10, batch)) for batch in (8, 64))
    assert more == eight
    assert alone is not None
    assert eight is not None
    assert eight.joules < alone.joules
