"""Plain generation: one member alone draws its tokens itself, and nobody waits for anybody.

A vote of one needs no round trip for each token. The engine runs ahead with its own sampler, to the
same options; here its tokens become the same steps that ``decode`` yields.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from quorate.engines.contract import EngineSampling, SampledToken
from quorate.engines.vocabulary import Vocabulary
from quorate.ensemble.decode import Ballot, Step, Written, decode
from quorate.ensemble.sampling_options import acting_on_tokens
from quorate.ensemble.seats import Table
from quorate.ensemble.token_voice import TokenVoice
from quorate.errors import Internal, WorkerLost
from quorate.request import Delta, ResponseOptions, SamplingOptions, Token, TopCandidate


def lone_voice(
    table: Table[Any], sampling: SamplingOptions, response: ResponseOptions
) -> TokenVoice | None:
    """The only member's voice, where it may run ahead; else None.

    It may not where somebody votes beside it, where its vote is to be shown, where bias or
    penalties are asked for, which engines apply in another order than our sampler, where it speaks
    in bytes or pieces, and where its engine cannot draw tokens.
    """
    if len(table.seats) != 1 or response.member_votes or acting_on_tokens(sampling):
        return None
    (seat,) = table.seats
    voice = seat.voice
    draws = seat.engine.facts.capabilities.generate
    return voice if draws and isinstance(voice, TokenVoice) else None


async def run_ahead(
    table: Table[int], voice: TokenVoice, ballot: Ballot, options: EngineSampling
) -> AsyncGenerator[Step, None]:
    """Runs plain generation over an open table whose member has not been started.

    A member that is lost and may be replayed finishes the answer in lock-step.

    Args:
        table: Has one member.
        voice: Its voice, see ``lone_voice``.
        ballot: What ends the answer, and what is shown. Its sampler draws after a loss only.
        options: How the engine draws.

    Yields:
        What ``decode`` yields.

    Raises:
        WorkerLost: The member died and the table's policy does not replay it.
        Unavailable: The member died and will not come back.
    """
    (seat,) = table.seats
    seat.started = True
    written = Written(ballot)
    vocabulary = ballot.vocabulary
    try:
        async for batch in voice.generate(options):
            for drawn in batch:
                if drawn.token in vocabulary.end_of_generation:
                    for step in written.end():
                        yield step
                    return
                seat.observe(drawn.logprob, 1.0)
                grown = written.add(drawn.token)
                if grown.ended is None:
                    voice.keep(drawn.token)
                else:
                    # Ended before the caller hears of it: the engine would run on meanwhile.
                    table.close()
                yield Delta(grown.text, (_token(drawn, vocabulary),))
                if grown.ended is not None:
                    yield grown.ended
                    return
        raise Internal(f"model {seat.model} ended its generation without an end")
    except WorkerLost as error:
        await table.replay({seat.model: error})
    async with aclosing(decode(table, ballot, written)) as steps:
        async for step in steps:
            yield step


def _token(drawn: SampledToken, vocabulary: Vocabulary) -> Token:
    pieces = vocabulary.pieces
    top = tuple(TopCandidate(token, pieces[token], logprob) for token, logprob in drawn.top)
    return Token(drawn.token, pieces[drawn.token], drawn.logprob, top)
