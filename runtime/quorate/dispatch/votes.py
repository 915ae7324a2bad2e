"""Votes of local models: the door, the sessions, and the loop that fits the alignment."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from quorate.dispatch.seating import Guest, invite, seat
from quorate.ensemble.byte_decode import decode_bytes
from quorate.ensemble.decode import Ballot, Step, decode
from quorate.ensemble.hypotheses import BYTES
from quorate.ensemble.run_ahead import lone_voice, run_ahead
from quorate.ensemble.sampling import Sampler, draw_options
from quorate.ensemble.seats import Table
from quorate.ensemble.union_decode import decode_union
from quorate.fleet.fleet import Fleet
from quorate.request import (
    Alignment,
    Decision,
    FinishReason,
    Prompt,
    Request,
    ResponseOptions,
)

_LOOPS: Mapping[Alignment, Callable[[Table[Any], Ballot], AsyncGenerator[Step, None]]] = {
    Alignment.SAME_VOCABULARY: decode,
    Alignment.BYTE_EXACT: decode_bytes,
    Alignment.UNION_TOP_K: decode_union,
}


@dataclass(frozen=True, slots=True)
class Seated:
    """A vote whose members' sessions are open."""

    decision: Decision
    table: Table[Any]
    guests: Sequence[Guest]

    def run(
        self, request: Request, response: ResponseOptions, wanted: int
    ) -> AsyncGenerator[Step, None]:
        """Runs the vote; see ``ensemble.decode.decode`` for what it yields and raises.

        One member that is asked for nothing but its text runs ahead, where its engine can; see
        ``ensemble.run_ahead.lone_voice``.

        Args:
            request: What is asked.
            response: What each step shows.
            wanted: Most tokens of the answer.
        """
        ballot = self._ballot(request, response, wanted)
        voice = lone_voice(self.table, request.sampling, response)
        if voice is not None:
            seed, most, shown = self.decision.seed, ballot.most_tokens, response.top_logprobs
            options = draw_options(request.sampling, seed, most, shown)
            return run_ahead(self.table, voice, ballot, options)
        self.table.start()
        return _LOOPS[self.decision.alignment](self.table, ballot)

    def _ballot(self, request: Request, response: ResponseOptions, wanted: int) -> Ballot:
        decision = self.decision
        vocabulary, prompt = self.guests[0].engine.vocabulary, self.guests[0].tokens
        if decision.alignment is not Alignment.SAME_VOCABULARY:
            vocabulary, prompt = BYTES, ()
        room = min(guest.room for guest in self.guests)
        return Ballot(
            vocabulary=vocabulary,
            rule=decision.rule,
            sampler=Sampler(request.sampling, len(vocabulary), decision.seed, prompt),
            stopping=request.stopping,
            response=response,
            most_tokens=min(wanted, room),
            at_limit=FinishReason.MAX_TOKENS if wanted <= room else FinishReason.CONTEXT_FULL,
        )


@asynccontextmanager
async def seated(
    fleet: Fleet, prompt: Prompt, decision: Decision, wanted: int
) -> AsyncIterator[Seated]:
    """Opens a session with each member of a vote, for as long as the context lasts.

    Raises:
        QuorateError: What ``seating.invite`` and ``Table.open`` raise.
    """
    models = [member.model for member in decision.members]
    with fleet.use(models) as engines:
        guests = await invite(decision, engines, prompt)
        table = await seat(decision, guests, prompt, wanted)
        try:
            await table.open()
            yield Seated(decision, table, guests)
        finally:
            table.close()
