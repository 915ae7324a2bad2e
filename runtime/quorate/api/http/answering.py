"""Answers whatever the words: one request of a caller is one or several of ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from types import MappingProxyType
from typing import Any, TypeAlias

from quorate.access import limits
from quorate.access.keys import GENERATE
from quorate.api.http.asking import Asked, Context, plan_of
from quorate.api.http.call import Call
from quorate.api.http.echoing import Echoes
from quorate.api.http.guard import Guard, Handler
from quorate.api.http.shapes import Piece, Shape
from quorate.api.leaving import end_each
from quorate.api.tokenizing import Tokenizing
from quorate.dispatch import Dispatcher
from quorate.errors import InvalidRequest
from quorate.fleet.fleet import Fleet
from quorate.request import Event, Request

_Read: TypeAlias = Callable[[Mapping[str, Any], Context], Asked]
_Shape: TypeAlias = Callable[[Asked, str], Shape]
_Run: TypeAlias = Callable[[Request], AsyncGenerator[Event, None]]
_NO_NAMES: Mapping[str, str] = MappingProxyType({})
_Events: TypeAlias = AsyncGenerator[tuple[int, Event], None]


class Answering:
    """Answers by what the dispatcher has.

    Args:
        dispatcher: Runs requests.
        fleet: Knows the models.
        guard: Reads bodies.
        tokenizing: Turns prompts into tokens that are told.
    """

    def __init__(
        self, dispatcher: Dispatcher, fleet: Fleet, guard: Guard, tokenizing: Tokenizing
    ) -> None:
        self._dispatcher = dispatcher
        self._echoes = Echoes(dispatcher, fleet, tokenizing)
        self._fleet = fleet
        self._guard = guard

    def handler(self, read: _Read, shape: _Shape, names: Mapping[str, str] = _NO_NAMES) -> Handler:
        """Answers requests of one kind.

        Args:
            read: What a body asks for.
            shape: How the answer is told.
            names: What callers call fields that have other names elsewhere.
        """
        return partial(self._answer, read, shape, names)

    async def _answer(
        self, read: _Read, shape: _Shape, names: Mapping[str, str], call: Call
    ) -> None:
        record, call.names = call.record, names
        record.caller.require(GENERATE)
        statuses = self._fleet.list()
        context = Context(
            models=[status.id for status in statuses],
            context_length=max((status.context_length for status in statuses), default=0),
            profiles=self._dispatcher.profiles,
            request_id=record.request_id,
            key=record.caller.key,
            origin=record.origin,
            trace_parent=limits.trace_parent(call.header("traceparent")),
        )
        asked = await self._guard.read(call, lambda body: read(body, context))
        call.names = asked.names
        record.identify(asked.request_id)
        record.ask(plan_of(asked))
        most, count = record.caller.max_requests, len(asked.requests)
        if most and count > most:
            problem = f"asks for {count} answers, and this key may have {most} requests at once"
            raise InvalidRequest("n", f"{problem}; ask for fewer")
        told = shape(asked, record.request_id)
        run: _Run = self._dispatcher.generate
        if asked.echo:
            run = partial(self._echoes.answer, answers=asked.answers)
        turn = self._dispatcher.turns.enter_alone
        answers = _events(run, asked.requests, turn, partial(_blame, call, asked))
        async with aclosing(answers) as events:
            if asked.stream:
                await _stream(call, told, events)
            else:
                async for index, event in events:
                    record.note(event)
                    told.add(index, event, keep=True)
        if not asked.stream:
            await call.answer_long(told.whole)


def _blame(call: Call, asked: Asked, index: int) -> None:
    """Has an error name the fields of the request that failed."""
    call.names = asked.names_of(index)


async def _stream(call: Call, told: Shape, events: _Events) -> None:
    call.as_sent = told.as_sent
    async for index, event in events:
        call.record.note(event)
        told.add(index, event, keep=False)
        if not call.began:
            # Not before something runs: until then a status can tell what is wrong.
            await call.begin_events()
        for piece in told.pieces(index, event):
            await _send(call, piece)
    for piece in told.endings():
        await _send(call, piece)
    await call.end_events(told.last)


async def _send(call: Call, piece: Piece) -> None:
    if callable(piece):
        await call.event_long(piece)
    else:
        await call.event(piece)


async def _events(
    run: _Run,
    requests: Sequence[Request],
    turn: Callable[[], Awaitable[None]],
    blame: Callable[[int], None] = lambda _: None,
) -> _Events:
    """The events of all requests as they come, each with the place of its request.

    Args:
        run: Answers one request.
        requests: At least one.
        turn: Of the event loop, before what one of them holds is given back.
        blame: Told the place of the first of several that fails, before that is raised.

    Raises:
        QuorateError: What the first request that fails fails with; the others end with it.
    """
    if len(requests) == 1:
        async with aclosing(run(requests[0])) as events:
            async for event in events:
                yield 0, event
        return
    # Whoever is ahead waits for the reader, as a lone request does.
    waiting: asyncio.Queue[tuple[int, Event | BaseException | None]] = asyncio.Queue(maxsize=1)
    tasks = [
        asyncio.ensure_future(_feed(waiting, index, run(request)))
        for index, request in enumerate(requests)
    ]
    try:
        left = len(tasks)
        while left:
            index, found = await waiting.get()
            if isinstance(found, BaseException):
                blame(index)
                raise found
            if found is None:
                left -= 1
            else:
                yield index, found
    finally:
        # Each has much to give back, as where so many clients leave.
        await end_each(tasks, turn)


async def _feed(
    waiting: asyncio.Queue[tuple[int, Event | BaseException | None]],
    index: int,
    answer: AsyncGenerator[Event, None],
) -> None:
    """Passes on the events of one answer, then what it failed with, or None."""
    last: BaseException | None = None
    try:
        async with aclosing(answer) as events:
            async for event in events:
                await waiting.put((index, event))
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        # Nobody asked for it: whoever waits for this answer would do so for ever.
        last = error
    except Exception as error:
        last = error
    await waiting.put((index, last))
