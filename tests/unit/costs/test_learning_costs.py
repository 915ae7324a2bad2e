"""Costs learned on a simulated machine with known coefficients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from quorate.costs.prediction import RunShape
from quorate.costs.run_learner import RunLearner
from quorate.request import EnergyTier

RUNS = 400
DRIFT = RUNS // 2
RECOVERY = 40
SEEDS = range(6)


@dataclass
class SimulatedMachine:
    """Takes known times with normal noise of 10 %; from ``DRIFT`` on it is slower by a factor."""

    seed: int
    slowdown: float = 2.0

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)

    def shape(self) -> RunShape:
        """Prompts of 10 to 2000 tokens, answers of 3 to 500, batches of 1 to 8."""
        prompt = np.exp(self.random.uniform(np.log(10), np.log(2000)))
        output = np.exp(self.random.uniform(np.log(3), np.log(500)))
        return RunShape(round(prompt), round(output), int(self.random.integers(1, 9)))

    def noise(self) -> float:
        return float(max(0.5, 1 + 0.1 * self.random.standard_normal()))

    def time_ms(self, shape: RunShape, run: int) -> float:
        """Without noise."""
        step = 20.0 + 4.0 * shape.batch + 0.004 * shape.kv_entries
        usual = 30.0 + 3.0 * shape.prompt_tokens + shape.output_tokens * step
        return usual * (self.slowdown if run >= DRIFT else 1.0)

    def joules(self, shape: RunShape) -> float:
        """Without noise."""
        token = 0.2 + 2e-4 * shape.prompt_tokens + 1.5 / shape.batch
        return 2.0 + 0.05 * shape.prompt_tokens + shape.output_tokens * token


@dataclass
class Course:
    """One number for each run, each made before the run was learned."""

    errors: list[float]
    covered: list[bool]


def time_course(machine: SimulatedMachine) -> Course:
    learner = RunLearner()
    course = Course([], [])
    for run in range(RUNS):
        shape = machine.shape()
        actual = machine.time_ms(shape, run) * machine.noise()
        prediction = learner.model().time(shape)
        course.errors.append(abs(prediction.mean_ms / actual - 1))
        course.covered.append(actual <= prediction.q90_ms)
        learner.observe(shape, actual)
    return course


@pytest.mark.parametrize("seed", SEEDS)
def test_after_thirty_runs_the_median_error_of_time_is_below_twelve_percent(seed: int) -> None:
    errors = time_course(SimulatedMachine(seed)).errors
    assert np.median(errors[30:DRIFT]) <= 0.12


@pytest.mark.parametrize("slowdown", [2.0, 0.5])
@pytest.mark.parametrize("seed", SEEDS)
def test_it_recovers_within_forty_runs_of_a_drift(seed: int, slowdown: float) -> None:
    errors = time_course(SimulatedMachine(seed, slowdown)).errors
    assert np.median(errors[DRIFT : DRIFT + 3]) > 0.4
    assert np.median(errors[DRIFT + RECOVERY - 20 : DRIFT + RECOVERY]) <= 0.12
    assert np.median(errors[DRIFT + RECOVERY :]) <= 0.12


@pytest.mark.parametrize("slowdown", [2.0, 0.5, 1.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_nine_of_ten_runs_stay_below_q90(seed: int, slowdown: float) -> None:
    covered = time_course(SimulatedMachine(seed, slowdown)).covered
    counted = covered[:DRIFT] + covered[DRIFT + RECOVERY :]
    assert 0.85 <= np.mean(counted) <= 0.95


@pytest.mark.parametrize("seed", SEEDS)
def test_q90_of_energy_covers_and_its_error_is_small(seed: int) -> None:
    machine = SimulatedMachine(seed)
    learner = RunLearner()
    errors, covered = [], []
    for run in range(RUNS):
        shape = machine.shape()
        actual = machine.joules(shape) * machine.noise()
        prediction = learner.model().energy(shape)
        if prediction is not None and run >= 30:
            errors.append(abs(prediction.joules / actual - 1))
            covered.append(actual <= prediction.q90_joules)
        learner.observe(shape, 1000.0, None, actual, EnergyTier.MEASURED)
    assert len(errors) == RUNS - 30
    assert np.median(errors) <= 0.12
    assert 0.85 <= np.mean(covered) <= 0.95
