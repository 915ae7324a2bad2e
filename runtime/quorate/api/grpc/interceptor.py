"""Around every RPC: the key before the message, limits of time, errors, and one line in the log."""

from __future__ import annotations

import asyncio
import inspect
import time
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, closing, contextmanager, suppress
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from quorate.access.keys import KeyRing
from quorate.access.origins import origin
from quorate.access.record import CURRENT, RequestRecord
from quorate.api.grpc.connections import Connections
from quorate.api.grpc.errors import as_domain_error, rich_status, status_code
from quorate.api.grpc.pace import Pace
from quorate.api.grpc.reception import Reception, ReceptionLimits
from quorate.api.grpc.settings import ServerSettings
from quorate.api.grpc.wire import check_fields
from quorate.api.grpc.writing import PatientContext
from quorate.errors import (
    DeadlinePassed,
    InvalidRequest,
    Overloaded,
    PeerStalled,
    QuorateError,
    Unauthenticated,
    Unavailable,
)

OWN_METHODS = "/quorate.v1."

_RETRY_SECONDS = 1.0
_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class RequestInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the handlers of every service.

    All of them become handlers of streams, whatever their RPC is called: of those gRPC asks for no
    message by itself, so that nothing of a message is taken in before the caller is known.
    """

    def __init__(self, keys: KeyRing, settings: ServerSettings, connections: Connections) -> None:
        self._keys = keys
        self._settings = settings
        limit = settings.receive_seconds
        self._reception = Reception(ReceptionLimits(limit_seconds=limit))
        # Anybody may call those, and their messages are small where they are honest.
        self._foreign = Reception(ReceptionLimits(most=4, most_each=2, limit_seconds=limit))
        self._connections = connections
        self._pace = Pace()
        self._calls = Counter[str]()
        self._deadlines: set[asyncio.Timeout] = set()
        self._stopped = False

    def end_all(self) -> None:
        """Ends every call of ours that still runs, with the news that the server stops."""
        self._stopped = True
        for deadline in self._deadlines:
            deadline.reschedule(asyncio.get_running_loop().time())

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
            await guard(method, handler, context)

        return grpc.stream_stream_rpc_method_handler(answer, None, handler.response_serializer)

    async def _answer(self, method: str, handler: Any, context: _Context) -> None:
        """Answers a call of this package."""
        started = time.perf_counter()
        record = RequestRecord(method, uuid.uuid4().hex, origin=origin(context.peer()))
        CURRENT.set(record)
        stranger = self._identify(record, context)
        with self._counted(record.whose):
            try:
                with self._connections.call(context.peer()):
                    problem = await self._outcome(handler, record, context, stranger)
            finally:
                record.log(time.perf_counter() - started)
            if problem is not None:
                # After all else: a reader that has stopped may never take it.
                await self._tell(problem, record.whose, record.request_id, context)

    def _identify(self, record: RequestRecord, context: _Context) -> Unauthenticated | None:
        try:
            record.caller = self._keys.caller(_authorization(context))
        except Unauthenticated as error:
            return error
        return None

    async def _outcome(
        self,
        handler: Any,
        record: RequestRecord,
        context: _Context,
        stranger: Unauthenticated | None,
    ) -> QuorateError | None:
        """Serves a call; returns what its caller is to be told went wrong."""
        try:
            if stranger is not None:
                raise stranger
            self._check_count(record.whose)
            async with self._until_deadline(context) as deadline:
                await self._serve(handler, record.whose, context, self._reception)
            return None
        except grpc.aio.BaseError:
            # The transport refused a write: the client is gone.
            record.status = grpc.StatusCode.CANCELLED.name
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                passed = context.time_remaining() == 0
                code = grpc.StatusCode.DEADLINE_EXCEEDED if passed else grpc.StatusCode.CANCELLED
                record.status = code.name
                raise
            # Nobody cancelled this task: to let it pass would leave the client without a status.
            known = as_domain_error(error)
        except Exception as error:
            passed = isinstance(error, TimeoutError) and deadline.expired()
            known = self._cut_short() if passed else as_domain_error(error)
        record.status = status_code(known).name
        return known

    async def _answer_foreign(self, method: str, handler: Any, context: _Context) -> None:
        """Answers a call of health, reflection or channelz, which need no key."""
        whose = origin(context.peer())
        with self._counted(whose):
            try:
                self._check_count(whose)
                with self._connections.call(context.peer()):
                    await self._serve(handler, whose, context, self._foreign)
                return
            except QuorateError as error:
                problem = error
            await self._tell(problem, whose, uuid.uuid4().hex, context)

    async def _serve(
        self, handler: Any, whose: str, context: _Context, reception: Reception
    ) -> None:
        async def message() -> bytes:
            return await _received(reception, whose, context)

        with closing(PatientContext(context, self._settings.stall_seconds)) as patient:
            if handler.request_streaming:
                answer = handler.stream_stream(_messages(handler, message), patient)
            else:
                request = _parsed(handler, await message())
                answer = (handler.unary_stream or handler.unary_unary)(request, patient)
            if inspect.isasyncgen(answer):
                async with aclosing(answer):
                    async for response in answer:
                        await patient.write(response)
            elif (response := await answer) is not None:
                await patient.write(response)

    async def _tell(
        self, problem: QuorateError, whose: str, request_id: str, context: _Context
    ) -> None:
        if isinstance(problem, Overloaded | Unauthenticated):
            await asyncio.sleep(self._pace.delay_seconds(whose))
        try:
            with self._connections.given_up(context.peer()):
                await context.abort_with_status(rich_status(problem, request_id))
        except grpc.aio.AbortError:
            raise
        except grpc.aio.BaseError:
            # The connection was closed before this was taken, which gRPC would log as a defect.
            raise asyncio.CancelledError from None

    @contextmanager
    def _counted(self, whose: str) -> Iterator[None]:
        self._calls[whose] += 1
        try:
            yield
        finally:
            self._calls[whose] -= 1
            if not self._calls[whose]:
                del self._calls[whose]

    def _check_count(self, whose: str) -> None:
        if self._calls[whose] > self._settings.max_calls:
            raise Overloaded(
                f"this caller has {self._settings.max_calls} calls open, which is the limit; "
                "wait until one of them ends",
                _RETRY_SECONDS,
            )

    @asynccontextmanager
    async def _until_deadline(self, context: _Context) -> AsyncIterator[asyncio.Timeout]:
        """Ends what runs in it at the caller's deadline, or when the server stops."""
        async with asyncio.timeout(0 if self._stopped else context.time_remaining()) as deadline:
            self._deadlines.add(deadline)
            try:
                yield deadline
            finally:
                self._deadlines.discard(deadline)

    def _cut_short(self) -> QuorateError:
        if self._stopped:
            return Unavailable("the server stopped before the answer was complete", 5.0)
        return DeadlinePassed("the deadline passed before the answer was complete")


async def _received(reception: Reception, whose: str, context: _Context) -> bytes:
    message = await reception.message(whose, context.peer(), context.read)
    if not isinstance(message, bytes):
        raise InvalidRequest("request", "is missing; the call ended without a message")
    return message


async def _messages(
    handler: Any, message: Callable[[], Awaitable[bytes]]
) -> AsyncGenerator[Any, None]:
    """The messages of a caller who sends several; one who pauses for long has sent them all."""
    yield _parsed(handler, await message())
    with suppress(InvalidRequest, Overloaded, PeerStalled):
        while True:
            yield _parsed(handler, await message())


def _authorization(context: _Context) -> str | None:
    for name, value in context.invocation_metadata() or ():
        if name == "authorization" and isinstance(value, str):
            return value
    return None


def _parsed(handler: Any, request: bytes) -> Any:
    # The generated code gives the method of the message's class that parses.
    kind = getattr(handler.request_deserializer, "__self__", None)
    if kind is not None:
        check_fields(kind.DESCRIPTOR, request)
    try:
        return handler.request_deserializer(request)
    except DecodeError:
        raise InvalidRequest("request", "is not a message of this RPC's request type") from None
