"""What drafts cost and how often they are right, as measured, for one set of members. Pure.

Times are of what the members compute, in seconds; nothing here has a clock.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import combinations
from statistics import median
from typing import NamedTuple

KEPT_SETS = 64
"""Sets of members whose figures are kept, those that were used last."""

_KEPT_TIMES = 7
# Part of the guesses thought to be right that must be, for what is thought of them to be believed.
_BELIEVED = 0.75
# Calls after which the times of so many rows are forgotten, since the machine may have changed.
_KEPT_CALLS = 128
# What a row adds beyond the only block that was measured, as a share of the first.
_LIKELY_SLOPE = 0.1
# Trials that a share is an average over.
_LONG_WINDOW = 512


class Guesser(Enum):
    """Who guesses: a member by its own choices, or nobody but what was said before."""

    MEMBER = "member"
    LOOKUP = "lookup"


class Recent:
    """The median of the last few times; what is slow once is no measure."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=_KEPT_TIMES)
        self.count = 0
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        """Adds a time."""
        self._times.append(seconds)
        self.count += 1
        self.seconds = median(self._times)


class Blocks:
    """What so many rows in one call take.

    Between the numbers of rows that were measured it is on straight lines, which never fall. On
    some machines the first row but one costs most, on others each costs as much; which it is here
    is not known before few rows were tried, and what is thought cheap is tried.

    Attributes:
        count: How many blocks there were, of two rows or more.
        single: What one row takes; None where that was not measured.
    """

    def __init__(self) -> None:
        self.count = 0
        self.single: float | None = None
        self._calls = 0
        self._times: dict[int, Recent] = {}
        self._added: dict[int, int] = {}
        # What each row adds beyond the most that were measured; None where nothing says it.
        self._slope: float | None = None
        self._points: list[tuple[int, float]] = []
        self._lines: tuple[float, list[tuple[int, float]]] | None = None

    def add(self, rows: int, seconds: float) -> None:
        """Adds the time of a block, or of one row."""
        self.count += rows > 1
        self._calls += 1
        self._times.setdefault(rows, Recent()).add(seconds)
        self._added[rows] = self._calls
        for old in [one for one, at in self._added.items() if self._calls - at > _KEPT_CALLS]:
            del self._times[old], self._added[old]
        self.single = self._times[1].seconds if 1 in self._times else None
        self._fit()

    def seconds(self, rows: int, single: float, slope: float) -> float:
        """What so many rows take.

        Args:
            rows: At least 1.
            single: What one takes, where that was not measured.
            slope: What each further one adds, as a share of that, where no block was measured.
        """
        first = single if self.single is None else self.single
        if rows == 1:
            return first
        if not self._points:
            return first * (1 + slope * (rows - 1))
        if self._lines is None or self._lines[0] != first:
            self._lines = first, _never_falling([(1, first), *self._points])
        points = self._lines[1]
        at = bisect_right(points, (rows, math.inf))
        if at == len(points):
            step = _LIKELY_SLOPE * first if self._slope is None else self._slope
            return points[-1][1] + step * (rows - points[-1][0])
        (left, low), (right, high) = points[at - 1], points[at]
        return low + (high - low) * (rows - left) / (right - left)

    def _fit(self) -> None:
        self._points = sorted((rows, one.seconds) for rows, one in self._times.items() if rows > 1)
        self._lines = None
        # The median of all slopes (Theil, Sen); more rows never take less time.
        slopes = [(u - t) / (m - n) for (n, t), (m, u) in combinations(self._points, 2)]
        self._slope = max(0.0, median(slopes)) if slopes else None


