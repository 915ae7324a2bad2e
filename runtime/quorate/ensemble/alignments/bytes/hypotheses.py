"""The arithmetic of one member's byte beam: pure numbers, no sessions and no waiting.

A hypothesis is a context of whole tokens and the bytes already seen of the next one. Its weight is
the probability of the context times the mass of all tokens that begin with those bytes, as a share
of everything that is still possible. Summing over hypotheses sums over every way in which a
tokenizer can cut the text, so that the distribution over the next byte is exact (Vieira et al.
2025, "From Language Models over Tokens to Language Models over Characters").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from quorate.engines.byte_order import ByteOrder, Prefix, PrefixSums
from quorate.engines.contract import LogProbs
from quorate.engines.vocabulary import END

SYMBOLS = 257

LEAST_MOVE = 1e-9
"""Share of a control token that is never followed, whatever epsilon is."""

ByteProbs: TypeAlias = npt.NDArray[np.float64]
"""Probabilities of the next byte and of the end, float64 of shape (257,), summing to 1."""

# Below them a difference of prefix sums has too few digits left, and the tokens are added anew:
# all of a prefix where they weigh little together, those of one child otherwise.
_LEAST_DIFFERENCE = 1e-7
_LEAST_CHILD = 1e-12


class Evaluated(Protocol):
    """A context whose next-token distribution is known."""

    @property
    def row(self) -> LogProbs:
        """Log-probs of the next token, float32 of shape (vocabulary,)."""
        ...

    @property
    def sums(self) -> PrefixSums:
        """Running sums of their probabilities in byte order."""
        ...

    @property
    def ending(self) -> float:
        """Probability that the text ends here."""
        ...

    @property
    def control(self) -> npt.NDArray[np.float64]:
        """Probabilities of the control tokens that may be said, in the order's own order."""
        ...


_Context = TypeVar("_Context", bound=Evaluated)


@dataclass(frozen=True, slots=True)
class Hypothesis(Generic[_Context]):
    """One way in which a tokenizer may have cut the text so far.

    Attributes:
        prefix: The bytes already seen of the next token.
        scale: Probability of the context, divided by that of the text and by the sum of the
            context's row, which need not be 1 to the last digit.
        weight: Its share of everything that is still possible: the scale times the mass of the
            tokens that go on beyond the bytes seen, the end included where none were seen.
    """

    context: _Context
    prefix: Prefix
    scale: float
    weight: float


class Extension(NamedTuple, Generic[_Context]):
    """A token that is complete: the context it makes, before anything is known of what follows.

    Attributes:
        parent: The context it is appended to.
        weight: Its share of everything that is still possible.
    """

    parent: _Context
    token: int
    weight: float


class Grown(NamedTuple, Generic[_Context]):
    """A beam after one more byte.

    Attributes:
        longer: Hypotheses whose tokens go on.
        complete: Tokens that may have ended with the byte.
    """

    longer: list[Hypothesis[_Context]]
    complete: list[Extension[_Context]]


class Kept(NamedTuple, Generic[_Context]):
    """What pruning left, and the share that it dropped."""

    longer: list[Hypothesis[_Context]]
    complete: list[Extension[_Context]]
    dropped: float


def begun(context: _Context, order: ByteOrder, weight: float) -> Hypothesis[_Context]:
    """A hypothesis at the border of a token: no byte of the next one has been seen.

    ``weight`` is that of the context. What it gives to control tokens is none of the hypothesis's:
    they give no bytes, and what they lead to are contexts of their own, see ``control_moves``.
    """
    speaking = float(context.sums[len(order)]) + context.ending
    whole = speaking + float(context.control.sum())
    return Hypothesis(context, order.root, weight / whole, weight * speaking / whole)


def control_moves(
    begun: Sequence[Hypothesis[_Context]], order: ByteOrder, epsilon: float
) -> tuple[list[Extension[_Context]], float]:
    """The control tokens that contexts, which have just begun, may go on with.

    A move without bytes: a context and a control token make another context at the border of a
    token, over which the text is summed as it is over cuts.

    Args:
        begun: What ``begun`` made.
        order: Of the vocabulary.
        epsilon: Share of what is possible from which a control token is worth a decode step. No
            less than ``LEAST_MOVE`` is followed, or a sum over endless rows of them had no end.

    Returns:
        Those that are worth it, and the share of all the others together.
    """
    moves: list[Extension[_Context]] = []
    rest = 0.0
    least = max(epsilon, LEAST_MOVE)
    for one in begun:
        weights = one.scale * one.context.control
        followed = np.flatnonzero(weights > least)
        moves += [
            Extension(one.context, int(order.control[index]), float(weights[index]))
            for index in followed.tolist()
        ]
        rest += max(0.0, float(weights.sum()) - float(weights[followed].sum()))
    return moves, rest


def resumed(context: _Context, prefix: Prefix, weight: float) -> Hypothesis[_Context]:
    """A hypothesis of a known share, over a context that was evaluated anew."""
    mass = float(_child_masses(context, prefix).sum()) + (0.0 if prefix.text else context.ending)
    return Hypothesis(context, prefix, weight / mass if mass else 0.0, weight if mass else 0.0)


