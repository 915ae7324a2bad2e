"""The decode loop over bytes: as over tokens, but what is told are words."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from quorate.engines.contract import LogProbs
from quorate.ensemble.answer import Answer
from quorate.ensemble.byte_pieces import ByteStep, PieceBuilder
from quorate.ensemble.decode import Ballot, Step
from quorate.ensemble.fusion import Fuser
from quorate.ensemble.hypotheses import END, SYMBOLS
from quorate.ensemble.seats import Table
from quorate.ensemble.utf8_guide import Utf8Guide
from quorate.ensemble.votes import top_candidates, votes
from quorate.request import Delta, FinishReason


async def decode_bytes(table: Table[int], ballot: Ballot) -> AsyncGenerator[Step, None]:
    """Runs the vote over an open table whose members have been started.

    Every byte keeps the text valid UTF-8. The chosen byte is told to every member before the caller
    hears of anything, so that the members compute while the text travels.

    Yields:
        Deltas, about one for each word, and notices; at last the reason the answer ended.

    Raises:
        WorkerLost: A member died and the table's policy does not go on without it.
        Unavailable: A member died and will not come back.
    """
    answer = Answer(ballot.stopping)
    fuser = Fuser(ballot.rule, SYMBOLS)
    guide = Utf8Guide()
    builder = PieceBuilder()
    text = ""
    while True:
        rows = await table.rows()
        for notice in table.take_notices():
            yield notice
        mixture = fuser.fuse(rows, table.weights)
        chosen = ballot.sampler.sample(guide.masked(mixture))
        ended: FinishReason | None = None
        if chosen == END:
            ended = FinishReason.END_OF_GENERATION
        elif not guide.missing and _longest(table) >= ballot.most_tokens:
            # Before the byte and not after it: the code point it may begin might not fit.
            ended = ballot.at_limit
        if ended is not None:
            rest = answer.finish()
            pieces = builder.finish()
            if text or rest.text or pieces:
                yield Delta(text + rest.text, pieces)
            yield rest.ended or ended
            return
        step = _step(chosen, mixture, rows, bool(fuser.tied), table, ballot)
        table.observe(rows, chosen, 1)
        guide.push(chosen)
        pieces = builder.push(step)
        grown = answer.push(step.byte)
        if grown.ended is not None:
            yield Delta(text + grown.text, (*pieces, *builder.finish()))
            yield grown.ended
            return
        await table.tell(chosen)
        if pieces:
            # What this byte completed begins the next word.
            yield Delta(text, pieces)
            text = ""
        text += grown.text


def _longest(table: Table[int]) -> int:
    """Tokens of the answer, in the member that needs most of them."""
    return max(seat.voice.length for seat in table.seats)


def _step(
    chosen: int,
    mixture: LogProbs,
    rows: Sequence[LogProbs],
    tied: bool,
    table: Table[int],
    ballot: Ballot,
) -> ByteStep:
    shown, pieces = ballot.response, ballot.vocabulary.pieces
    top = top_candidates(mixture, pieces, shown.top_logprobs) if shown.top_logprobs else ()
    return ByteStep(
        pieces[chosen],
        float(mixture[chosen]),
        tuple(replace(candidate, token_id=None) for candidate in top),
        votes(table.seats, rows, table.weights, chosen) if shown.member_votes else (),
        tied,
    )
