"""Around every RPC of ``quorate.v1``: deadline, errors, and one line in the log."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import grpc

from quorate.access.keys import KeyRing
from quorate.access.record import CURRENT, RequestRecord
from quorate.api.grpc.errors import as_domain_error, rich_status, status_code
from quorate.api.grpc.reading import RequestReader
from quorate.api.grpc.small_requests import bounded
from quorate.errors import DeadlinePassed

OWN_METHODS = "/quorate.v1."

_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class RequestInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the handlers of this package; health, reflection and channelz are bounded."""

    def __init__(self, keys: KeyRing, reader: RequestReader) -> None:
        self._keys = keys
        self._reader = reader

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
            return bounded(handler)

        async def answer(request: bytes, context: _Context) -> Any:
            # Handed on, so that no frame keeps it: it may be large.
            handed_on = [request]
            del request
            try:
                return await _answer(method, handler, handed_on, context, self._keys, self._reader)
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
    method: str,
    handler: _Handler,
    request: list[bytes],
    context: _Context,
    keys: KeyRing,
    reader: RequestReader,
) -> Any:
    behaviour: Any = handler.unary_stream or handler.unary_unary
    record = RequestRecord(method, uuid.uuid4().hex)
    CURRENT.set(record)
    started = time.perf_counter()
    try:
        record.caller = keys.caller(_authorization(context))
        async with asyncio.timeout(context.time_remaining()) as deadline:
            return await behaviour(await reader.parse(handler, request.pop()), context)
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
        await _abort(error, record, context)
    except Exception as error:
        passed = isinstance(error, TimeoutError) and deadline.expired()
        late = DeadlinePassed("the deadline passed before the answer was complete")
        await _abort(late if passed else error, record, context)
    finally:
        record.log(time.perf_counter() - started)


def _authorization(context: _Context) -> str | None:
    for name, value in context.invocation_metadata() or ():
        if name == "authorization" and isinstance(value, str):
            return value
    return None


async def _abort(error: BaseException, record: RequestRecord, context: _Context) -> None:
    known = as_domain_error(error)
    record.status = status_code(known).name
    await context.abort_with_status(rich_status(known, record.request_id))
