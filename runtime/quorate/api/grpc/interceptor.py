"""Around every RPC of ``quorate.v1``: deadline, errors, and one line in the log."""

from __future__ import annotations

import asyncio
import inspect
import time
import uuid
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Any, TypeAlias

import grpc

from quorate.access.keys import KeyRing
from quorate.access.record import CURRENT, RequestRecord
from quorate.api.grpc.calls import RunningCalls, tell_request_id
from quorate.api.grpc.errors import as_domain_error, rich_status, status_code
from quorate.api.grpc.reading import RequestReader
from quorate.api.grpc.small_requests import bounded
from quorate.errors import DeadlinePassed, QuorateError, ServerStopped, Unauthenticated

OWN_METHODS = "/quorate.v1."

_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

ObserveCall: TypeAlias = Callable[[str, str, float], None]
"""Takes note of a call that ended: its method, the name of its status, its seconds."""


class RequestInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the handlers of this package, and keeps those of gRPC's own from whom has no key.

    Args:
        keys: Who may call.
        reader: Reads requests.
        open_services: Full names of the services that need no key; they are only bounded.
        on_call: Told who makes each call.
        observe: Told of each call that ended: its method, the name of its status, its seconds.
    """

    def __init__(
        self,
        keys: KeyRing,
        reader: RequestReader,
        open_services: Collection[str] = (),
        on_call: Callable[[str], None] = lambda peer: None,
        observe: ObserveCall = lambda *_: None,
    ) -> None:
        self._keys = keys
        self._reader = reader
        self._open = frozenset(open_services)
        self._on_call = on_call
        self._observe = observe
        self._calls = RunningCalls()

    def stop(self) -> None:
        """Ends every call that is being answered, with a word to its caller."""
        self._calls.stop()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Returns the handler of an RPC, wrapped where it is one of ours."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None:
            return None
        if not method.startswith(OWN_METHODS):
            return bounded(self._guarded(handler, handler_call_details))

        async def answer(request: bytes, context: _Context) -> Any:
            self._on_call(context.peer())
            # Handed on, so that no frame keeps it: it may be large.
            handed_on = [request]
            del request
            try:
                with self._calls.answering():
                    return await self._answer(method, handler, handed_on, context)
            except grpc.aio.AbortError as abort:
                # gRPC keeps it in a cycle until garbage is collected, and with it all that its
                # traceback and the error before it refer to.
                abort.__context__ = None
                raise abort.with_traceback(None)  # noqa: B904 - there shall be no context

        # Requests arrive as bytes, so that one that cannot be parsed gets a proper status too.
        wrap = (
            grpc.unary_stream_rpc_method_handler
            if handler.response_streaming
            else grpc.unary_unary_rpc_method_handler
        )
        return wrap(answer, None, handler.response_serializer)

    async def _answer(
        self, method: str, handler: _Handler, request: list[bytes], context: _Context
    ) -> Any:
        """Answers one call of ours; takes the request out of the list, which is its only holder."""
        behaviour: Any = handler.unary_stream or handler.unary_unary
        record = RequestRecord(method, uuid.uuid4().hex, peer=context.peer())
        CURRENT.set(record)
        started = time.perf_counter()
        try:
            record.caller = self._keys.caller(_authorization(context.invocation_metadata()))
            async with asyncio.timeout(context.time_remaining()) as deadline:
                # No name holds the message here: it may be large.
                response = await behaviour(
                    await self._reader.parse(handler, request.pop()), context
                )
            if not handler.response_streaming:
                await tell_request_id(context)
            return response
        except grpc.aio.BaseError:
            # The transport refused a write: the client is gone.
            record.status = grpc.StatusCode.CANCELLED.name
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and RunningCalls.was_stopped(error):
                task.uncancel()
                await _abort(ServerStopped(), record, context)
            elif task is not None and task.cancelling():
                passed = context.time_remaining() == 0
                code = grpc.StatusCode.DEADLINE_EXCEEDED if passed else grpc.StatusCode.CANCELLED
                record.status = code.name
                raise
            else:
                # Nobody cancelled this task: to let it pass would leave the client without status.
                await _abort(error, record, context)
        except Exception as error:
            passed = isinstance(error, TimeoutError) and deadline.expired()
            late = DeadlinePassed("the deadline passed before the answer was complete")
            await _abort(late if passed else error, record, context)
        finally:
            seconds = time.perf_counter() - started
            record.log(seconds)
            self._observe(method, record.status, seconds)

    def _guarded(self, handler: _Handler, details: grpc.HandlerCallDetails) -> _Handler:
        """The handler of a service of gRPC's own, or one that refuses where it needs a key."""
        service = details.method.strip("/").partition("/")[0]
        if service not in self._open:
            try:
                self._keys.caller(_authorization(details.invocation_metadata))
            except Unauthenticated as error:
                return _refusing(error, handler)
        return self._noting(handler)

    def _noting(self, handler: _Handler) -> _Handler:
        """The handler, which tells who calls; only those of health take it that way."""
        behaviour: Any = handler.unary_unary or handler.unary_stream
        if not inspect.iscoroutinefunction(behaviour):
            return handler

        async def noted(request: Any, context: _Context) -> Any:
            self._on_call(context.peer())
            return await behaviour(request, context)

        wrap = (
            grpc.unary_stream_rpc_method_handler
            if handler.response_streaming
            else grpc.unary_unary_rpc_method_handler
        )
        return wrap(noted, handler.request_deserializer, handler.response_serializer)


def _authorization(metadata: Iterable[tuple[str, Any]] | None) -> str | None:
    for name, value in metadata or ():
        if name == "authorization" and isinstance(value, str):
            return value
    return None


def _refusing(error: QuorateError, handler: _Handler) -> _Handler:
    """A handler of the same shape that refuses every call with this error."""

    async def refuse(request: Any, context: _Context) -> Any:
        await context.abort_with_status(rich_status(error, uuid.uuid4().hex))

    if handler.request_streaming:
        return grpc.stream_stream_rpc_method_handler(refuse)
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler(refuse)
    return grpc.unary_unary_rpc_method_handler(refuse)


async def _abort(error: BaseException, record: RequestRecord, context: _Context) -> None:
    known = as_domain_error(error)
    record.refuse(status_code(known).name, known)
    await context.abort_with_status(rich_status(known, record.request_id))
