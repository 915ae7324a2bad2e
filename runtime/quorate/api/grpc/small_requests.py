"""Bounds the requests of services that are not ours: health, reflection, channelz."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError

MAX_BYTES = 4096
"""What they are asked for are names and numbers."""

_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


def bounded(handler: _Handler) -> _Handler:
    """The handler, which refuses a large request before it is parsed."""
    known: Any = handler
    parse: Callable[[bytes], Any] = known.request_deserializer
    if known.unary_unary is not None:
        return grpc.unary_unary_rpc_method_handler(
            _answering(known.unary_unary, parse), None, known.response_serializer
        )
    if known.unary_stream is not None:
        return grpc.unary_stream_rpc_method_handler(
            _answering(known.unary_stream, parse), None, known.response_serializer
        )
    if known.stream_stream is not None:
        return grpc.stream_stream_rpc_method_handler(
            _conversing(known.stream_stream, parse), None, known.response_serializer
        )
    return handler


def _answering(behaviour: Any, parse: Callable[[bytes], Any]) -> Callable[..., Awaitable[Any]]:
    async def answer(data: bytes, context: _Context) -> Any:
        return await behaviour(await _parsed(parse, data, context), context)

    return answer


def _conversing(behaviour: Any, parse: Callable[[bytes], Any]) -> Callable[..., AsyncIterator[Any]]:
    async def answers(requests: AsyncIterator[bytes], context: _Context) -> AsyncIterator[Any]:
        async def parsed() -> AsyncIterator[Any]:
            async for data in requests:
                yield await _parsed(parse, data, context)

        async for answer in behaviour(parsed(), context):
            yield answer

    return answers


async def _parsed(parse: Callable[[bytes], Any], data: bytes, context: _Context) -> Any:
    if len(data) > MAX_BYTES:
        problem = f"the request has {len(data)} bytes; at most {MAX_BYTES} are allowed"
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, problem)
    try:
        return parse(data)
    except DecodeError:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "is not a message of this RPC")
