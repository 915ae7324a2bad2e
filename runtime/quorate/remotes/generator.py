"""Answers of a remote: retries before the first text, none after it, all within a deadline."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Protocol

from quorate.clocks import since_boot
from quorate.errors import DeadlinePassed
from quorate.remotes.answer import Answer
from quorate.remotes.contract import FailedCall, RemoteEvent, RemoteRequest
from quorate.remotes.cooldown import Cooldown
from quorate.remotes.failures import CallFailed, Failure, FailureKind, wait_seconds
from quorate.remotes.pace import Pace, PaceLimits
from quorate.remotes.settings import RemoteSettings
from quorate.remotes.traffic import Traffic
from quorate.remotes.wire import call_of

_NO_ROOM = "another try has no room in the budget"


@dataclass(frozen=True, slots=True)
class Timing:
    """What a remote asks of the world, so that tests can bring their own.

    Attributes:
        clock: Seconds that never run backwards, and go on while this machine sleeps, as the remote
            and whoever waits for it do.
        wall_clock: Seconds since the epoch, for a ``Retry-After`` that is a date.
        sleep: Waits for so many seconds.
        draw: A number from [0, 1), for jitter.
    """

    clock: Callable[[], float] = since_boot
    wall_clock: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    draw: Callable[[], float] = random.random


class EventSource(Protocol):
    """Where the events of a call come from; ``calls.Calls`` is the real one."""

    def events(
        self, path: str, body: Mapping[str, Any], private: tuple[str, ...], traffic: Traffic
    ) -> AsyncGenerator[list[object], None]:
        """Sends a call and gives the JSON value of each event, those that came together at once."""
        ...


class RemoteGenerator:
    """Generates text at a remote.

    Args:
        cooldown: What the remote asked of one request for all of them.
    """

    def __init__(
        self, settings: RemoteSettings, source: EventSource, timing: Timing, cooldown: Cooldown
    ) -> None:
        self._settings = settings
        self._pace_limits = PaceLimits.of(settings)
        self._source = source
        self._timing = timing
        self._cooldown = cooldown

    async def generate(self, request: RemoteRequest) -> AsyncGenerator[RemoteEvent, None]:
        """Gives pieces of text and at last a ``RemoteEnd``.

        Closing or cancelling it closes the connection at once.

        Raises:
            CallFailed: The remote failed for good; text that was given before stays given.
            DeadlinePassed: The caller's deadline ended first.
        """
        remaining = self._countdown(request.deadline_seconds)
        patience = self._countdown(_shorter(request.deadline_seconds, request.retry_seconds))
        for retry in itertools.count():
            answer, traffic = Answer(request), Traffic(request.on_sent)
            try:
                async with aclosing(self._attempt(request, answer, traffic, remaining)) as events:
                    async for event in events:
                        yield event
                return
            except CallFailed as error:
                failure = error.failure
            wait = None if answer.begun else self._wait(failure, retry, patience())
            self._ask_for_rest(failure, wait)
            failed = _failed_call(failure, answer, traffic, again=wait is not None)
            if not await request.on_failed(failed) and wait is not None:
                raise CallFailed(replace(failure, cause=f"{failure.cause}; {_NO_ROOM}"))
            while wait:
                await self._timing.sleep(wait)
                # Another request may have been told meanwhile to come later still.
                wait = self._cooldown.seconds
                left = patience()
                if left is not None and wait >= left:
                    raise CallFailed(failure)
            if wait is None:
                raise CallFailed(failure)

    async def _attempt(
        self,
        request: RemoteRequest,
        answer: Answer,
        traffic: Traffic,
        remaining: Callable[[], float | None],
    ) -> AsyncGenerator[RemoteEvent, None]:
        path, body = call_of(request, self._settings)
        source = self._source.events(path, body, request.prompt.texts, traffic)
        waiting = _Waiting(source, Pace(self._pace_limits), traffic, remaining)
        async with aclosing(source):
            while not answer.complete:
                try:
                    events = await waiting.next(answer)
                except StopAsyncIteration:
                    break
                except CallFailed:
                    # The answer is whole; only the count of its tokens is lost.
                    if answer.finished:
                        break
                    raise
                for event in events:
                    if (text := answer.push(event)) is not None:
                        yield text
                    if answer.complete:
                        break
        rest, end = answer.end()
        if rest is not None:
            yield rest
        yield end

    def _wait(self, failure: Failure, retry: int, remaining: float | None) -> float | None:
        if retry >= self._settings.max_retries:
            return None
        return wait_seconds(failure, retry, remaining, self._timing.draw)

    def _ask_for_rest(self, failure: Failure, wait: float | None) -> None:
        """Keeps all requests from a remote that told this one to come later."""
        after = failure.retry_after_seconds
        if failure.kind is FailureKind.QUOTA or after is not None:
            self._cooldown.ask((wait or 0.0) if after is None else after, failure.cause)

    def _countdown(self, seconds: float | None) -> Callable[[], float | None]:
        if seconds is None:
            return lambda: None
        deadline = self._timing.clock() + seconds
        return lambda: deadline - self._timing.clock()


class _Waiting:
    """Waits for the events of one call, no longer than its pace and the caller's deadline allow."""

    def __init__(
        self,
        source: AsyncGenerator[list[object], None],
        pace: Pace,
        traffic: Traffic,
        remaining: Callable[[], float | None],
    ) -> None:
        self._source = source
        self._pace = pace
        self._traffic = traffic
        self._remaining = remaining
        self._heard_bytes = 0
        self._answer_bytes = 0

    async def next(self, answer: Answer) -> list[object]:
        """The next events.

        Raises:
            StopAsyncIteration: There is none, or none is waited for any more after the end.
            CallFailed: The call failed, or makes no progress.
            DeadlinePassed: The caller's deadline ended first.
        """
        self._note(answer)
        allowed, complaint = self._pace.left(answer.tokens)
        remaining = self._remaining()
        if remaining is not None and remaining <= 0:
            raise DeadlinePassed("the deadline passed before a remote was asked")
        by_deadline = remaining is not None and remaining < allowed
        clock = asyncio.get_running_loop().time
        since = clock()
        try:
            async with asyncio.timeout(remaining if by_deadline else max(0.0, allowed)):
                return await anext(self._source)
        except TimeoutError:
            if by_deadline:
                raise DeadlinePassed("the deadline passed while a remote was waited for") from None
        finally:
            self._pace.waited(clock() - since)
        if self._pace.ended:
            raise StopAsyncIteration
        if self._traffic.received_bytes == self._heard_bytes:
            complaint = complaint.replace("nothing of the answer", "nothing")
        raise CallFailed(Failure(FailureKind.TRANSIENT, complaint, retryable=True))

    def _note(self, answer: Answer) -> None:
        """Tells the pace what the last events were."""
        if answer.finished:
            self._pace.end()
        elif answer.bytes > self._answer_bytes:
            self._answer_bytes = answer.bytes
            self._pace.progress()
            self._heard_bytes = self._traffic.received_bytes
        elif answer.opened:
            self._pace.begin()


def _shorter(first: float | None, second: float | None) -> float | None:
    known = [seconds for seconds in (first, second) if seconds is not None]
    return min(known, default=None)


def _failed_call(failure: Failure, answer: Answer, traffic: Traffic, *, again: bool) -> FailedCall:
    return FailedCall(
        free=not traffic.sent or (failure.free and not answer.begun),
        begun=answer.begun,
        usage=answer.usage()[0],
        streamed_tokens=answer.tokens,
        again=again,
        kind=failure.kind.value,
    )