def _never_falling(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """The nearest values that never fall, where that is measured by squares.

    Neighbours that fall are put together until none do (Ayer et al. 1955).
    """
    pools: list[tuple[float, int]] = []
    for _, value in points:
        mean, count = value, 1
        while pools and pools[-1][0] > mean:
            before, more = pools.pop()
            mean = (mean * count + before * more) / (count + more)
            count += more
        pools.append((mean, count))
    values = [mean for mean, count in pools for _ in range(count)]
    return [(rows, value) for (rows, _), value in zip(points, values, strict=True)]


@dataclass(slots=True)
class Share:
    """How often guesses are right: a moving average, weighed against an earlier one.

    Attributes:
        window: Trials that it remembers.
    """

    right: float
    trials: float
    window: int

    def add(self, right: bool, trials: float = 1.0) -> None:
        """Adds a guess; ``trials`` is in how many it would be right by what was thought of it."""
        kept = 1 - 1 / self.window
        self.right = self.right * kept + right
        self.trials = self.trials * kept + trials

    @property
    def value(self) -> float:
        """The share."""
        return self.right / self.trials

    def begun(self, known: Known) -> Share:
        """Where a request begins that knows of this one."""
        trials = min(known.trials, self.trials)
        return Share(self.value * trials, trials, known.window)


class Known(NamedTuple):
    """What is known of other requests, to one that begins.

    Attributes:
        trials: As how many of its own it counts, at most.
        window: Trials that the request remembers.
    """

    trials: int
    window: int


_OF_ALL = Known(12, 32)
"""Of guesses whatever they are, which differ from text to text."""
_OF_AGREEING = Known(6, 16)
"""Of look-ups: one text repeats itself, and another one does not."""
_OF_SURE = Known(24, 64)
"""Of guesses of a member that is so sure, which hardly do."""


class Shares:
    """How often guesses of one kind are right, by how sure whoever guesses is.

    Attributes:
        whole: The share of all of them.
    """

    def __init__(
        self,
        borders: Sequence[float],
        grades: Sequence[Share],
        whole: Share,
        known: Known,
    ) -> None:
        self.whole = whole
        self._borders = borders
        self._grades = grades
        self._known = known
        # How many are right of those that were thought to be.
        self._borne_out = Share(8.0, 8.0, 16)

    @classmethod
    def likely(
        cls, borders: Sequence[float], shares: Sequence[float], whole: float, known: Known
    ) -> Shares:
        """What is thought where nothing was seen.

        Args:
            borders: From which sureness on the next grade begins, ascending.
            shares: Of each grade, one more than there are borders.
            whole: Of all guesses.
            known: How a request begins that knows of these.
        """
        grades = [Share(share * 8, 8, _LONG_WINDOW) for share in shares]
        return cls(borders, grades, Share(whole * 8, 8, _LONG_WINDOW), known)

    def of(self, sure: float) -> float:
        """The share of guesses that are as sure as that."""
        borne_out = self._borne_out.value
        return self._grade(sure).value * (borne_out if borne_out < _BELIEVED else 1.0)

    def add(self, sure: float, right: bool) -> None:
        """Adds a guess."""
        grade = self._grade(sure)
        self._borne_out.add(right, grade.value)
        grade.add(right)
        self.whole.add(right)

    def begun(self) -> Shares:
        """Where a request begins that knows of these."""
        grades = [one.begun(self._known) for one in self._grades]
        return Shares(self._borders, grades, self.whole.begun(_OF_ALL), self._known)

    def _grade(self, sure: float) -> Share:
        return self._grades[bisect_right(self._borders, sure)]


# A member's guess is as sure as it is probable to this member, one of a look-up as many symbols
# agree with those before it. Equal weights of two members are thought of.
_PROBABLE = (0.15, 0.3, 0.45, 0.6, 0.8, 0.95)
_CHOSEN = (0.3, 0.6, 0.8, 0.87, 0.94, 0.98, 0.99)
_DRAWN = (0.75, 0.75, 0.78, 0.78, 0.8, 0.85, 0.98)
_AGREEING = (3, 5, 8)
_LOOKED_UP = (0.35, 0.5, 0.65, 0.8)


@dataclass(slots=True)
class Costs:
    """What is known of one set of members, shared by all requests.

    Attributes:
        together: A step of everybody.
        alone: A step of the member that guesses.
        blocks: Of the others behind a guessing member, and of everybody behind a look-up.
        chosen: How often a member's guesses are right where it guesses its best token.
        drawn: The same where it draws its guesses.
        looked_up: The same of look-ups.
        lone: A step of one member that a symbol is drawn from, by model; it reads what it owes.
        lone_since_together: How many of these there were since a step of everybody was measured.
        allowance: Seconds that trials may lose.
        waited: Symbols since somebody guessed last.
        patience: Symbols after which it is tried again.
    """

    together: Recent = field(default_factory=Recent)
    alone: Recent = field(default_factory=Recent)
    blocks: dict[Guesser, Blocks] = field(
        default_factory=lambda: {guesser: Blocks() for guesser in Guesser}
    )
    chosen: Shares = field(
        default_factory=lambda: Shares.likely(_PROBABLE, _CHOSEN, 0.75, _OF_SURE)
    )
    drawn: Shares = field(default_factory=lambda: Shares.likely(_PROBABLE, _DRAWN, 0.75, _OF_SURE))
    looked_up: Shares = field(
        default_factory=lambda: Shares.likely(_AGREEING, _LOOKED_UP, 0.5, _OF_AGREEING)
    )
    lone: dict[str, Recent] = field(default_factory=dict)
    lone_since_together: int = 0
    allowance: float = 0.0
    waited: int = 0
    patience: int = 64

    def forget_times(self) -> None:
        """Whatever drafts took before: the machine may have changed."""
        self.alone, self.waited, self.lone = Recent(), 0, {}
        self.blocks = {guesser: Blocks() for guesser in Guesser}


class KnownCosts:
    """The costs of the sets of members that votes of this server are made of."""

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, Costs] = OrderedDict()

    def of(self, members: Hashable) -> Costs:
        """Those of one set; the one that was not used for longest makes room for a new one."""
        costs = self._known.setdefault(members, Costs())
        self._known.move_to_end(members)
        if len(self._known) > KEPT_SETS:
            self._known.popitem(last=False)
        return costs
