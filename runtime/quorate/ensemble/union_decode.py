"""The decode loop and the score over unions of pieces, see ``union``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import numpy as np

from quorate.engines.contract import LogProbs
from quorate.engines.vocabulary import Vocabulary
from quorate.ensemble.answer import Answer
from quorate.ensemble.candidates import largest
from quorate.ensemble.decode import Ballot, Step
from quorate.ensemble.fusion import Fuser
from quorate.ensemble.seats import Table
from quorate.ensemble.token_voice import PieceVoice
from quorate.ensemble.union import END, Union, unite
from quorate.ensemble.votes import votes
from quorate.errors import PromptTooLong
from quorate.request import CombinationRule, Delta, FinishReason, Token, TopCandidate


async def decode_union(table: Table[bytes], ballot: Ballot) -> AsyncGenerator[Step, None]:
    """Runs the vote over an open table whose members have been started.

    Yields:
        Deltas, one for each piece, and notices; at last the reason the answer ended.

    Raises:
        WorkerLost: A member died and the table's policy does not go on without it.
        Unavailable: A member died and will not come back.
    """
    answer = Answer(ballot.stopping)
    while True:
        rows = await table.rows()
        for notice in table.take_notices():
            yield notice
        union = unite(_vocabularies(table), rows)
        fuser = Fuser(ballot.rule, len(union.pieces))
        mixture = fuser.fuse(union.rows, table.weights)
        chosen = ballot.sampler.sample(mixture)
        piece = union.pieces[chosen]
        longest = max(seat.voice.length for seat in table.seats)
        ended = FinishReason.END_OF_GENERATION if piece == END else None
        if ended is None and longest >= ballot.most_tokens:
            ended = ballot.at_limit
        if ended is None and not _fits(table, piece):
            ended = FinishReason.CONTEXT_FULL
        if ended is not None:
            rest = answer.finish()
            if rest.text:
                yield Delta(rest.text, ())
            yield rest.ended or ended
            return
        token = _token(chosen, mixture, union, table, ballot, bool(fuser.tied))
        table.observe(union.rows, chosen, len(piece))
        grown = answer.push(piece)
        if grown.ended is None:
            await table.tell(piece)
        yield Delta(grown.text, (token,))
        if grown.ended is not None:
            yield grown.ended
            return


async def score_union(
    table: Table[bytes], rule: CombinationRule, continuation: Sequence[bytes]
) -> list[Token]:
    """Feeds a continuation piece by piece and notes what the mixture thought of each.

    Args:
        table: Its members have been started.
        rule: How the members' distributions become one.
        continuation: At least one piece; each is a candidate at its step whatever the members like.

    Raises:
        PromptTooLong: A member has no room for it.
        WorkerLost: A member died and the table's policy does not go on without it.
        Unavailable: A member died and will not come back.
    """
    scored = []
    last = len(continuation) - 1
    for index, piece in enumerate(continuation):
        rows = await table.rows()
        union = unite(_vocabularies(table), rows, (piece,))
        mixture = Fuser(rule, len(union.pieces)).fuse(union.rows, table.weights)
        table.observe(union.rows, 0, len(piece))
        scored.append(Token(None, piece, float(mixture[0])))
        if index == last:
            break
        if not _fits(table, piece):
            raise PromptTooLong("continuation", "fills the context of a member; give less of it")
        table.feed(piece)
    return scored


def _fits(table: Table[bytes], piece: bytes) -> bool:
    """Whether every member has room for a piece."""
    return all(seat.voice.fits(piece) for seat in table.seats if isinstance(seat.voice, PieceVoice))


def _vocabularies(table: Table[bytes]) -> list[Vocabulary]:
    return [seat.engine.vocabulary for seat in table.seats]


def _token(
    chosen: int,
    mixture: LogProbs,
    union: Union,
    table: Table[bytes],
    ballot: Ballot,
    tied: bool,
) -> Token:
    shown = ballot.response
    best = largest(mixture, shown.top_logprobs) if shown.top_logprobs else np.empty(0, np.intp)
    return Token(
        None,
        union.pieces[chosen],
        float(mixture[chosen]),
        tuple(TopCandidate(None, union.pieces[i], float(mixture[i])) for i in best.tolist()),
        votes(table.seats, union.rows, table.weights, chosen) if shown.member_votes else (),
        tied,
    )
