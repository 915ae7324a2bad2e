"""Answers of a remote: retries before the first text, none after it, all within a deadline."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol

from quorate.clocks import since_boot
from quorate.errors import DeadlinePassed
from quorate.remotes.answer import Answer
from quorate.remotes.contract import RemoteEvent, RemoteRequest
from quorate.remotes.failures import CallFailed, wait_seconds
from quorate.remotes.settings import RemoteSettings
from quorate.remotes.wire import call_of


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
        self, path: str, body: Mapping[str, Any], private: tuple[str, ...]
    ) -> AsyncGenerator[object, None]:
        """Sends a call and gives the JSON value of each event."""
        ...


class RemoteGenerator:
    """Generates text at a remote."""

    def __init__(self, settings: RemoteSettings, source: EventSource, timing: Timing) -> None:
        self._settings = settings
        self._source = source
        self._timing = timing

    async def generate(self, request: RemoteRequest) -> AsyncGenerator[RemoteEvent, None]:
        """Gives pieces of text and at last a ``RemoteEnd``.

        Closing or cancelling it closes the connection at once.

        Raises:
            CallFailed: The remote failed for good; text that was given before stays given.
            DeadlinePassed: The caller's deadline ended first.
        """
        remaining = self._countdown(request.deadline_seconds)
        for retry in itertools.count():
            begun = False
            try:
                async with aclosing(self._attempt(request, remaining)) as events:
                    async for event in events:
                        begun = True
                        yield event
                return
            except CallFailed as error:
                wait = self._wait(error, retry, remaining())
                if begun or wait is None:
                    raise
            await self._timing.sleep(wait)

    async def _attempt(
        self, request: RemoteRequest, remaining: Callable[[], float | None]
    ) -> AsyncGenerator[RemoteEvent, None]:
        answer = Answer(request)
        path, body = call_of(request, self._settings)
        async with aclosing(self._source.events(path, body, request.prompt.texts)) as source:
            while not answer.complete:
                try:
                    event = await _within(remaining(), source)
                except StopAsyncIteration:
                    break
                except CallFailed:
                    # The answer is whole; only the count of its tokens is lost.
                    if answer.finished:
                        break
                    raise
                if (text := answer.push(event)) is not None:
                    yield text
        rest, end = answer.end()
        if rest is not None:
            yield rest
        yield end

    def _wait(self, error: CallFailed, retry: int, remaining: float | None) -> float | None:
        if retry >= self._settings.max_retries:
            return None
        return wait_seconds(error.failure, retry, remaining, self._timing.draw)

    def _countdown(self, seconds: float | None) -> Callable[[], float | None]:
        if seconds is None:
            return lambda: None
        deadline = self._timing.clock() + seconds
        return lambda: deadline - self._timing.clock()


async def _within(seconds: float | None, source: AsyncGenerator[object, None]) -> object:
    """The next event, waited for no longer than until the deadline."""
    if seconds is not None and seconds <= 0:
        raise DeadlinePassed("the deadline passed before a remote was asked")
    try:
        async with asyncio.timeout(seconds):
            return await anext(source)
    except TimeoutError:
        raise DeadlinePassed("the deadline passed while a remote was waited for") from None
