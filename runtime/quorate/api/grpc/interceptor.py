"""Around every RPC: the key before the message, limits of time, errors, and one line in the log."""

from __future__ import annotations

import asyncio
import inspect
import uuid
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Collection,
)
from contextlib import aclosing, closing, suppress
from functools import partial
from typing import Any, TypeAlias

import grpc

from quorate.access.keys import KeyRing
from quorate.access.origins import origin
from quorate.access.record import CURRENT, ObserveCall, RequestRecord
from quorate.api.calls import Calls
from quorate.api.faults import forget_frames
from quorate.api.grpc.calls import request_id_metadata
from quorate.api.grpc.connections import Connections
from quorate.api.grpc.errors import rich_status
from quorate.api.grpc.reading import RequestReader, parsed
from quorate.api.grpc.settings import ServerSettings
from quorate.api.grpc.writing import PatientContext
from quorate.api.leaving import to_its_end
from quorate.api.open_calls import OpenCalls
from quorate.api.reception import Reception, ReceptionLimits
from quorate.dispatch.loop_turns import LoopTurns
from quorate.engines.fair_turns import Caller
from quorate.errors import (
    InvalidRequest,
    Overloaded,
    PeerStalled,
    QuorateError,
    Unauthenticated,
)

OWN_METHODS = "/quorate.v1."

# What others' services are asked for are names and numbers.
_FOREIGN_BYTES = 4096
_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_Parse: TypeAlias = "Callable[[bytes], Awaitable[Any]]"


class RequestInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the handlers of every service.

    All of them become handlers of streams, whatever their RPC is called: of those gRPC asks for no
    message by itself, so that nothing of a message is taken in before the caller is known.

    Args:
        keys: Who may call.
        settings: Limits of calls.
        connections: Told what each of them does.
        open_calls: Of each caller.
        reader: Reads requests.
        turns: Of the event loop.
        caller: Whose turns a call takes, by key and origin.
        open_services: Full names of gRPC's own services that need no key.
        on_call: Told of the peer of each call.
        observe: Told of each call of ours that ended.
    """

    def __init__(
        self,
        keys: KeyRing,
        settings: ServerSettings,
        connections: Connections,
        open_calls: OpenCalls,
        reader: RequestReader,
        turns: LoopTurns,
        caller: Callable[[str, str], Caller],
        open_services: Collection[str] = (),
        on_call: Callable[[str], None] = lambda peer: None,
        observe: ObserveCall = lambda *_: None,
    ) -> None:
        self._keys = keys
        self._settings = settings
        self._reader = reader
        self._open = frozenset(open_services)
        self._on_call = on_call
        limit = settings.receive_seconds
        self._calls = Calls(keys, open_calls, turns, caller, limit, observe)
        # Anybody may call those, and their messages are small where they are honest.
        self._foreign = Reception(ReceptionLimits(most=4, most_each=2, limit_seconds=limit))
        self._connections = connections
        self._open_calls = open_calls

    def end_all(self) -> None:
        """Ends every call of ours that still runs, with the news that the server stops."""
        self._calls.end_all()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Returns the handler of an RPC, wrapped."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        guard = self._answer if method.startswith(OWN_METHODS) else self._answer_foreign

        async def answer(_: object, context: _Context) -> None:
            self._on_call(context.peer())
            try:
                await guard(method, handler, context)
            except grpc.aio.AbortError as abort:
                # gRPC keeps it in a cycle until garbage is collected, and with it all that its
                # traceback and the error before it refer to, such as a large message.
                abort.__context__ = None
                raise abort.with_traceback(None)  # noqa: B904 - there shall be no context

        return grpc.stream_stream_rpc_method_handler(answer, None, handler.response_serializer)

    async def _answer(self, method: str, handler: Any, context: _Context) -> None:
        """Answers a call of this package."""
        peer = context.peer()
        record = RequestRecord(method, uuid.uuid4().hex, peer=peer, origin=origin(peer))
        CURRENT.set(record)
        stranger = self._calls.identify(record, _authorization(context))
        refused = stranger is not None
        self._calls.work_for(record, refused=refused)
        with self._open_calls.one(record.whose):
            with self._calls.told(record), self._connections.call(peer):
                answering = self._outcome(handler, record, context, stranger)
                problem = await to_its_end(answering, self._calls.turn_to_leave(refused=refused))
            if problem is not None:
                # After all else: a reader that has stopped may never take it.
                await self._tell(problem, record.whose, record.request_id, context)

    async def _outcome(
        self,
        handler: Any,
        record: RequestRecord,
        context: _Context,
        stranger: Unauthenticated | None,
    ) -> QuorateError | None:
        """Serves a call; returns what its caller is to be told went wrong."""

        async def message() -> Any:
            read = partial(_read, partial(self._reader.parse, handler))
            return await self._calls.read(record, context.read, read)

        headers = partial(_request_id_of, record)
        serve = partial(self._serve, handler, context, message, headers)
        # The transport refuses a write where the client is gone.
        left = grpc.aio.BaseError
        try:
            return await self._calls.outcome(record, stranger, context.time_remaining, serve, left)
        except asyncio.CancelledError:
            if context.time_remaining() == 0:
                record.status = grpc.StatusCode.DEADLINE_EXCEEDED.name
            raise

    async def _answer_foreign(self, method: str, handler: Any, context: _Context) -> None:
        """Answers a call of health, reflection or channelz, some of which need no key."""
        whose = origin(context.peer())

        async def message() -> Any:
            read = partial(_read, partial(_small, handler))
            return await self._foreign.message(whose, context.peer(), context.read, read)

        with self._open_calls.one(whose):
            try:
                if method.strip("/").partition("/")[0] not in self._open:
                    self._keys.caller(_authorization(context))
                self._open_calls.check(whose)
                with self._connections.call(context.peer()):
                    await self._serve(handler, context, message, tuple)
                return
            except QuorateError as error:
                problem = error
            await self._tell(problem, whose, uuid.uuid4().hex, context)

    async def _serve(
        self,
        handler: Any,
        context: _Context,
        message: Callable[[], Awaitable[Any]],
        headers: Callable[[], tuple[tuple[str, str], ...]],
    ) -> None:
        """Serves one call. No name holds a message here, since it may be large."""
        with closing(PatientContext(context, self._settings.stall_seconds, headers)) as patient:
            if handler.request_streaming:
                answer = handler.stream_stream(_messages(message), patient)
            else:
                answer = (handler.unary_stream or handler.unary_unary)(await message(), patient)
            if inspect.isasyncgen(answer):
                async with aclosing(answer):
                    async for response in answer:
                        await patient.write(response)
            elif (response := await answer) is not None:
                await patient.write(response)

    async def _tell(
        self, problem: QuorateError, whose: str, request_id: str, context: _Context
    ) -> None:
        forget_frames(problem)
        await self._calls.pause_before(problem, whose)
        try:
            with self._connections.given_up(context.peer()):
                await context.abort_with_status(rich_status(problem, request_id))
        except grpc.aio.AbortError:
            raise
        except grpc.aio.BaseError:
            # The connection was closed before this was taken, which gRPC would log as a defect.
            raise asyncio.CancelledError from None


async def _read(parse: _Parse, message: object) -> Any:
    if not isinstance(message, bytes):
        raise InvalidRequest("request", "is missing; the call ended without a message")
    return await parse(message)


async def _messages(message: Callable[[], Awaitable[Any]]) -> AsyncGenerator[Any, None]:
    """The messages of a caller who sends several; one who pauses for long has sent them all."""
    yield await message()
    with suppress(InvalidRequest, Overloaded, PeerStalled):
        while True:
            yield await message()


async def _small(handler: Any, data: bytes) -> Any:
    """The message of a service that is not ours, which is refused before it is parsed if large."""
    if len(data) > _FOREIGN_BYTES:
        problem = f"has {len(data)} bytes; at most {_FOREIGN_BYTES} are allowed"
        raise InvalidRequest("request", problem)
    return parsed(handler.request_deserializer, data)


def _request_id_of(record: RequestRecord) -> tuple[tuple[str, str], ...]:
    return request_id_metadata(record.request_id)


def _authorization(context: _Context) -> str | None:
    for name, value in context.invocation_metadata() or ():
        if name == "authorization" and isinstance(value, str):
            return value
    return None
