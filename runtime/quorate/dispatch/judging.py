"""Which of several whole answers all members together find most probable."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from quorate.dispatch.attempt import Attempt
from quorate.dispatch.cascade import STAGE_FAILURES
from quorate.dispatch.scores import score_run
from quorate.dispatch.voters import Voter
from quorate.errors import InvalidRequest, Unavailable
from quorate.fleet.fleet import Fleet
from quorate.request import Decision, FailurePolicy, Request, ScoreRequest

_BITS = 1.0 / math.log(2.0)


@dataclass(frozen=True, slots=True)
class Judge:
    """Scores answers by the vote of all members.

    Attributes:
        vote: Of whom; where its policy may wait for a member it does, and it goes on without none:
            bits of fewer members are those of another judge.
    """

    fleet: Fleet
    request: Request
    attempt: Attempt
    vote: Decision

    async def most_probable(self, whole: Sequence[Voter]) -> Voter | None:
        """The answer that takes the fewest bits for each of its bytes; an empty one takes none.

        None where it cannot be told: where some answer cannot be scored, or there are calls, which
        are compared as what they are, since their letters say little of them.

        Raises:
            Unavailable: A member was lost, and the policy is to fail.
        """
        if any(voter.calls for voter in whole):
            return None
        if len({voter.text for voter in whole}) == 1:
            return whole[0]
        texts = dict.fromkeys(voter.text for voter in whole if voter.text)
        bits = {}
        for text in texts:
            known = await self._bits_per_byte(text)
            if known is None:
                return None
            bits[text] = known
        for voter in whole:
            voter.bits_per_byte = bits.get(voter.text)
        return min((voter for voter in whole if voter.text), key=lambda voter: bits[voter.text])

    async def _bits_per_byte(self, text: str) -> float | None:
        asked = ScoreRequest(self.request.prompt, text)
        policy = self.vote.on_failure
        waits = policy in (FailurePolicy.AUTO, FailurePolicy.REPLAY)
        vote = replace(self.vote, on_failure=FailurePolicy.REPLAY if waits else FailurePolicy.FAIL)
        try:
            tokens, _ = await score_run(self.fleet, asked, self.attempt, vote)
        except Unavailable:
            if policy is FailurePolicy.FAIL:
                raise
            return None
        except (*STAGE_FAILURES, InvalidRequest):
            return None
        return -_BITS * math.fsum(token.logprob for token in tokens) / asked.continuation_bytes
