"""How long answers get: quantiles under a cap, with the answers that a cap cut off. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from quorate.costs.saved import Json, Table, numbers

_WINDOW = 128
_DECAY = 0.985
_WEIGHTS = tuple(_DECAY**age for age in range(_WINDOW))
# Sums of weights may miss a quantile that they reach by a rounding error.
_ROUNDING = 1e-12
_MAX_TOKENS = 1e9


@dataclass(frozen=True, slots=True)
class LengthModel:
    """Lengths of answers, as known at one moment; without any answer, they are as long as the cap.

    Attributes:
        samples: Answers it was learned from, of those remembered.
        lengths: Distinct lengths of complete answers, rising.
        reached: For each, the share of answers that are no longer, for quantiles.
        surviving: For each, the share that is longer, for the mean.
        means: For each, the mean length of answers cut off there.
    """

    samples: int = 0
    lengths: tuple[float, ...] = ()
    reached: tuple[float, ...] = ()
    surviving: tuple[float, ...] = ()
    means: tuple[float, ...] = ()

    def expected(self, cap: float) -> float:
        """Mean number of tokens of an answer that is cut off at ``cap``."""
        index = bisect_right(self.lengths, cap) - 1
        if index < 0:
            return cap
        return self.means[index] + (cap - self.lengths[index]) * self.surviving[index]

    def quantile(self, share: float, cap: float) -> float:
        """The tokens that this share of answers, in (0, 1), do not exceed; at most ``cap``."""
        index = bisect_left(self.reached, share - _ROUNDING)
        if index == len(self.lengths):
            return cap
        return min(cap, self.lengths[index])


class LengthLearner:
    """The last 128 answers of one kind, the older ones with less weight.

    An answer that was cut off would have been longer, one knows not how much: it is censored. The
    estimate is Kaplan and Meier's product (Nonparametric estimation from incomplete observations,
    JASA 53, 1958) with weights. What is beyond the longest answer seen counts as longer than any
    cap (Gill 1980), so the mean under a cap is the restricted mean, the area under that curve.

    The prior is the cap. For quantiles it is one more answer that never ends: nine of ten new ones
    then stay below the 90 % quantile, and with fewer than nine complete answers that is the cap
    (as for residuals, see there). For the mean its weight fades, 1 / (1 + answers), or a cap of
    thousands would outweigh a hundred short answers.
    """

    def __init__(self) -> None:
        self._answers: deque[tuple[float, bool]] = deque(maxlen=_WINDOW)
        self._model: LengthModel | None = LengthModel()

    def observe(self, output_tokens: float, complete: bool) -> None:
        """Learns one answer, complete or cut off; what cannot be a length is ignored."""
        if 0 <= output_tokens <= _MAX_TOKENS:
            self._answers.append((float(output_tokens), not complete))
            self._model = None

    def model(self) -> LengthModel:
        """What is known now; the same object until something else was learned."""
        if self._model is None:
            self._model = self._built()
        return self._model

    def state(self) -> dict[str, Json]:
        """What ``restore`` takes."""
        return {
            "tokens": [tokens for tokens, _ in self._answers],
            "cut_off": [int(cut) for _, cut in self._answers],
        }

    @classmethod
    def restore(cls, state: Table) -> LengthLearner:
        """A learner that goes on from a saved state."""
        tokens = numbers(state, "tokens", _WINDOW, 0, _MAX_TOKENS)
        cut_off = numbers(state, "cut_off", _WINDOW, 0, 1)
        if len(tokens) != len(cut_off):
            raise ValueError("tokens and cut_off are not of one length")
        learner = cls()
        for one, cut in zip(tokens, cut_off, strict=True):
            learner.observe(one, complete=not cut)
        return learner

    def _built(self) -> LengthModel:
        # At one length the complete answers come first: those cut off there were still at risk.
        weighted = sorted(zip(reversed(self._answers), _WEIGHTS, strict=False))
        answers = len(weighted)
        for_quantiles = _survival(weighted, 1.0)
        for_means = _survival(weighted, 1.0 / (1 + answers))
        means = []
        before, share, area = 0.0, 1.0, 0.0
        for length, after in for_means.items():
            area += (length - before) * share
            means.append(area)
            before, share = length, after
        return LengthModel(
            samples=answers,
            lengths=tuple(for_means),
            reached=tuple(1.0 - share for share in for_quantiles.values()),
            surviving=tuple(for_means.values()),
            means=tuple(means),
        )


def _survival(
    weighted: Sequence[tuple[tuple[float, bool], float]], endless: float
) -> dict[float, float]:
    """Kaplan and Meier's curve.

    Args:
        weighted: Length, whether cut off, and weight of each answer, sorted.
        endless: Weight of an answer without end.

    Returns:
        For each length of a complete answer, rising, the share of answers that are longer.
    """
    at_risk = endless + sum(weight for _, weight in weighted)
    share = 1.0
    longer: dict[float, float] = {}
    for (length, cut), weight in weighted:
        if not cut:
            share *= 1.0 - weight / at_risk
            longer[length] = share
        at_risk -= weight
    return longer
