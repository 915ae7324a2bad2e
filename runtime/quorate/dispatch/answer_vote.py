"""Answers by a vote of whole answers: members answer on their own, and one answer is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace

from quorate.dispatch.answers import Part, Started, once_begun, run_vote, streams_early
from quorate.dispatch.attempt import Attempt
from quorate.dispatch.cascade import STAGE_FAILURES
from quorate.dispatch.judging import Judge
from quorate.dispatch.signals import SignalReader
from quorate.dispatch.voters import Voter
from quorate.ensemble.ballot import Ballot
from quorate.ensemble.losses import Waits
from quorate.errors import Unavailable
from quorate.fleet.fleet import Fleet
from quorate.request import (
    DecidedAnswers,
    Decision,
    FailurePolicy,
    FinishReason,
    Notice,
    NoticeKind,
    Outcome,
    Request,
    Selection,
    Weighting,
)
from quorate.routing.confidence import ConfidenceTable
from quorate.routing.forecast import vote_key
from quorate.sampling.options import another_seed


@dataclass(frozen=True, slots=True)
class AnswerVote:
    """One answer, chosen of those that members give on their own."""

    fleet: Fleet
    request: Request
    attempt: Attempt
    max_tokens: int
    confidences: ConfidenceTable

    def answer(self) -> AsyncGenerator[Part, None]:
        """Gives the answer that is kept, and notes in the attempt what the others were.

        All answers are made at once, and those that can change nothing any more are ended. A member
        that cannot answer has no vote, and a notice tells so. What may be replaced is held back,
        unless the plan says to stream the first voter's answer early. Where no answer begins at
        all, nothing is given, so that another plan may answer.

        Raises:
            QuorateError: What the first voter raises, and nobody else answers either; or an error
                that is the request's own.
        """
        return once_begun(self._parts())

    async def _parts(self) -> AsyncGenerator[Part, None]:
        voters = self._voters()
        ballot = Ballot([voter.weight for voter in voters])
        async with aclosing(self._made(voters, ballot)) as parts:
            async for part in parts:
                yield part
        for voter in voters:
            if voter.failure is not None:
                yield _abstains(voter, voter.failure.message)
        whole = [voter for voter in voters if voter.ended]
        likely: Voter | None = None
        if (vote := self._decided.judge) is not None:
            judge = Judge(self.fleet, self.request, self.attempt, vote)
            if (likely := await judge.most_probable(whole)) is None:
                yield _unscored(vote)
        kept, tied = self._most_said(voters, ballot) if likely is None else (likely, False)
        place = voters.index(kept)
        given = tuple(voter.given() for voter in voters)
        self.attempt.outcome = Outcome(given, tuple(ballot.groups), place, tied)
        if kept is not voters[0] and voters[0].told:
            yield _outvoted(voters[0], kept)
        for part in kept.parts[kept.told :]:
            yield part

    async def _made(self, voters: Sequence[Voter], ballot: Ballot) -> AsyncGenerator[Part, None]:
        """Has all voters answer until it is settled who wins; gives what is told at once."""
        begun = False
        async with self._making(voters) as came:
            while not self._settled(voters, ballot):
                index, part = await came.get()
                begun = begun or part is not None
                if part is not None:
                    voters[index].told += not isinstance(part, Started)
                    yield part
                else:
                    self._count(ballot, index, voters[index])
        for index, voter in enumerate(voters):
            # Some were whole when the last one was counted.
            if voter.ended and not voter.counted:
                self._count(ballot, index, voter)
        if not any(voter.ended for voter in voters):
            async with aclosing(self._waited(voters[0], begun)) as parts:
                async for part in parts:
                    yield part
            ballot.readmit(0, voters[0].weight)
            self._count(ballot, 0, voters[0])

    @property
    def _decided(self) -> DecidedAnswers:
        decided = self.attempt.decision.route.answers
        assert decided is not None
        return decided

    def _streams(self, index: int) -> bool:
        """Whether a voter's answer is streamed as it is made."""
        return index == 0 and streams_early(self.request, self.attempt.decision)

    def _voters(self) -> list[Voter]:
        """The voters in the plan's order: every member's first answer, then the second ones."""
        decided, members = self._decided, self.attempt.decision.members
        judged = decided.weighting is Weighting.CONFIDENCE
        shown, size = self.request.response, self.request.prompt.size_bytes
        return [
            Voter(
                replace(vote, seed=another_seed(vote.seed, sample)),
                sample,
                (member.weight or 0.0) / decided.samples,
                SignalReader(shown, size) if judged else None,
            )
            for sample in range(decided.samples)
            for member, vote in zip(members, decided.votes, strict=True)
        ]

    @asynccontextmanager
    async def _making(
        self, voters: Sequence[Voter]
    ) -> AsyncIterator[asyncio.Queue[tuple[int, Part | None]]]:
        """All voters answer at once, for as long as the context lasts.

        Yields:
            What is to be told at once, each with the place of its voter; None ends an answer.
        """
        # Whoever makes answers waits for who reads them.
        came: asyncio.Queue[tuple[int, Part | None]] = asyncio.Queue(maxsize=1)
        # Nobody else could answer while the one model is away.
        alone = len({voter.model for voter in voters}) == 1
        waits = self.attempt.patience if alone else Waits.NEVER
        aside = self.attempt.aside
        if len(voters) > 1:
            # The request has one place, which others may not be let into once for each voter.
            self.attempt.aside = nullcontext
        tasks = [
            asyncio.ensure_future(self._make(index, voter, waits, came))
            for index, voter in enumerate(voters)
        ]
        try:
            yield came
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self.attempt.aside = aside

    async def _make(
        self, index: int, voter: Voter, waits: Waits, came: asyncio.Queue[tuple[int, Part | None]]
    ) -> None:
        """Has a voter answer; fails of nothing but of being cancelled."""
        try:
            async with aclosing(self._run(voter, waits)) as parts:
                async for part in parts:
                    told = part if isinstance(part, Started) else voter.take(part)
                    early = self._streams(index) and not isinstance(part, FinishReason)
                    if early or isinstance(part, Started):
                        await came.put((index, told))
        except STAGE_FAILURES as error:
            voter.failure, voter.ended = error, False
            if isinstance(error, Unavailable) and voter.decision.on_failure is FailurePolicy.FAIL:
                voter.fatal = error
        except (asyncio.CancelledError, Exception) as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                # Nobody waits for it any more.
                raise
            # Also where nobody cancelled it: whoever waits for this answer would do so for ever.
            voter.fatal = error
        await came.put((index, None))

    def _run(self, voter: Voter, waits: Waits) -> AsyncGenerator[Part, None]:
        """A voter's answer; ``waits`` is as in ``ensemble.losses.Losses``."""
        return run_vote(
            voter.decision,
            self.fleet,
            self.request,
            self.request.response if voter.reader is None else voter.reader.needed,
            self.attempt,
            self.max_tokens,
            waits=waits,
        )

    async def _waited(self, first: Voter, begun: bool) -> AsyncGenerator[Part, None]:
        """Where all voters failed, the first one answers once its model is back.

        Where none had ``begun`` another plan may stand in sooner.

        Raises:
            QuorateError: What it failed of, where nobody waits for that.
        """
        failure = first.failure
        assert failure is not None
        patient = first.decision.on_failure is FailurePolicy.AUTO
        stands_in = self.attempt.replaceable and not begun
        if not patient or stands_in or not isinstance(failure, Unavailable):
            raise failure
        if first.told:
            yield _begun_again(first)
        first.begin_again()
        async with aclosing(self._run(first, Waits.ALWAYS)) as parts:
            async for part in parts:
                if isinstance(part, Started):
                    yield part
                else:
                    first.take(part)

    def _settled(self, voters: Sequence[Voter], ballot: Ballot) -> bool:
        """Whether it is settled which answer is kept, whatever else comes."""
        if self._decided.select is Selection.LIKELIHOOD or not ballot.settled:
            return all(voter.counted for voter in voters)
        groups = ballot.groups
        # An earlier voter who says the same would be told instead: that must not depend on times.
        return not groups or all(voter.counted for voter in voters[: groups[0].answers[0]])

    def _count(self, ballot: Ballot, index: int, voter: Voter) -> None:
        """Counts an answer, or that there is none.

        Raises:
            BaseException: What ends the whole request.
        """
        voter.counted = True
        if voter.fatal is not None:
            raise voter.fatal
        if voter.failure is not None:
            ballot.withdraw(index)
            return
        if voter.reader is not None:
            key, task = vote_key(voter.decision), self.attempt.decision.route.task
            signals = voter.reader.signals()
            voter.confidence = self.confidences.confidence(key, task, signals)
        share = 1.0 if voter.confidence is None else voter.confidence
        ballot.cast(index, voter.read(self._decided.compare), share)

    def _most_said(self, voters: Sequence[Voter], ballot: Ballot) -> tuple[Voter, bool]:
        """The voter whose answer most agree with, and whether another one has as much for it."""
        if ballot.groups:
            return voters[ballot.groups[0].answers[0]], ballot.tied
        # None says anything that could be compared: the one that weighs most is as good as any.
        whole = [voter for voter in voters if voter.ended]
        return max(whole, key=lambda voter: voter.weight), False


def _abstains(voter: Voter, problem: str) -> Notice:
    return Notice(
        NoticeKind.MEMBER_DROPPED,
        voter.model,
        f"{voter.model} gives no answer, and the others decide: {problem}",
    )


def _unscored(judge: Decision) -> Notice:
    return Notice(
        NoticeKind.FELL_BACK,
        judge.members[0].model,
        "the answers could not be scored by all members together; what most of them say is kept",
    )


def _begun_again(first: Voter) -> Notice:
    message = f"the answer of {first.model} broke off, as all others did, and is made again"
    return Notice(NoticeKind.ESCALATED, first.model, message)


def _outvoted(first: Voter, kept: Voter) -> Notice:
    return Notice(
        NoticeKind.ESCALATED,
        first.model,
        f"the answer of {first.model} gives way to that of {kept.model}"
        + (", which has more for it" if first.failure is None else ", for it broke off"),
    )
