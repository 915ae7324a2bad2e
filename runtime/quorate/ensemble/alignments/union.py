"""Members with different vocabularies compare the union of their best pieces: an approximation.

Members are compared on the bytes of a few candidate tokens and not on all texts they could write. A
member that lacks a piece is given the most it can think of it: the mass of its tokens that begin
with the piece and of those that begin it. (The union of top candidates is that of UniTE, Yao et al.
2024; there a member that lacks a piece counts the first token of its own cut of it.)
"""

from __future__ import annotations

from collections.abc import Awaitable, Generator, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from quorate.engines.byte_order import ByteOrder
from quorate.engines.contract import Engine, LogProbs
from quorate.engines.vocabulary import BYTES, Vocabulary
from quorate.ensemble.alignments.contract import Limit
from quorate.ensemble.constraint import Constraint, Unconstrained
from quorate.ensemble.guesses import Ready
from quorate.ensemble.member import Member, MemberPrompt
from quorate.ensemble.predictor import SessionPredictor, TopPiece
from quorate.ensemble.transcript import Transcript
from quorate.request import FinishReason, Prompt, SamplingOptions, StoppingOptions
from quorate.sampling.candidates import largest
from quorate.sampling.peaks import Maxima

CANDIDATES = 20
"""Best tokens of each member that make the union."""

END = b""
"""Stands for the end among the pieces."""

_LEAST = 1e-30
# Tokens that a single token of one member may be for another: runs of white space are the longest.
_LONGEST_PIECE = 128


class PiecePredictor(SessionPredictor):
    """``Predictor`` whose symbols are bytes, which it takes as tokens of its own.

    A piece that is no token of it is cut into the fewest that make it up. One that it cannot spell
    leaves no trace. Control tokens are its own affair: where one is more probable than anything
    else it is taken into the context, without bytes, before what follows is compared.

    Args:
        max_tokens: Tokens of an answer after which no more control tokens are taken.
    """

    def __init__(
        self, engine: Engine, prompt: Sequence[int], kv_tokens: int, max_tokens: int
    ) -> None:
        super().__init__(engine, prompt, kv_tokens)
        self._max_tokens = max_tokens
        self._row: LogProbs | None = None

    def start(self, ahead: Sequence[bytes] = ()) -> Awaitable[LogProbs]:
        """See ``Predictor``."""
        return _Noted(self, self._start(self._each(ahead)))

    def feed(self, symbol: bytes, ahead: Sequence[bytes] = ()) -> Awaitable[LogProbs]:
        """See ``Predictor``; symbols are pieces."""
        tokens = self.vocabulary.byte_order.segment(symbol)
        if not tokens and self._row is not None:
            return Ready(self._row)
        return _Noted(self, self._append(tokens or (), self._each(ahead)))

    def top_piece(self, row: LogProbs) -> TopPiece:
        """See ``Predictor``; of its own row, whatever part of it is compared."""
        return super().top_piece(row if self._row is None else self._row)

    def fits(self, piece: bytes) -> bool:
        """Whether there is room for a piece."""
        return self._held + len(self.vocabulary.byte_order.segment(piece) or ()) <= self._kv_tokens

    async def settle(self, pending: Awaitable[LogProbs]) -> LogProbs:
        """Waits for a row, and goes on while the member's own choice is a control token.

        The last row is remembered: a piece that leaves no trace leaves it in force.
        """
        row = await pending
        control = self.vocabulary.sayable_control
        while control and (token := int(row.argmax())) in control and self._has_room:
            row = await self._append((token,))
        self._row = row
        return row

    def _each(self, pieces: Sequence[bytes]) -> Iterator[int]:
        """Its own tokens of several pieces, one after the other."""
        segment = self.vocabulary.byte_order.segment
        return (token for piece in pieces for token in segment(piece) or ())

    @property
    def _has_room(self) -> bool:
        return self.length < self._max_tokens and self._held < self._kv_tokens


