"""The decode loop over tokens: mix, draw, feed, tell; until something ends it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from quorate.engines.contract import LogProbs
from quorate.engines.vocabulary import Vocabulary
from quorate.ensemble.answer import Answer, Grown
from quorate.ensemble.fusion import Fuser
from quorate.ensemble.sampling import Sampler
from quorate.ensemble.seats import Table
from quorate.ensemble.votes import top_candidates, votes
from quorate.request import (
    CombinationRule,
    Delta,
    FinishReason,
    Notice,
    ResponseOptions,
    StoppingOptions,
    Token,
)

Step: TypeAlias = Delta | Notice | FinishReason


@dataclass(frozen=True, slots=True)
class Ballot:
    """How the members of a table vote.

    Attributes:
        vocabulary: The symbols they vote on: the vocabulary that all share, or the bytes.
        most_tokens: The answer ends after this many tokens, for the reason ``at_limit``.
    """

    vocabulary: Vocabulary
    rule: CombinationRule
    sampler: Sampler
    stopping: StoppingOptions
    response: ResponseOptions
    most_tokens: int
    at_limit: FinishReason


class Written:
    """The answer to a ballot, token after token, and what ends it."""

    def __init__(self, ballot: Ballot) -> None:
        self._ballot = ballot
        self._answer = Answer(ballot.stopping)
        self._count = 0

    def add(self, token: int) -> Grown:
        """Adds a token that does not end generation."""
        self._count += 1
        grown = self._answer.push(self._ballot.vocabulary.pieces[token])
        if grown.ended is None and self._count >= self._ballot.most_tokens:
            rest = self._answer.finish()
            return Grown(grown.text + rest.text, rest.ended or self._ballot.at_limit)
        return grown

    def end(self) -> tuple[Step, ...]:
        """Gives what is left to tell where a token ends generation."""
        rest = self._answer.finish()
        ended = rest.ended or FinishReason.END_OF_GENERATION
        return (Delta(rest.text, ()), ended) if rest.text else (ended,)


async def decode(
    table: Table[int], ballot: Ballot, written: Written | None = None
) -> AsyncGenerator[Step, None]:
    """Runs the vote over an open table whose prompts have been fed.

    The chosen token is fed to every member before the caller hears of it, so that the members
    compute while the text travels.

    Args:
        table: The members.
        ballot: How they vote.
        written: The answer so far, which the members have been fed too; None where it begins.

    Yields:
        Deltas, one for each token, and notices; at last the reason the answer ended.

    Raises:
        WorkerLost: A member died and the table's policy does not go on without it.
        Unavailable: A member died and will not come back.
    """
    written = Written(ballot) if written is None else written
    fuser = Fuser(ballot.rule, len(ballot.vocabulary))
    pieces = ballot.vocabulary.pieces
    ending = ballot.vocabulary.end_of_generation
    while True:
        rows = await table.rows()
        for notice in table.take_notices():
            yield notice
        mixture = fuser.fuse(rows, table.weights)
        chosen = ballot.sampler.sample(mixture)
        if chosen in ending:
            for step in written.end():
                yield step
            return
        table.observe(rows, chosen, len(pieces[chosen]))
        token = _token(chosen, mixture, rows, bool(fuser.tied), table, ballot)
        grown = written.add(chosen)
        if grown.ended is None:
            await table.tell(chosen)
        yield Delta(grown.text, (token,))
        if grown.ended is not None:
            yield grown.ended
            return


def _token(
    chosen: int,
    mixture: LogProbs,
    rows: Sequence[LogProbs],
    tied: bool,
    table: Table[int],
    ballot: Ballot,
) -> Token:
    pieces = ballot.vocabulary.pieces
    shown = ballot.response
    return Token(
        chosen,
        pieces[chosen],
        float(mixture[chosen]),
        top_candidates(mixture, pieces, shown.top_logprobs) if shown.top_logprobs else (),
        votes(table.seats, rows, table.weights, chosen) if shown.member_votes else (),
        tied,
    )
