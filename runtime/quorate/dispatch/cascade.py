"""Answers by a cascade: the first stage that is sure enough of its answer keeps it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import pairwise

from quorate.dispatch.answers import Part, Started, once_begun, run_vote, streams_early
from quorate.dispatch.attempt import Attempt
from quorate.dispatch.signals import SignalReader
from quorate.ensemble.losses import Waits
from quorate.errors import CannotRun, Overloaded, PromptTooLong, TemplateRefused, Unavailable
from quorate.fleet.fleet import Fleet
from quorate.request import (
    DecidedStage,
    Decision,
    Delta,
    FinishReason,
    Notice,
    NoticeKind,
    Request,
    ResponseOptions,
)
from quorate.routing.confidence import ConfidenceTable
from quorate.routing.forecast import vote_key

STAGE_FAILURES = (Unavailable, Overloaded, CannotRun, PromptTooLong, TemplateRefused)
"""Errors of one stage: a later one may hold what does not fit it, and read what it cannot."""


@dataclass(slots=True)
class _StageAnswer:
    """The answer of a stage, kept until it is known whether it is sure enough.

    Attributes:
        reader: Reads how sure it is of itself.
        problem: Why its stage ended without an answer.
    """

    stage: DecidedStage
    reader: SignalReader
    parts: list[Part] = field(default_factory=list)
    confidence: float = 0.0
    problem: str = ""

    def take(self, part: Part) -> Part:
        """Keeps a part of the answer; returns it as the caller may see it."""
        shown = self.reader.read(part) if isinstance(part, Delta) else part
        self.parts.append(shown)
        return shown

    def judge(self, attempt: Attempt, confidences: ConfidenceTable) -> None:
        """Finds out how sure the answer is; one that is not complete is not sure at all."""
        if self.problem:
            return
        key, task = vote_key(self.stage.decision), attempt.decision.route.task
        self.confidence = confidences.confidence(key, task, self.reader.signals())


@dataclass(frozen=True, slots=True)
class Cascade:
    """One answer by a cascade."""

    fleet: Fleet
    request: Request
    attempt: Attempt
    max_tokens: int
    confidences: ConfidenceTable

    def answer(self) -> AsyncGenerator[Part, None]:
        """Answers with the first stage that is sure enough, or with the last.

        What may be replaced is held back, unless the plan says to stream it early and the caller
        can be told that it was. A stage that fails is followed by the next, which waits for no
        model that restarts; where the last one fails before it said anything, the surest answer so
        far is kept. Where no stage begins at all, nothing is given, so that another plan may
        answer.

        Raises:
            QuorateError: What the last stage raises, and there is no answer to fall back on.
        """
        return once_begun(self._stages())

    @property
    def _early(self) -> bool:
        return streams_early(self.request, self.attempt.decision)

    async def _stages(self) -> AsyncGenerator[Part, None]:
        """Runs stage after stage; each one that has sessions begins anew."""
        route = self.attempt.decision.route
        kept: _StageAnswer | None = None
        for stage, following in pairwise(route.stages):
            reader = SignalReader(self.request.response, self.request.prompt.size_bytes)
            held = _StageAnswer(stage, reader)
            async with aclosing(self._tried(held)) as parts:
                async for part in parts:
                    yield part
            if not held.problem and held.confidence >= stage.confidence:
                self.attempt.given_by = stage.decision
                for part in held.parts[-1:] if self._early else held.parts:
                    yield part
                return
            if not held.problem and (kept is None or held.confidence >= kept.confidence):
                kept = held
            yield _escalated(held, following)
        async with aclosing(self._last(kept)) as parts:
            async for part in parts:
                yield part

    async def _tried(self, held: _StageAnswer) -> AsyncGenerator[Part, None]:
        """Has a stage answer into ``held``; shows of it what may be shown early."""
        try:
            run = self._run(held.stage.decision, held.reader.needed, Waits.NEVER)
            async with aclosing(run) as parts:
                async for part in parts:
                    if isinstance(part, Started):
                        yield part
                        continue
                    shown = held.take(part)
                    if self._early and not isinstance(part, FinishReason):
                        yield shown
        except STAGE_FAILURES as error:
            held.problem = error.message
        held.judge(self.attempt, self.confidences)

    async def _last(self, kept: _StageAnswer | None) -> AsyncGenerator[Part, None]:
        """Has the last stage answer, or gives the answer that was kept where it cannot."""
        stage = self.attempt.decision.route.stages[-1]
        answered = False
        # An answer that is there already is worth more than one that has to be waited for.
        waits = self.attempt.patience if kept is None else Waits.ONCE_BEGUN
        run = self._run(stage.decision, self.request.response, waits)
        try:
            async with aclosing(run) as parts:
                async for part in parts:
                    answered = answered or not isinstance(part, Started)
                    self.attempt.given_by = stage.decision
                    yield part
            return
        except STAGE_FAILURES as error:
            if kept is None or answered:
                raise
            problem = error.message
        self.attempt.given_by = kept.stage.decision
        yield _kept(kept, problem)
        for part in kept.parts:
            yield part

    def _run(
        self, decision: Decision, response: ResponseOptions, waits: Waits
    ) -> AsyncGenerator[Part, None]:
        return run_vote(
            decision,
            self.fleet,
            self.request,
            response,
            self.attempt,
            self.max_tokens,
            waits=waits,
        )


def _kept(held: _StageAnswer, problem: str) -> Notice:
    """Tells that an answer is kept after all."""
    kept = _members(held.stage)
    return Notice(
        NoticeKind.FELL_BACK,
        held.stage.decision.members[0].model,
        f"the last stage cannot answer ({problem}); the answer of {kept} is kept, at a confidence "
        f"of {held.confidence:.2f}",
    )


def _members(stage: DecidedStage) -> str:
    return " + ".join(member.model for member in stage.decision.members)


def _escalated(held: _StageAnswer, following: DecidedStage) -> Notice:
    stage = held.stage
    first, then = _members(stage), _members(following)
    why = held.problem or (
        f"its confidence is {held.confidence:.2f}, and {stage.confidence:.2f} is asked for"
    )
    return Notice(
        NoticeKind.ESCALATED, stage.decision.members[0].model, f"{first} gives way to {then}: {why}"
    )
