"""What becomes of members that are lost, by the failure policy of their request.

A member may be lost at any moment from the request's first look at it to its last row: while it
reads the prompt, waits for a session, computes, or comes back from an earlier loss. The answer is
the same everywhere: the others go on without it, or everyone waits until it is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar

from quorate.engines.contract import Engine
from quorate.errors import Unavailable
from quorate.request import FailurePolicy, Notice, NoticeKind

MAX_WAITS = 3
"""How often a request waits for members that it lost, all together."""

_Answer = TypeVar("_Answer")


class Waits(Enum):
    """When ``FailurePolicy.AUTO`` may wait for the last member.

    ``NEVER`` where another one stands in for the answer, or decides without it, to its end;
    ``ONCE_BEGUN`` where another plan can stand in until then.
    """

    NEVER = "never"
    ONCE_BEGUN = "once_begun"
    ALWAYS = "always"


@dataclass(slots=True)
class Losses:
    """Decides about the lost members of one request and keeps what there is to tell of them.

    Attributes:
        waits: When the last member may be waited for.
        aside: Opened for as long as the request waits for members, so that others may use what it
            holds outside of them.
        notices: What happened since they were last taken.
        dropped: Models that the others went on without.
        waited: How often the request has waited.
        begun: Whether the request has begun.
    """

    policy: FailurePolicy
    waits: Waits = Waits.ALWAYS
    aside: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
    notices: list[Notice] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    waited: int = 0
    begun: bool = False

    def goes_on(self, lost: Mapping[str, Unavailable], members: Sequence[str]) -> bool:
        """Whether the other members go on without those that are lost."""
        if self.policy not in (FailurePolicy.AUTO, FailurePolicy.CONTINUE):
            return False
        return any(model not in lost for model in members)

    def drop(self, lost: Mapping[str, Unavailable], members: Sequence[str]) -> None:
        """Notes that the other members go on without these."""
        rest = ", ".join(model for model in members if model not in lost)
        for model in members:
            if model in lost:
                self.dropped.append(model)
                message = f"{model} was dropped ({lost[model].cause}); {rest} goes on"
                self.notices.append(Notice(NoticeKind.MEMBER_DROPPED, model, message))

    async def wait(
        self,
        lost: Mapping[str, Unavailable],
        engines: Mapping[str, Engine],
        told: str = "was waited for",
    ) -> dict[str, Unavailable]:
        """Waits until the lost members are back.

        Whoever waits holds no session, or two requests could wait for each other.

        Args:
            lost: What befell them.
            engines: Of all members; one that has none will not come back.
            told: What the notice says of those that are back.

        Returns:
            Those without which the others are to go on, since they will not come back.

        Raises:
            Unavailable: The policy does not wait for them, they were lost too often, or they will
                not come back and nobody can go on without them.
        """
        if not self._may_wait or self.waited >= MAX_WAITS:
            raise _first(lost)
        self.waited += 1
        async with self.aside():
            gone = await _those_who_stay_away(lost, engines)
        if gone and not self.goes_on(gone, [*engines]):
            raise _first(gone)
        # Whoever is lost again before anybody heard of the first time is told of once.
        untold = {one.model for one in self.notices if one.kind is NoticeKind.MEMBER_REPLAYED}
        for model, loss in lost.items():
            if model not in gone and model not in untold:
                message = f"{model} {told} ({loss.cause})"
                self.notices.append(Notice(NoticeKind.MEMBER_REPLAYED, model, message))
        return gone

    def take_notices(self) -> list[Notice]:
        """Returns the notices since the last call."""
        taken, self.notices = self.notices, []
        return taken

    @property
    def _may_wait(self) -> bool:
        if self.policy is FailurePolicy.AUTO:
            return self.waits is Waits.ALWAYS or (self.waits is Waits.ONCE_BEGUN and self.begun)
        return self.policy is FailurePolicy.REPLAY


@dataclass(frozen=True, slots=True)
class Attendance:
    """The members of a request before they have sessions.

    Attributes:
        engines: Of those that are there, in the order of the plan.
        losses: What becomes of the others.
    """

    engines: dict[str, Engine]
    losses: Losses

    @classmethod
    async def of(
        cls,
        models: Sequence[str],
        engines: Mapping[str, Engine],
        away: Mapping[str, Unavailable],
        losses: Losses,
    ) -> Attendance:
        """Begins with all models but those that are away and not waited for.

        Args:
            models: Of the plan, in its order.
            engines: Of those that live, ready or not.
            away: Why some of them cannot be counted on now.
            losses: What is to become of them.

        Raises:
            Unavailable: What ``Losses.wait`` raises.
        """
        there = {model: engines[model] for model in models if model in engines}
        if away and losses.goes_on(away, models):
            losses.drop(away, models)
            return cls({model: there[model] for model in models if model not in away}, losses)
        if away:
            gone = await losses.wait(away, there)
            losses.drop(gone, models)
            there = {model: engine for model, engine in there.items() if model not in gone}
        return cls(there, losses)

    async def ask(
        self, question: Callable[[str, Engine], Coroutine[Any, Any, _Answer]]
    ) -> dict[str, _Answer]:
        """Asks every member something; a lost one is asked again once it is back, or left out.

        Returns:
            What the members said, in the order of the plan, by model.

        Raises:
            Unavailable: What ``Losses.wait`` raises.
            QuorateError: What a question raises that is no loss.
        """
        answers: dict[str, _Answer] = {}
        while True:
            asked = {
                model: question(model, engine)
                for model, engine in self.engines.items()
                if model not in answers
            }
            given, lost = await outcomes(asked, self._goes_on)
            answers |= given
            if not lost:
                return {model: answers[model] for model in self.engines}
            if not self._goes_on(lost):
                lost = await self.losses.wait(lost, self.engines)
            self._drop(lost)

    def _goes_on(self, lost: Mapping[str, Unavailable]) -> bool:
        return self.losses.goes_on(lost, [*self.engines])

    def _drop(self, lost: Mapping[str, Unavailable]) -> None:
        self.losses.drop(lost, [*self.engines])
        for model in lost:
            del self.engines[model]


async def outcomes(
    questions: Mapping[str, Coroutine[Any, Any, _Answer]],
    goes_on: Callable[[Mapping[str, Unavailable]], bool],
) -> tuple[dict[str, _Answer], dict[str, Unavailable]]:
    """Asks at once; returns the answers, and what befell those that were lost, by model.

    Where the others do not go on without the lost ones, their questions are given up at once.

    Raises:
        QuorateError: Anything else that a question raises; the other questions are given up.
    """
    answers: dict[str, _Answer] = {}
    lost: dict[str, Unavailable] = {}
    if len(questions) == 1:
        # Most requests have one member, and a task takes some rounds of the event loop.
        ((model, question),) = questions.items()
        try:
            answers[model] = await question
        except Unavailable as error:
            lost[model] = error
        return answers, lost
    models = {asyncio.ensure_future(question): model for model, question in questions.items()}
    asked = {*models}
    try:
        while asked and (not lost or goes_on(lost)):
            done, asked = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            for task in (one for one in models if one in done):
                try:
                    answers[models[task]] = task.result()
                except Unavailable as error:
                    lost[models[task]] = error
    finally:
        for task in asked:
            task.cancel()
        if asked:
            await asyncio.wait(asked)
        for task in models:
            # Whoever was given up, or failed beside another, is told of by nobody.
            if task.done() and not task.cancelled():
                task.exception()
    return answers, lost


async def _those_who_stay_away(
    lost: Mapping[str, Unavailable], engines: Mapping[str, Engine]
) -> dict[str, Unavailable]:
    """Waits for those who come back; returns why the others do not."""
    gone: dict[str, Unavailable] = {}
    for model, loss in lost.items():
        engine = engines.get(model)
        if engine is None:
            gone[model] = loss
            continue
        try:
            await engine.wait_ready()
        except Unavailable as error:
            gone[model] = error
    return gone


def _first(lost: Mapping[str, Unavailable]) -> Unavailable:
    return next(iter(lost.values()))
