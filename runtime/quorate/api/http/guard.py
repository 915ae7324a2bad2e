"""Around every request: what every door does around its calls, and what HTTP needs beside it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any, TypeAlias, TypeVar

from quorate.access.keys import KeyRing
from quorate.access.origins import origin
from quorate.access.record import CURRENT, ObserveCall, RequestRecord
from quorate.api.calls import Calls
from quorate.api.faults import forget_frames
from quorate.api.http.bodies import MOST_VALUES, json_object
from quorate.api.http.call import Call, ClientLeft, Receive, Scope, Send
from quorate.api.http.errors import error_body, error_headers, http_status
from quorate.api.http.pages import check_host, check_origin, named_origin
from quorate.api.http.settings import HttpSettings
from quorate.api.leaving import forget_outcome
from quorate.api.open_calls import OpenCalls
from quorate.api.reading import Reader
from quorate.dispatch.loop_turns import LoopTurns
from quorate.engines.fair_turns import Caller
from quorate.errors import PermissionDenied, QuorateError

Handler: TypeAlias = Callable[[Call], Awaitable[None]]

ErrorBody: TypeAlias = Callable[[QuorateError, str, Mapping[str, str]], dict[str, Any]]
"""The body that an error of a request is told with, by its id and the caller's names of fields."""

_Asked = TypeVar("_Asked")


class Guard:
    """Answers requests that have passed it.

    Args:
        keys: Who may call.
        settings: Limits of requests.
        open_calls: Of each caller.
        reader: Reads bodies.
        turns: Of the event loop.
        caller: Whose turns a request takes, by key and origin.
        observe: Told of each request that ended.
    """

    def __init__(
        self,
        keys: KeyRing,
        settings: HttpSettings,
        open_calls: OpenCalls,
        reader: Reader,
        turns: LoopTurns,
        caller: Callable[[str, str], Caller],
        observe: ObserveCall = lambda *_: None,
    ) -> None:
        self._reader = reader
        self._keys = keys
        self._settings = settings
        self._open_calls = open_calls
        self._calls = Calls(keys, open_calls, turns, caller, settings.receive_seconds, observe)

    def end_all(self) -> None:
        """Ends every request that still runs, with the news that the server stops."""
        self._calls.end_all()

    async def answer(
        self,
        method: str,
        handler: Handler,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        needs_key: bool = True,
        words: ErrorBody = error_body,
    ) -> None:
        """Answers one request.

        Args:
            method: What the log and metrics call it.
            handler: Serves it.
            scope: As ASGI has it.
            receive: Likewise.
            send: Likewise.
            needs_key: Whether a caller without a key is refused, where there are keys.
            words: The body that an error is told with.
        """
        peer = _peer(scope)
        record = RequestRecord(method, uuid.uuid4().hex, peer=peer, origin=origin(peer))
        CURRENT.set(record)
        call = Call(scope, receive, send, record, self._settings.max_body_bytes)
        origins = self._settings.origins
        call.site = named_origin(call.header("origin"), origins, self._keys.wanted)
        refusal = self._refusal(record, call) if needs_key else None
        self._calls.work_for(record, refused=refusal is not None)
        try:
            await self._answered(call, handler, refusal, words)
        except asyncio.CancelledError:
            # At the end of the server, which has closed the connection, nobody is left to hear it.
            if not self._calls.stopped:
                raise

    async def _answered(
        self, call: Call, handler: Handler, refusal: QuorateError | None, words: ErrorBody
    ) -> None:
        record = call.record
        with self._open_calls.one(record.whose):
            with self._calls.told(record):
                serve = partial(handler, call)
                answering = self._calls.outcome(record, refusal, _for_ever, serve, ClientLeft)
                turn = self._calls.turn_to_leave(refused=refusal is not None)
                problem = await self._while_there(call, answering, turn)
            if problem is not None:
                await self._tell(problem, call, words)

    def _refusal(self, record: RequestRecord, call: Call) -> QuorateError | None:
        """Notes who calls; returns why nobody is answered that way, if so."""
        if (stranger := self._calls.identify(record, _authorization(call))) is not None:
            return stranger
        try:
            if not call.site:
                check_origin(call.header("origin"), call.header("host"))
            if not self._keys.wanted:
                # Where there are keys, a page has none.
                check_host(call.header("host"), self._settings.hosts)
        except PermissionDenied as error:
            return error
        return None

    async def _while_there(
        self,
        call: Call,
        answering: Coroutine[Any, Any, QuorateError | None],
        turn: Callable[[], Awaitable[None]],
    ) -> QuorateError | None:
        """What this comes to; where the client leaves meanwhile it is cancelled in its turn."""
        task, left = asyncio.ensure_future(answering), asyncio.ensure_future(call.left())
        try:
            await asyncio.wait((task, left), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                await turn()
                task.cancel()
                await asyncio.wait((task,))
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait((task,))
            raise
        finally:
            left.cancel()
            if task.cancelled():
                forget_outcome(task)
        try:
            return None if task.cancelled() else task.result()
        except ClientLeft:
            return None

    async def read(
        self, call: Call, ask: Callable[[Mapping[str, Any]], _Asked], most_values: int = MOST_VALUES
    ) -> _Asked:
        """What the body of a request asks for that begins now.

        Nothing else is kept of a body, which may be large and the answer to it long.

        Args:
            call: The request.
            ask: What the object asks for that the body is. Called on a thread where it is large.
            most_values: How many values it may have.

        Raises:
            InvalidRequest: The body is no object, or as ``ask``.
            PeerStalled: It did not come to its end in time.
        """

        async def asked(data: bytes) -> _Asked:
            return await self._reader.run(len(data), lambda: ask(json_object(data, most_values)))

        return await self._calls.read(call.record, call.body, asked)

    async def _tell(self, problem: QuorateError, call: Call, words: ErrorBody) -> None:
        forget_frames(problem)
        told = words(problem, call.record.request_id, call.names)
        if call.streams:
            await call.event(told)
            await call.end_events()
            return
        if call.began:
            # It has a status already; the transport ends the connection.
            return
        if await self._leaves(call, self._calls.pause_before(problem, call.record.whose)):
            return
        await call.answer(http_status(problem), told, error_headers(problem))

    async def _leaves(self, call: Call, pause: Coroutine[Any, Any, None]) -> bool:
        """Whether the client leaves during a pause, which it does not outlast."""
        pausing, gone = asyncio.ensure_future(pause), asyncio.ensure_future(call.gone())
        try:
            await asyncio.wait((pausing, gone), return_when=asyncio.FIRST_COMPLETED)
            return not pausing.done()
        finally:
            pausing.cancel()
            gone.cancel()


def _for_ever() -> None:
    """How long a caller waits, who can say so only by leaving."""


def _authorization(call: Call) -> str | None:
    """The key as OpenAI's clients send it, or as Anthropic's do."""
    key = call.header("x-api-key")
    return call.header("authorization") or (None if key is None else f"Bearer {key}")


def _peer(scope: Scope) -> str:
    """The address a request comes from, as gRPC would write it."""
    client = scope.get("client")
    if not client:
        return ""
    host, port = client[0], client[1]
    return f"ipv6:%5B{host}%5D:{port}" if ":" in host else f"ipv4:{host}:{port}"
