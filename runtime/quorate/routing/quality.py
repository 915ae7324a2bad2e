"""How good an answer is expected to be: measured where it was, assumed where it was not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

ASSUMED = 0.5
"""Share of right answers of a model that nothing is known of."""

ASSUMED_SPECIALIST = 0.6
"""The same of a specialist on its own tasks."""

ASSUMED_OUTSIDER = 0.4
"""The same of a specialist on any other task."""

ASSUMED_GAIN = 0.01
"""What each further member of an ensemble is assumed to add.

An open choice is answered by a vote as long as nobody has measured what that is worth.
"""

MOST_RATINGS = 20
"""Ratings of a caller that count, of one vote and task: the latest ones."""

MOST_MOVED = 0.1
"""Farthest that ratings move an expected share of right answers."""

_PRIOR_CASES = 4.0
# Labelled cases say more than ratings: a caller tells of what it looked at.
_PRIOR_RATINGS = 20.0


@dataclass(frozen=True, slots=True)
class Tally:
    """Labelled cases: how many were there, and how many were answered rightly."""

    right: float
    cases: float


@dataclass(frozen=True, slots=True)
class QualityTable:
    """What is known of the quality of models and votes.

    Attributes:
        measured: Tallies by key of a vote (``forecast.vote_key``) and task; task "" is all of them.
        declared: What the operator expects of a model, by id, in [0, 1].
        tasks: Tags of what a model is made for, by id; a model without is for everything.
        rated: What the caller said of answers, by key of a vote and task.
    """

    measured: Mapping[tuple[str, str], Tally] = field(default_factory=dict)
    declared: Mapping[str, float] = field(default_factory=dict)
    tasks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    rated: Mapping[tuple[str, str], Tally] = field(default_factory=dict)

    def expected(self, key: str, models: Sequence[str], task: str) -> float:
        """Expected share of right answers of one vote, by its key and members; task "" is any.

        What was measured counts as far as there were cases, and pulls towards it what is assumed:
        the mean of a Beta distribution whose prior is worth some cases. A task of which nothing was
        measured goes by all tasks. What the caller said of answers to such requests moves it a
        little, in the same way.
        """
        prior = self._assumed(models, task)
        for tag in dict.fromkeys(("", task)):
            tally = self.measured.get((key, tag))
            if tally is not None and tally.cases > 0:
                prior = (tally.right + _PRIOR_CASES * prior) / (tally.cases + _PRIOR_CASES)
        rated = self.rated.get((key, task))
        return prior if rated is None else _moved(prior, rated)

    def error(self, key: str, task: str) -> float | None:
        """Standard error of a share that was measured; None where nothing was.

        That of a Beta distribution with the cases and the prior of ``expected``, at its widest for
        a share as far from a half as the measured one.
        """
        tally = self.measured.get((key, task)) or self.measured.get((key, ""))
        if tally is None or tally.cases <= 0:
            return None
        cases = tally.cases + _PRIOR_CASES
        share = (tally.right + _PRIOR_CASES * ASSUMED) / cases
        return math.sqrt(share * (1.0 - share) / (cases + 1.0))

    def is_outsider(self, model: str, task: str) -> bool:
        """Whether a model is made for other tasks than this one."""
        tags = self.tasks.get(model, ())
        return bool(tags) and task not in tags

    def _assumed(self, models: Sequence[str], task: str) -> float:
        best = max((self._assumed_of_one(model, task) for model in models), default=ASSUMED)
        return min(1.0, best + ASSUMED_GAIN * (len(models) - 1))

    def _assumed_of_one(self, model: str, task: str) -> float:
        if self.is_outsider(model, task):
            return ASSUMED_OUTSIDER
        if model in self.declared:
            return self.declared[model]
        return ASSUMED_SPECIALIST if self.tasks.get(model) else ASSUMED


def _moved(expected: float, rated: Tally) -> float:
    told = (rated.right + _PRIOR_RATINGS * expected) / (rated.cases + _PRIOR_RATINGS)
    return min(max(told, expected - MOST_MOVED), expected + MOST_MOVED)
