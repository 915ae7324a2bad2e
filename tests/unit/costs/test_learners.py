"""What learners have in common: a model for every moment, and a state that goes on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from quorate.costs.lengths import LengthLearner, LengthModel
from quorate.costs.prediction import RunModel, RunShape
from quorate.costs.prompts import PromptSizeLearner, PromptSizeModel
from quorate.costs.run_learner import RunLearner
from quorate.request import EnergyTier


@dataclass
class Case:
    """A learner, its model before anything was seen, and arguments of ``observe``.

    Attributes:
        usual: The observation of a step.
        impossible: What cannot be true.
    """

    learner: type[Any]
    untaught: Any
    usual: Callable[[int], tuple[Any, ...]]
    impossible: list[tuple[Any, ...]]


RUN = Case(
    RunLearner,
    RunModel(),
    lambda step: (
        RunShape(100 + step, 10 + step % 7, 1 + step % 3),
        900.0 + 11 * step,
        400.0,
        5.0 + 0.1 * step,
        EnergyTier.MEASURED,
    ),
    [(RunShape(100, 50), duration_ms) for duration_ms in (0.0, -5.0, math.nan, math.inf, -math.inf)]
    + [
        (shape, 100.0, 50.0, 3.0, EnergyTier.MEASURED)
        for shape in (
            RunShape(-1, 50),
            RunShape(100, -1),
            RunShape(math.nan, 50),
            RunShape(100, math.inf),
            RunShape(100, 50, 0),
            RunShape(100, 50, math.nan),
            RunShape(100, 50, 1, -1),
        )
    ],
)
LENGTHS = Case(
    LengthLearner,
    LengthModel(),
    lambda step: (10 + step % 9, step % 4 > 0),
    [(tokens, True) for tokens in (-1.0, math.nan, math.inf)],
)
PROMPT_SIZES = Case(
    PromptSizeLearner,
    PromptSizeModel(),
    lambda step: (40 + 97 * (step % 11), 12 + 32 * (step % 11)),
    [(-1, 5), (5, 0), (math.nan, 5), (5, math.nan), (math.inf, 5)],
)
CASES = pytest.mark.parametrize(
    "case", [RUN, LENGTHS, PROMPT_SIZES], ids=["run", "lengths", "sizes"]
)


def taught(case: Case, steps: int = 40) -> Any:
    learner = case.learner()
    for step in range(steps):
        learner.observe(*case.usual(step))
    return learner


@CASES
def test_before_anything_was_seen_it_is_the_default_model(case: Case) -> None:
    assert case.learner().model() == case.untaught


@CASES
def test_the_model_is_the_same_object_until_something_was_learned(case: Case) -> None:
    learner = taught(case)
    first = learner.model()
    assert learner.model() is first
    learner.observe(*case.usual(40))
    assert learner.model() is not first


@CASES
def test_what_cannot_be_true_is_ignored(case: Case) -> None:
    learner = case.learner()
    first = learner.model()
    for observation in case.impossible:
        learner.observe(*observation)
        assert learner.model() is first


@CASES
def test_a_saved_learner_goes_on_where_it_ended(case: Case) -> None:
    first = taught(case)
    second = case.learner.restore(first.state())
    assert second.model() == first.model()
    for learner in (first, second):
        learner.observe(*case.usual(40))
    assert second.model() == first.model()
