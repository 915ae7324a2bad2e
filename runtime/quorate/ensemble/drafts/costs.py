"""What drafts cost and how often they are right, as measured, for one set of members. Pure.

Times are of what the members compute, in seconds; nothing here has a clock.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise
from statistics import median

KEPT_SETS = 64
"""Sets of members whose figures are kept, those that were used last."""

_KEPT_TIMES = 7
# What a further row of a block adds at least, as a share of the first: less is noise.
_LEAST_SLOPE = 0.1
# Trials that a share is an average over, of one request and of all of them.
_WINDOW = 16
_LONG_WINDOW = 512
# Trials that what is known of other requests counts for.
_PRIOR_TRIALS = 6


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
    """What blocks of so many rows take."""

    def __init__(self) -> None:
        self._times: dict[int, Recent] = {}

    def add(self, rows: int, seconds: float) -> None:
        """Adds the time of a block."""
        self._times.setdefault(rows, Recent()).add(seconds)

    @property
    def count(self) -> int:
        """How many blocks there were."""
        return sum(one.count for one in self._times.values())

    def seconds(self, rows: int, single: float, slope: float) -> float:
        """What a block takes, between and beyond those that were measured.

        Args:
            rows: Its rows.
            single: What one row takes, where that was not measured.
            slope: What each further one adds, as a share of ``single``, where nothing was measured.
        """
        known = {1: single} | {rows: one.seconds for rows, one in self._times.items()}
        if rows in known:
            return known[rows]
        least = _LEAST_SLOPE * single
        if len(known) == 1:
            return single * (1 + slope * (rows - 1))
        points = sorted(known.items())
        for (low, below), (high, above) in pairwise(points):
            if low < rows < high:
                return below + (above - below) * (rows - low) / (high - low)
        (low, below), (high, above) = points[-2:]
        return above + max(least, (above - below) / (high - low)) * (rows - high)


@dataclass(slots=True)
class Share:
    """How often guesses are right: a moving average, weighed against an earlier one.

    Attributes:
        window: Trials that it remembers.
    """

    right: float
    trials: float
    window: int = _WINDOW

    def add(self, right: bool) -> None:
        """Adds a guess."""
        kept = 1 - 1 / self.window
        self.right = self.right * kept + right
        self.trials = self.trials * kept + 1

    @property
    def value(self) -> float:
        """The share."""
        return self.right / self.trials

    def begun(self) -> Share:
        """Where a request begins that knows of this one."""
        return Share(self.value * _PRIOR_TRIALS, _PRIOR_TRIALS)


def _shares() -> dict[tuple[Guesser, int], Share]:
    first = {(Guesser.MEMBER, 0): 0.7}
    first |= {(Guesser.LOOKUP, grade): 0.35 + 0.15 * grade for grade in range(4)}
    return {key: Share(value * 8, 8, _LONG_WINDOW) for key, value in first.items()}


@dataclass(slots=True)
class Costs:
    """What is known of one set of members, shared by all requests.

    Attributes:
        together: A step of everybody.
        alone: A step of the member that guesses.
        blocks: Of the others behind a guessing member, and of everybody behind a look-up.
        shares: How often guesses are right, by who guesses and ``grade_of`` a look-up.
        allowance: Seconds that trials may lose.
        waited: Symbols since the last trial.
        patience: Symbols between trials that do not pay.
    """

    together: Recent = field(default_factory=Recent)
    alone: Recent = field(default_factory=Recent)
    blocks: dict[Guesser, Blocks] = field(
        default_factory=lambda: {guesser: Blocks() for guesser in Guesser}
    )
    shares: dict[tuple[Guesser, int], Share] = field(default_factory=_shares)
    allowance: float = 0.0
    waited: int = 0
    patience: int = 64


def grade_of(agreeing: int) -> int:
    """How good the guess of a look-up is, from 0, by how many symbols agree."""
    return (agreeing >= 3) + (agreeing >= 5) + (agreeing >= 8)


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
