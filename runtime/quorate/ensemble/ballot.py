"""Whole answers that vote: those that say the same are a group, and the heaviest group wins. Pure.

This is self-consistency (Wang et al. 2022, arXiv:2203.11171) where one model gives all answers, and
a weighted majority of models where each gives one.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from quorate.request import AnswerGroup

_NOTHING = Fraction(0)
# Shares that were rounded stand for the fractions of small numbers that they came from.
_MOST_PARTS = 1_000_000


class Ballot:
    """The votes on one question, as they come.

    The group with most weight wins; of equal ones that with the first voter in the plan's order.
    Sums are exact, so that the order in which answers come changes nothing.

    Args:
        weights: Most that each voter's answer can weigh, not negative and finite.
    """

    def __init__(self, weights: Sequence[float]) -> None:
        self._open = {
            voter: Fraction(weight).limit_denominator(_MOST_PARTS)
            for voter, weight in enumerate(weights)
        }
        self._weights: dict[str, Fraction] = {}
        self._voters: dict[str, list[int]] = {}

    def cast(self, voter: int, reading: str | None, share: float = 1.0) -> None:
        """Counts an answer of a voter who gave none yet.

        Args:
            voter: Place in the plan's order.
            reading: What the answer says; None abstains.
            share: How much of its weight counts, in [0, 1].
        """
        weight = self._open.pop(voter) * Fraction(share)
        if reading is None:
            return
        self._weights[reading] = self._weights.get(reading, _NOTHING) + weight
        self._voters.setdefault(reading, []).append(voter)

    def withdraw(self, voter: int) -> None:
        """A voter who gave no answer will give none."""
        self._open.pop(voter)

    def readmit(self, voter: int, weight: float) -> None:
        """A voter who withdrew will give an answer after all."""
        self._open[voter] = Fraction(weight).limit_denominator(_MOST_PARTS)

    @property
    def groups(self) -> Sequence[AnswerGroup]:
        """The groups so far, the winner first."""
        ranked = sorted(self._weights, key=self._rank)
        return [
            AnswerGroup(one, tuple(sorted(self._voters[one])), float(self._weights[one]))
            for one in ranked
        ]

    @property
    def tied(self) -> bool:
        """Whether another group weighs as much as the winner."""
        weights = sorted(self._weights.values(), reverse=True)
        return len(weights) > 1 and weights[0] == weights[1]

    @property
    def settled(self) -> bool:
        """Whether the answers that are still to come cannot make another group win."""
        if not self._open:
            return True
        if not self._weights:
            return False
        winner = min(self._weights, key=self._rank)
        won, coming = self._weights[winner], sum(self._open.values(), _NOTHING)
        first = min(self._voters[winner])
        rivals = [(weight, min(self._voters[one])) for one, weight in self._weights.items()]
        rivals.remove((won, first))
        # All that comes may say what a rival says, or what nobody said before.
        earliest = min(self._open)
        return all(
            weight + coming < won or (weight + coming == won and first < min(voter, earliest))
            for weight, voter in [*rivals, (_NOTHING, earliest)]
        )

    def _rank(self, reading: str) -> tuple[Fraction, int]:
        return -self._weights[reading], min(self._voters[reading])
