"""The search: what is to be measured next, by everything that was measured before. Pure.

One dimension at a time, beginning with the configuration as it is: what might be better races
against the best so far, repetition by repetition, until it is clear what is worse and what is
better; the best of those that are better is the best so far. In the end all that was found is held
against the configuration as it is, with measurements of its own: whatever was chosen by luck shows
there. The same measurements always lead to the same step, so that a search goes on from records.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from quorate.calibration.intervals import Interval
from quorate_bench.tuning.racing import BETTER, FAILED, OPEN, Standing, ratio_interval, standing
from quorate_bench.tuning.space import Dimension, NotTried, Space
from quorate_bench.tuning.variants import Variant

PROPOSAL = "proposal"
"""The race of everything that was found against the configuration as it is."""

AS_IT_IS = Variant()


@dataclass(frozen=True, slots=True)
class Block:
    """One repetition of a race.

    Attributes:
        race: Name of the dimension, or ``PROPOSAL``.
        base: The best so far, which is among those measured.
        values: What each case took, in seconds or joules, by variant.
        problems: Why a variant could not be measured.
        seconds: What all of it took.
    """

    race: str
    base: Variant
    values: Mapping[Variant, Mapping[str, float]]
    problems: Mapping[Variant, str] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a search may be.

    Attributes:
        repetitions: Most repetitions of a race.
        final_repetitions: Repetitions of the last one, whose ratio is what is told.
        seconds: What all of it may take.
    """

    repetitions: int = 5
    final_repetitions: int = 7
    seconds: float = math.inf


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be measured next: each variant once.

    Attributes:
        race: See ``Block``.
        base: The first of the variants.
        variants: What is measured.
        cases: Names of the cases.
        repetition: Which one of this race, from 0.
        left: Measurements of a variant that may follow after it, roughly.
    """

    race: str
    base: Variant
    variants: tuple[Variant, ...]
    cases: tuple[str, ...]
    repetition: int
    left: int


@dataclass(frozen=True, slots=True)
class Race:
    """What came of a dimension.

    Attributes:
        base: The best before it.
        standings: Of each variant that was measured.
        winner: The best after it, or None where that is the base.
    """

    dimension: str
    base: Variant
    standings: Mapping[Variant, Standing]
    winner: Variant | None


@dataclass(frozen=True, slots=True)
class Verification:
    """The proposal against the configuration as it is.

    Attributes:
        ratio: Over all cases; below 1 is better.
        by_case: Of each case.
        before: What each case took as it is, in seconds or joules: median of its repetitions.
        after: With the proposal.
        holds: Whether it is surely better, and surely worse for no case.
        problem: What keeps it from being proposed; "" where it holds.
    """

    ratio: Interval
    by_case: Mapping[str, Interval]
    before: Mapping[str, float]
    after: Mapping[str, float]
    holds: bool
    problem: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of the whole search.

    Attributes:
        races: In their order.
        best: Of all that was found.
        verification: None where nothing was found.
        left_out: Values that do not fit or cannot be.
        not_raced: Dimensions for which there was no time.
    """

    races: tuple[Race, ...]
    best: Variant
    verification: Verification | None
    left_out: tuple[NotTried, ...]
    not_raced: tuple[str, ...]


def advance(space: Space, blocks: Sequence[Block], limits: Limits) -> Step | Outcome:
    """The next step, or what came of all of them.

    Args:
        space: What can be tried.
        blocks: All repetitions so far, in their order.
        limits: How long it may be.
    """
    return _Search(space, blocks, limits).advance()


