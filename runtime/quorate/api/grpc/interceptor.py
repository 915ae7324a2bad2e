"""Around every RPC of ``quorate.v1``: deadline, errors, and one line in the log."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from quorate.access.keys import KeyRing
from quorate.access.record import CURRENT, RequestRecord
from quorate.api.grpc.errors import as_domain_error, rich_status, status_code
from quorate.api.grpc.wire import check_fields
from quorate.errors import DeadlinePassed, InvalidRequest

OWN_METHODS = "/quorate.v1."

_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

ObserveCall: TypeAlias = Callable[[str, str, float], None]
"""Takes note of a call that ended: its method, the name of its status, its seconds."""


class RequestInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the handlers of this package; health, reflection and channelz pass untouched.

    Args:
        keys: Who may call.
        observe: Told of each call that ended: its method, the name of its status, its seconds.
    """

    def __init__(self, keys: KeyRing, observe: ObserveCall = lambda *_: None) -> None:
        self._keys = keys
        self._observe = observe

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Returns the handler of an RPC, wrapped where it is one of ours."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith(OWN_METHODS):
            return handler

        async def answer(request: bytes, context: _Context) -> Any:
            return await _answer(method, handler, request, context, self._keys, self._observe)

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
    request: bytes,
    context: _Context,
    keys: KeyRing,
    observe: ObserveCall,
) -> Any:
    behaviour: Any = handler.unary_stream or handler.unary_unary
    record = RequestRecord(method, uuid.uuid4().hex)
    CURRENT.set(record)
    started = time.perf_counter()
    try:
        record.caller = keys.caller(_authorization(context))
        async with asyncio.timeout(context.time_remaining()) as deadline:
            return await behaviour(_parsed(handler, request), context)
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
        seconds = time.perf_counter() - started
        record.log(seconds)
        observe(method, record.status, seconds)


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


async def _abort(error: BaseException, record: RequestRecord, context: _Context) -> None:
    known = as_domain_error(error)
    record.status = status_code(known).name
    await context.abort_with_status(rich_status(known, record.request_id))
