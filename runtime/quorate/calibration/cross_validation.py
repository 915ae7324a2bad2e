"""Whether it pays to guess the task of a prompt and to ask the model that is best at it. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from quorate.calibration.folds import split
from quorate.calibration.intervals import Comparison, compare
from quorate.routing.quality import QualityTable, Tally
from quorate.routing.tasks import train_classifier

LEAST_CASES = 40
"""Tagged cases below which nothing is measured."""


@dataclass(frozen=True, slots=True)
class TaggedCase:
    """One question and which models answered it rightly.

    Attributes:
        prompt: Its text.
        task: Its tag.
        right: By model; the same models in every case.
        group: Cases of one group are never trained on and held out at once.
    """

    prompt: str
    task: str
    right: Mapping[str, bool]
    group: str


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """Share of right answers on held-out cases of several ways to choose a model.

    Attributes:
        cases: Held-out cases: all of them, each tested by what was trained without its group.
        best_single: The model that did best on the cases trained on, always.
        guessed: The best model of the task that the classifier guesses.
        by_length: The same with the task guessed by the prompt's length alone.
        by_prior: The same with the most frequent task as the guess.
        told: The same with the task known; no guess can be expected to do better.
        tags_right: Share of the tags guessed rightly.
        comparison: ``guessed`` against ``best_single``.
    """

    cases: int
    best_single: float
    guessed: float
    by_length: float
    by_prior: float
    told: float
    tags_right: float
    comparison: Comparison

    @property
    def pays(self) -> bool:
        """Whether guessing beat the best single model, its interval above 0."""
        return self.comparison.verdict == "better"


def cross_validate_classifier(cases: Sequence[TaggedCase]) -> CrossValidation | None:
    """Measures, by cross-validation over groups, what choosing by guessed task is worth.

    Returns:
        None where there are too few cases, fewer than two tags or fewer than two models.
    """
    masks = split([case.group for case in cases])
    tags = {case.task for case in cases}
    if len(cases) < LEAST_CASES or not masks or len(tags) < 2 or len(cases[0].right) < 2:
        return None
    outcomes: dict[str, list[bool]] = {name: [] for name in _WAYS}
    hits = 0
    for mask in masks:
        training = [case for case, out in zip(cases, mask, strict=True) if not out]
        held_out = [case for case, out in zip(cases, mask, strict=True) if out]
        quality = _measure(training)
        single = _best(quality, training, "")
        best_of = {tag: _best(quality, training, tag) for tag in tags}
        for name, guess_with in _WAYS.items():
            guess = guess_with(training)
            for case in held_out:
                tag = guess(case)
                model = single if tag is None else best_of[tag]
                outcomes[name].append(case.right[model])
                hits += name == "guessed" and tag == case.task
    shares = {name: sum(right) / len(right) for name, right in outcomes.items()}
    return CrossValidation(
        cases=len(cases),
        **shares,
        tags_right=hits / len(cases),
        comparison=compare(outcomes["guessed"], outcomes["best_single"]),
    )


_Guess = Callable[[TaggedCase], "str | None"]


def _by_classifier(training: Sequence[TaggedCase]) -> _Guess:
    classifier = train_classifier([c.prompt for c in training], [c.task for c in training])
    return lambda case: classifier.task(case.prompt)


def _by_length(training: Sequence[TaggedCase]) -> _Guess:
    """The task whose prompts have the nearest mean logarithm of the length."""
    means = {
        tag: float(np.mean([_log_length(c) for c in training if c.task == tag]))
        for tag in sorted({c.task for c in training})
    }
    return lambda case: min(means, key=lambda tag: abs(means[tag] - _log_length(case)))


def _by_prior(training: Sequence[TaggedCase]) -> _Guess:
    most = Counter(sorted(c.task for c in training)).most_common(1)[0][0]
    return lambda case: most


_WAYS: Mapping[str, Callable[[Sequence[TaggedCase]], _Guess]] = {
    "best_single": lambda training: lambda case: None,
    "guessed": _by_classifier,
    "by_length": _by_length,
    "by_prior": _by_prior,
    "told": lambda training: lambda case: case.task,
}


def _log_length(case: TaggedCase) -> float:
    return math.log1p(len(case.prompt))


def _measure(cases: Sequence[TaggedCase]) -> QualityTable:
    measured: dict[tuple[str, str], Tally] = {}
    for case in cases:
        for model, right in case.right.items():
            for task in ("", case.task):
                known = measured.get((model, task), Tally(0.0, 0.0))
                measured[model, task] = Tally(known.right + right, known.cases + 1)
    return QualityTable(measured=measured)


def _best(quality: QualityTable, cases: Sequence[TaggedCase], task: str) -> str:
    return max(sorted(cases[0].right), key=lambda model: quality.expected(model, [model], task))