def next_bytes(beam: Sequence[Hypothesis[_Context]], lost: float) -> ByteProbs:
    """The distribution of the next byte.

    What was pruned is not forgotten: it stays as a hypothesis that finds every symbol
    equally probable. So nothing is impossible that may only have been dropped, and the
    probabilities of a text multiply to what the beam holds of it.

    Args:
        beam: Hypotheses whose weights, with ``lost``, sum to 1.
        lost: Share of what was pruned.
    """
    probs = np.full(SYMBOLS, lost / SYMBOLS)
    for hypothesis in beam:
        prefix = hypothesis.prefix
        probs[prefix.next_bytes] += hypothesis.scale * _child_masses(hypothesis.context, prefix)
        if not prefix.text:
            probs[END] += hypothesis.scale * hypothesis.context.ending
    return probs


def grow(
    beam: Sequence[Hypothesis[_Context]], byte: int, probability: float, order: ByteOrder
) -> Grown[_Context]:
    """Goes on by one byte, to which ``next_bytes`` gave a probability above 0, before pruning."""
    longer: list[Hypothesis[_Context]] = []
    complete: list[Extension[_Context]] = []
    for before in beam:
        prefix = before.prefix.child(byte)
        if prefix is None:
            continue
        context, scale = before.context, before.scale / probability
        for rank in range(prefix.low, prefix.longer):
            token = int(order.ids[rank])
            weight = scale * float(np.exp(np.float64(context.row[token])))
            if weight > 0:
                complete.append(Extension(context, token, weight))
        weight = scale * float(_child_masses(context, prefix).sum())
        if weight > 0:
            longer.append(Hypothesis(context, prefix, scale, weight))
    return Grown(longer, complete)


def prune(grown: Grown[_Context], epsilon: float, width: int) -> Kept[_Context]:
    """Drops hypotheses below epsilon, then all but the ``width`` heaviest.

    Args:
        grown: What is possible.
        epsilon: A complete token of no greater share is not worth a decode step; a longer one,
            which costs none, is kept down to a thousandth of that.
        width: Most hypotheses to keep, complete and longer together; at least one is kept.
    """
    if not (grown.longer or grown.complete):
        return Kept([], [], 0.0)
    everyone: list[Hypothesis[_Context] | Extension[_Context]] = [*grown.complete, *grown.longer]
    ranked: list[Hypothesis[_Context] | Extension[_Context]] = [
        *(one for one in grown.complete if one.weight > epsilon),
        *(one for one in grown.longer if one.weight > epsilon / 1000),
    ]
    if not ranked:
        ranked = [max(everyone, key=_weight)]
    if len(ranked) > width:
        ranked = sorted(ranked, key=_weight, reverse=True)[:width]
    longer = [one for one in ranked if isinstance(one, Hypothesis)]
    complete = [one for one in ranked if isinstance(one, Extension)]
    dropped = sum(map(_weight, everyone)) - sum(map(_weight, ranked))
    return Kept(longer, complete, max(0.0, dropped))


def by_parent(extensions: Sequence[Extension[_Context]]) -> dict[int, list[Extension[_Context]]]:
    """Extensions by the identity of the context that they are appended to."""
    groups: dict[int, list[Extension[_Context]]] = {}
    for extension in extensions:
        groups.setdefault(id(extension.parent), []).append(extension)
    return groups


def _weight(one: Hypothesis[_Context] | Extension[_Context]) -> float:
    return one.weight


def top_piece(hypothesis: Hypothesis[_Context], order: ByteOrder) -> tuple[bytes, float]:
    """The most probable way in which a hypothesis goes on.

    Returns:
        The rest of its most probable token, b"" for the end, and that token's log-prob in nats
        among those that begin with the bytes seen.
    """
    context, prefix = hypothesis.context, hypothesis.prefix
    ids = order.ids[prefix.longer : prefix.high]
    if not prefix.text and (not len(ids) or context.ending > float(np.exp(context.row[ids].max()))):
        return b"", _log(context.ending)
    best = int(context.row[ids].argmax())
    mass = float(_child_masses(context, prefix).sum()) + (0 if prefix.text else context.ending)
    logprob = float(context.row[ids[best]]) - _log(mass)
    return order.piece(prefix.longer + best)[len(prefix.text) :], min(0.0, logprob)


def _log(probability: float) -> float:
    """The log of what may be 0 where a context holds nothing but control tokens."""
    return float(np.log(max(probability, 1e-300)))


def _child_masses(context: Evaluated, prefix: Prefix) -> npt.NDArray[np.float64]:
    """Mass of each child of a prefix, shape (children,)."""
    sums, bounds = context.sums, prefix.bounds
    if not len(prefix.next_bytes):
        return np.empty(0)
    if sums[bounds[-1]] - sums[bounds[0]] > _LEAST_DIFFERENCE:
        masses: npt.NDArray[np.float64] = np.diff(sums[bounds])
        if masses.min() < _LEAST_CHILD:
            _sum_small_children(context, prefix, masses)
        return masses
    return _summed_anew(context, prefix)


def _summed_anew(context: Evaluated, prefix: Prefix) -> npt.NDArray[np.float64]:
    ids = prefix.ids
    probabilities = np.exp(context.row[ids].astype(np.float64))
    masses: npt.NDArray[np.float64] = np.add.reduceat(
        probabilities, prefix.bounds[:-1] - prefix.bounds[0]
    )
    return masses


def _sum_small_children(
    context: Evaluated, prefix: Prefix, masses: npt.NDArray[np.float64]
) -> None:
    """Adds the tokens of the children anew whose masses cancelled."""
    first = prefix.bounds[0]
    for child in np.flatnonzero(masses < _LEAST_CHILD).tolist():
        low, high = prefix.bounds[child] - first, prefix.bounds[child + 1] - first
        masses[child] = np.exp(context.row[prefix.ids[low:high]].astype(np.float64)).sum()