class _Noted:
    """A row that its predictor takes further once it is there."""

    def __init__(self, predictor: PiecePredictor, pending: Awaitable[LogProbs]) -> None:
        self._predictor = predictor
        self._pending = pending

    def __await__(self) -> Generator[Any, None, LogProbs]:
        return self._predictor.settle(self._pending).__await__()


class UnionAlignment:
    """``AlignmentStrategy`` over the pieces that some member finds most probable at this step."""

    has_token_ids = False
    vocabulary = BYTES
    reasoning = None

    def __init__(self) -> None:
        self.pieces: Sequence[bytes] = ()
        self.constraint: Constraint = Unconstrained()

    def token_id(self, index: int) -> int | None:
        """See ``AlignmentStrategy``."""
        return None

    def biased(self, options: SamplingOptions) -> SamplingOptions:
        """See ``AlignmentStrategy``; a bias on tokens was refused before."""
        return options

    def margin(self, left: int) -> int:
        """See ``AlignmentStrategy``; at most half of what the prompt leaves."""
        return min(_LONGEST_PIECE, left // 2)

    def predictor(
        self, engine: Engine, source: Prompt, prompt: MemberPrompt, max_tokens: int
    ) -> PiecePredictor:
        """See ``AlignmentStrategy``."""
        kv_tokens = len(prompt.tokens) + max_tokens + prompt.margin
        return PiecePredictor(engine, prompt.tokens, kv_tokens, max_tokens)

    def transcript(self, stopping: StoppingOptions) -> Transcript:
        """See ``AlignmentStrategy``."""
        return Transcript(stopping)

    def compare(
        self, members: Sequence[Member[bytes]], rows: Sequence[LogProbs], given: bytes | None = None
    ) -> Sequence[LogProbs]:
        """See ``AlignmentStrategy``."""
        vocabularies = [member.engine.vocabulary for member in members]
        union = unite(vocabularies, rows, () if given is None else (given,))
        self.pieces = union.pieces
        return union.rows

    def maxima(self, members: Sequence[Member[bytes]]) -> Sequence[Maxima | None]:
        """See ``AlignmentStrategy``; what is compared is a part of the rows."""
        return ()

    def symbol(self, index: int) -> bytes:
        """See ``AlignmentStrategy``."""
        return self.pieces[index]

    def index(self, symbol: bytes) -> int:
        """See ``AlignmentStrategy``."""
        return self.pieces.index(symbol)

    def symbols(self, text: str, tokens: Sequence[int], vocabulary: Vocabulary) -> Sequence[bytes]:
        """See ``AlignmentStrategy``."""
        return [vocabulary.pieces[token] for token in tokens]

    def fits(self, members: Sequence[Member[Any]], symbol: bytes) -> bool:
        """See ``AlignmentStrategy``."""
        predictors = (member.predictor for member in members)
        return all(one.fits(symbol) for one in predictors if isinstance(one, PiecePredictor))

    def ends_before(
        self, index: int, members: Sequence[Member[Any]], limit: Limit
    ) -> FinishReason | None:
        """See ``AlignmentStrategy``."""
        piece = self.pieces[index]
        if piece == END:
            return FinishReason.END_OF_GENERATION
        if max(member.predictor.length for member in members) >= limit.max_tokens:
            return limit.reason
        return None if self.fits(members, piece) else FinishReason.CONTEXT_FULL

    def ends_behind(self, members: Sequence[Member[Any]], limit: Limit) -> FinishReason | None:
        """See ``AlignmentStrategy``; the next piece shows whether it is one too many."""
        return None


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
    """Makes the union of the members' best candidates, by a float32 row of log-probs for each.

    Pieces in ``also`` are candidates in any case.
    """
    pieces = dict.fromkeys((*also, END))
    for vocabulary, row in zip(vocabularies, rows, strict=True):
        for token in largest(row, CANDIDATES).tolist():
            if token not in vocabulary.sayable_control:
                pieces.setdefault(_piece(vocabulary, token))
    united = [*pieces]
    pairs = zip(vocabularies, rows, strict=True)
    return Union(united, [_member_row(known.byte_order, row, united) for known, row in pairs])


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
