"""Several members' next-token distributions become one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quorate.engines.contract import LogProbs
from quorate.ensemble.mixture import Mixture
from quorate.ensemble.rules import geometric, linear, majority
from quorate.request import CombinationRule
from quorate.sampling.peaks import FEW_ENTRIES, Maxima

_LEAST_WEIGHT = float(np.finfo(np.float32).smallest_subnormal)


class Fuser:
    """Mixes the members' distributions, step after step, in buffers it owns.

    It checks no weights: they come normalised from whoever chose the plan.

    Attributes:
        tied: After a majority vote that ended in a tie, the tokens that share the most votes, the
            one that won first; otherwise empty.
    """

    def __init__(self, rule: CombinationRule) -> None:
        self.tied: tuple[int, ...] = ()
        self._rule = rule
        self._size_buffers(0)

    def fuse(
        self,
        rows: Sequence[LogProbs],
        weights: Sequence[float],
        maxima: Sequence[Maxima | None] = (),
    ) -> Mixture:
        """Mixes one step.

        A member whose weight vanishes in float32 has no part in it, since 0 times -inf is not a
        number. One member alone is a vote of one: its own row is the answer, under every rule.

        Args:
            rows: Each member's normalised log-probs, float32 of shape (vocabulary,), not modified.
            weights: As many weights, not negative, summing to 1.
            maxima: Of each row, where they are known; see ``Mixture``.

        Returns:
            The mixture, which is to be read before the next call.

        Raises:
            ValueError: No member with a weight, or not as many weights as rows.
        """
        if len(rows) != len(weights):
            raise ValueError(f"{len(rows)} rows and {len(weights)} weights cannot be mixed")
        if min(weights, default=0.0) < _LEAST_WEIGHT:
            voting = [at for at, weight in enumerate(weights) if weight >= _LEAST_WEIGHT]
            maxima = [maxima[at] for at in voting] if maxima else ()
            rows, weights = [rows[at] for at in voting], [weights[at] for at in voting]
        if not rows:
            raise ValueError("no row has a weight")
        self.tied = ()
        if len(rows) == 1:
            return Mixture.of(rows[0], maxima[0] if maxima else None)
        if self._rule is CombinationRule.LINEAR and len(rows[0]) > FEW_ENTRIES:
            return Mixture(rows, weights, self._mixed, maxima)
        return Mixture.of(self._mixed(rows, weights))

    def _mixed(self, rows: Sequence[LogProbs], weights: Sequence[float]) -> LogProbs:
        """The whole row, in a buffer that the next step overwrites."""
        if len(rows[0]) != len(self._out):
            self._size_buffers(len(rows[0]))
        match self._rule:
            case CombinationRule.LINEAR:
                linear(rows, weights, self._out, self._scratch)
            case CombinationRule.GEOMETRIC:
                geometric(rows, weights, self._out, self._scratch)
            case CombinationRule.MAJORITY:
                self.tied = majority(rows, weights, self._out)
        return self._out

    def _size_buffers(self, symbols: int) -> None:
        self._out: LogProbs = np.empty(symbols, np.float32)
        self._scratch: tuple[LogProbs, LogProbs] = (
            np.empty(symbols, np.float32),
            np.empty(symbols, np.float32),
        )


def fuse(rule: CombinationRule, rows: Sequence[LogProbs], weights: Sequence[float]) -> LogProbs:
    """Mixes a single step, whole; see ``Fuser.fuse``.

    Returns:
        Normalised log-probs, float32 of shape (vocabulary,): a buffer of its own, or the row of the
        only member that has a part in it.
    """
    return Fuser(rule).fuse(rows, weights).row
