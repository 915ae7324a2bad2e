"""What a guessed text will need beside its guessed cut: tokens that end where the cut's do not.

A token of the cut may begin with others, and where one of those weighs enough the beam follows it
too, which takes a row of its own. Once the rows along the cut are known it can be told which those
will be, so that they are computed in one call and not one after the other. Pure, and a guess: what
was forgotten is decoded when it is needed, what was not needed is forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from quorate.engines.byte_order import ByteOrder, Prefix, PrefixSums
from quorate.engines.contract import LogProbs
from quorate.ensemble.alignments.bytes.contexts import Context
from quorate.ensemble.alignments.bytes.hypotheses import Hypothesis
from quorate.ensemble.alignments.bytes.trunk import Trunk

# As with what is pruned: a token that goes on is followed down to this part of epsilon.
_LEAST_OF_EPSILON = 1e-3


class Beside(NamedTuple):
    """A token behind the first ones of a session, so many of them, that is none of its own."""

    trunk: Trunk[Context]
    length: int
    token: int


class _Path(NamedTuple):
    """A hypothesis of a guessed text, whose row is known; unlike a real one not normalised."""

    trunk: Trunk[Context]
    length: int
    row: LogProbs
    sums: PrefixSums
    prefix: Prefix
    scale: float
    next_guess: int | None


def tokens_beside(
    beam: Sequence[Hypothesis[Context]],
    text: bytes,
    order: ByteOrder,
    epsilon: float,
    first: tuple[Context, int] | None = None,
) -> list[Beside]:
    """The tokens that a beam will need beside what was guessed, if a text follows; likeliest first.

    Args:
        beam: Hypotheses whose rows are known.
        text: What follows.
        order: Of the vocabulary.
        epsilon: Share from which a token is worth a decode step.
        first: A context and its next token, where guesses begin that are about to be computed; none
            where their rows are known.
    """
    found: dict[Beside, float] = {}
    paths = [path for one in beam if (path := _begun(one, first)) is not None]
    # What ends with the last byte may as well go on.
    for byte in text[:-1]:
        longer, complete = _grown(paths, byte, order)
        whole = sum(mass for _, mass in longer) + sum(weight for *_, weight in complete)
        paths = [path for path, mass in longer if mass > _LEAST_OF_EPSILON * epsilon * whole]
        for path, token, weight in complete:
            # Where no guess goes on there is no cut to be beside of.
            if weight <= epsilon * whole or path.next_guess is None:
                continue
            if token != path.next_guess:
                beside = Beside(path.trunk, path.length, token)
                found[beside] = max(found.get(beside, 0.0), weight / whole)
            elif first is None and (behind := _behind(path, order, weight)) is not None:
                paths.append(behind)
        if not paths:
            break
    return sorted(found, key=found.__getitem__, reverse=True)


def _grown(
    paths: Sequence[_Path], byte: int, order: ByteOrder
) -> tuple[list[tuple[_Path, float]], list[tuple[_Path, int, float]]]:
    """Paths whose tokens go on beyond a byte, and tokens that end with it, with what they weigh."""
    longer: list[tuple[_Path, float]] = []
    complete: list[tuple[_Path, int, float]] = []
    for path in paths:
        child = path.prefix.child(byte)
        if child is None:
            continue
        for token in order.ids[child.low : child.longer].tolist():
            complete.append((path, token, path.scale * float(np.exp(path.row[token]))))
        mass = path.scale * float(path.sums[child.high] - path.sums[child.longer])
        longer.append((path._replace(prefix=child), mass))
    return longer, complete


def _begun(one: Hypothesis[Context], first: tuple[Context, int] | None) -> _Path | None:
    context = one.context
    trunk = context.trunk
    if trunk is None:
        return None
    guess = trunk.next_guess(context.length)
    if first is not None:
        guess = first[1] if first[0] is context else None
    return _Path(trunk, context.length, context.row, context.sums, one.prefix, one.scale, guess)


def _behind(path: _Path, order: ByteOrder, weight: float) -> _Path | None:
    """The path behind the token that was guessed, where its row is known."""
    length = path.length + 1
    known = path.trunk.known(length)
    if known is None or known.sums is None:
        return None
    guess = path.trunk.next_guess(length)
    return _Path(path.trunk, length, known.row, known.sums, order.root, weight, guess)