class _Search:
    def __init__(self, space: Space, blocks: Sequence[Block], limits: Limits) -> None:
        self._space = space
        self._blocks = blocks
        self._limits = limits
        self._cases = {case.name: case.plan.name for case in space.subject.cases()}
        self._races: list[Race] = []
        self._left_out: list[NotTried] = []
        self._not_raced: list[str] = []

    def advance(self) -> Step | Outcome:
        best = AS_IT_IS
        dimensions = self._space.dimensions
        for index, dimension in enumerate(dimensions):
            step = self._race(dimension, best, len(dimensions) - index - 1)
            if step is not None:
                return step
            if self._races and (winner := self._races[-1].winner) is not None:
                best = winner
        if best == AS_IT_IS:
            return self._outcome(best, None)
        blocks = self._of(PROPOSAL)
        lost = next((one.problems[best] for one in blocks if best in one.problems), "")
        if not lost and len(blocks) < self._limits.final_repetitions:
            left = 2 * (self._limits.final_repetitions - len(blocks) - 1) * len(self._cases)
            return Step(PROPOSAL, AS_IT_IS, (AS_IT_IS, best), tuple(self._cases), len(blocks), left)
        return self._outcome(best, _verified(blocks, best, lost))

    def _race(self, dimension: Dimension, best: Variant, further: int) -> Step | None:
        """The next step of a race; None where it is over, or was not begun for want of time."""
        contenders, left_out = self._space.contenders(dimension, best)
        self._left_out += left_out
        blocks = self._of(dimension.name)
        standings = {one: _standing(blocks, best, one, self._limits.repetitions)
                     for one in contenders}  # fmt: skip
        known = {one: found for one, found in standings.items() if found is not None}
        still = [one for one in contenders if one not in known or known[one].verdict == OPEN]
        cases = tuple(name for name, plan in self._cases.items() if plan in dimension.plans)
        if still and self._has_time((1 + len(still)) * len(cases)):
            rest = max(0, self._limits.repetitions - len(blocks) - 1) * (1 + len(still))
            # Of a race that comes, one contender and half of the repetitions are typical.
            later = further * self._limits.repetitions + 2 * self._limits.final_repetitions
            left = rest * len(cases) + later * len(self._cases)
            variants = (best, *still)
            return Step(dimension.name, best, variants, cases, len(blocks), left)
        if still and not blocks:
            self._not_raced.append(dimension.name)
            return None
        if known:
            better = [one for one, found in known.items() if found.verdict == BETTER]
            winner = min(better, key=lambda one: known[one].ratio.value, default=None)
            self._races.append(Race(dimension.name, best, known, winner))
        return None

    def _has_time(self, measurements: int) -> bool:
        """Whether so many measurements still fit, with the last race behind them."""
        spent = sum(one.seconds for one in self._blocks)
        counted = sum(len(values) for one in self._blocks for values in one.values.values())
        each = spent / counted if counted else 0.0
        final = 2 * self._limits.final_repetitions * len(self._cases)
        return spent + each * (measurements + final) <= self._limits.seconds

    def _of(self, race: str) -> list[Block]:
        return [one for one in self._blocks if one.race == race]

    def _outcome(self, best: Variant, verification: Verification | None) -> Outcome:
        return Outcome(
            tuple(self._races), best, verification, tuple(self._left_out), tuple(self._not_raced)
        )


def _standing(
    blocks: Sequence[Block], base: Variant, variant: Variant, wanted: int
) -> Standing | None:
    """How a variant stands in its race; None before its first repetition."""
    for block in blocks:
        if problem := block.problems.get(variant):
            return Standing(Interval(math.inf, math.inf, math.inf), FAILED, problem, 0)
    pairs = _pairs(blocks, base, variant)
    return standing(pairs, wanted) if pairs else None


def _pairs(blocks: Sequence[Block], base: Variant, variant: Variant) -> list[dict[str, float]]:
    return [
        {
            case: math.log(block.values[variant][case] / value)
            for case, value in block.values[base].items()
        }
        for block in blocks
        if variant in block.values and base in block.values
    ]


def _verified(blocks: Sequence[Block], best: Variant, lost: str) -> Verification:
    pairs = _pairs(blocks, AS_IT_IS, best)
    if not pairs:
        nothing = Interval(math.inf, math.inf, math.inf)
        return Verification(nothing, {}, {}, {}, False, lost)
    overall = ratio_interval([math.fsum(pair.values()) / len(pair) for pair in pairs])
    by_case = {case: ratio_interval([pair[case] for pair in pairs]) for case in pairs[0]}
    worse = [case for case, ratio in by_case.items() if ratio.low > 1]
    problem = lost
    if not problem and worse:
        problem = f"it is worse for {worse[0]}"
    if not problem and overall.high >= 1:
        problem = "held against the configuration as it is, no gain is left beyond the noise"
    before, after = (
        {case: _median([one.values[who][case] for one in blocks if who in one.values])
         for case in by_case}
        for who in (AS_IT_IS, best)
    )  # fmt: skip
    return Verification(overall, by_case, before, after, not problem, problem)


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
