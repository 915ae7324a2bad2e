"""The union of the members' best pieces: a fast, approximate vote across vocabularies.

Members are compared on the bytes of a few candidate tokens and not on all texts they could write. A
member that lacks a piece is given the most it can think of it: the mass of its tokens that begin
with the piece and of those that begin it. (The union of top candidates is that of UniTE, Yao et al.
2024; there a member that lacks a piece counts the first token of its own cut of it.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from quorate.engines.byte_order import ByteOrder
from quorate.engines.contract import LogProbs
from quorate.engines.vocabulary import Vocabulary
from quorate.ensemble.candidates import largest

CANDIDATES = 20
"""Best tokens of each member that make the union."""

END = b""
"""Stands for the end among the pieces."""

_LEAST = 1e-30


class Union(NamedTuple):
    """What the members vote on at one step.

    Attributes:
        pieces: The candidates, ``END`` among them.
        rows: Each member's log-probs of them, float32 of shape (pieces,), normalised.
    """

    pieces: list[bytes]
    rows: list[LogProbs]


def unite(
    vocabularies: Sequence[Vocabulary], rows: Sequence[LogProbs], also: Sequence[bytes] = ()
) -> Union:
    """Makes the union of the members' best candidates.

    Args:
        vocabularies: Of the members.
        rows: Their log-probs, float32 of shape (vocabulary,) each.
        also: Pieces that are candidates in any case.
    """
    pieces = dict.fromkeys((*also, END))
    for vocabulary, row in zip(vocabularies, rows, strict=True):
        for token in largest(row, CANDIDATES).tolist():
            pieces.setdefault(_piece(vocabulary, token))
    united = [*pieces]
    return Union(
        united,
        [
            _member_row(vocabulary.byte_order, row, united)
            for vocabulary, row in zip(vocabularies, rows, strict=True)
        ],
    )


def _piece(vocabulary: Vocabulary, token: int) -> bytes:
    return END if token in vocabulary.end_of_generation else vocabulary.pieces[token]


def _member_row(order: ByteOrder, row: LogProbs, pieces: Sequence[bytes]) -> LogProbs:
    masses = np.array([_mass(order, row, piece) for piece in pieces])
    masses = np.maximum(masses, _LEAST)
    united: LogProbs = np.log(masses / masses.sum()).astype(np.float32)
    return united


def _mass(order: ByteOrder, row: LogProbs, piece: bytes) -> float:
    if piece == END:
        return _sum(row, order.ending)
    node = order.find(piece)
    if node is not None and node.longer > node.low:
        return _sum(row, order.ids[node.low : node.longer])
    most = 0.0 if node is None else _sum(row, order.ids[node.low : node.high])
    for length in range(1, len(piece)):
        shorter = order.find(piece[:length])
        if shorter is None:
            break
        most += _sum(row, order.ids[shorter.low : shorter.longer])
    return most


def _sum(row: LogProbs, ids: npt.NDArray[np.intp]) -> float:
    return float(np.exp(row[ids].astype(np.float64)).sum())
