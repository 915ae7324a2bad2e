"""A dispatcher that plays scripts, for what a real one cannot be made to do on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from quorate.dispatch import AttemptRecorder
from quorate.dispatch.loop_turns import LoopTurns
from quorate.engines.fair_turns import Caller
from quorate.request import (
    Accepted,
    Delta,
    Event,
    Finished,
    FinishReason,
    Request,
    Score,
    ScoreRequest,
    Token,
    Usage,
)
from support.attempts import vote_decision

DECISION = vote_decision({"a": 0.5, "b": 0.5})
FINISHED = Finished(FinishReason.END_OF_GENERATION, Usage(1, 1, 1.0, 2.0))


def accepted(request: Request) -> Accepted:
    return Accepted(request.request_id, DECISION)


def delta(text: str) -> Delta:
    return Delta(text, (Token(1, text.encode(), -0.5),))


class FakeDispatcher:
    """Plays ``script`` for every request.

    Attributes:
        requests: What arrived, translated.
        running: Streams open now.
        closed: Set whenever a stream ends, for whatever cause.
    """

    def __init__(self, script: Callable[[Request], AsyncIterator[Event]]) -> None:
        self._script = script
        self.recorder = AttemptRecorder()
        self.turns = LoopTurns()
        self.default_profile = ""
        self.requests: list[Any] = []
        self.running = 0
        self.started = asyncio.Event()
        self.closed = asyncio.Event()

    async def generate(self, request: Request) -> AsyncIterator[Event]:
        self.requests.append(request)
        self.running += 1
        self.started.set()
        try:
            async for event in self._script(request):
                yield event
        finally:
            self.running -= 1
            self.closed.set()

    def caller(self, key: str, origin: str) -> Caller:
        return Caller(key or origin)

    async def score(self, request: ScoreRequest) -> Score:
        self.requests.append(request)
        return Score(request.request_id, DECISION, -1.5, 2, (), Usage(1, 1, None, 2.0))

    def profiles_down(self) -> dict[str, str]:
        return {}

    async def drain(self, deadline_seconds: float) -> bool:
        return self.running == 0


async def answer(request: Request) -> AsyncIterator[Event]:
    """Two words and the end."""
    yield accepted(request)
    yield delta("hello")
    yield delta(" world")
    yield FINISHED


async def endless(request: Request) -> AsyncIterator[Event]:
    """One word, and nothing more until the stream is closed."""
    yield accepted(request)
    yield delta("hello")
    await asyncio.Event().wait()


def raising(error: BaseException, after: int = 0) -> Callable[[Request], AsyncIterator[Event]]:
    """A script that ends with an error, after that many events of ``answer``."""

    async def script(request: Request) -> AsyncIterator[Event]:
        left = after
        async for event in answer(request):
            if not left:
                raise error
            left -= 1
            yield event

    return script
