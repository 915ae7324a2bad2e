"""Answers over the wire, as a client hears them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from quorate.client import Client, ServiceError
from quorate.v1 import inference_pb2, plan_pb2

DEADLINE_SECONDS = 240.0


class Stream:
    """An answer that is read in the background.

    Attributes:
        events: What came so far.
        error: What ended it instead of its last event.
        task: Reads it; cancel it to leave.
    """

    def __init__(self, client: Client, prompt: str | None = "", **options: Any) -> None:
        self.events: list[inference_pb2.GenerateResponse] = []
        self.error: ServiceError | None = None
        self._progress = asyncio.Event()
        self.task = asyncio.create_task(self._read(client, prompt, options))

    async def end(self) -> Stream:
        """Waits for the end, whatever it is."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            await self.task
        return self

    async def whole(self) -> Stream:
        """Waits for the end of an answer that nothing ends before."""
        await self.end()
        assert self.finished is not None, self.error
        return self

    async def until(self, condition: Callable[[Stream], bool]) -> None:
        """Waits until what came so far meets a condition."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not condition(self):
                assert not self.task.done(), f"the stream ended first: {self.error}"
                self._progress.clear()
                await self._progress.wait()

    async def heard_or_ended(self, events: int) -> None:
        """Waits until so many events came, or the answer ended before."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while len(self.events) < events and not self.task.done():
                self._progress.clear()
                await self._progress.wait()

    async def leave(self) -> None:
        """Ends the call from the client's side."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    @property
    def text(self) -> str:
        """All text so far."""
        return "".join(event.delta.text for event in self.events)

    @property
    def decision(self) -> plan_pb2.Decision:
        """The plan that ran."""
        assert self.events, self.error
        assert self.events[0].WhichOneof("event") == "accepted"
        return self.events[0].accepted.decision

    @property
    def request_id(self) -> str:
        """The request's id as the server tells it."""
        return self.events[0].accepted.request_id

    @property
    def tokens(self) -> list[inference_pb2.Token]:
        """Every token so far."""
        return [token for event in self.events for token in event.delta.tokens]

    @property
    def notices(self) -> list[inference_pb2.Notice]:
        """Every notice so far."""
        return [event.notice for event in self.events if event.WhichOneof("event") == "notice"]

    @property
    def finished(self) -> inference_pb2.Finished | None:
        """The last event of a whole answer."""
        last = self.events[-1] if self.events else None
        return last.finished if last and last.WhichOneof("event") == "finished" else None

    @property
    def usage(self) -> inference_pb2.Usage:
        """What a whole answer took."""
        assert self.finished is not None, self.error
        return self.finished.usage

    async def _read(self, client: Client, prompt: str | None, options: Any) -> None:
        try:
            async for event in client.generate(prompt, **options):
                self.events.append(event)
                self._progress.set()
        except ServiceError as error:
            self.error = error
        finally:
            self._progress.set()


async def answer(client: Client, prompt: str | None = "", **options: Any) -> Stream:
    """Reads one answer to its end."""
    return await Stream(client, prompt, **options).end()


async def refused(call: Awaitable[Any]) -> ServiceError:
    """The error that a call ends with, told in one line."""
    with pytest.raises(ServiceError) as caught:
        await call
    assert "\n" not in caught.value.message
    return caught.value


def joules_of(usage: inference_pb2.Usage) -> float:
    """Energy of all models of an answer; what is not known adds nothing."""
    return sum(model.energy.joules for model in usage.models)


def usd_of(usage: inference_pb2.Usage) -> float:
    """Dollars of all models of an answer."""
    return sum(model.usd for model in usage.models)
