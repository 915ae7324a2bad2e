"""Thin async client of a Quorate server, for programs and for the command line.

Messages are handed on as they are, and gRPC's errors become one class with everything the server
said::

    from quorate.client import Client

    async with Client("127.0.0.1:50051") as client:
        async for event in client.generate("Once upon a time", models={"a": 0.7, "b": 0.3}):
            print(event.delta.text, end="")

An answer that calls tools is put together, and the chat goes on with what they gave::

    answer = await client.answer(messages=messages, tools=tools)
    results = [call.result(run(call.name, call.parsed())) for call in answer.calls]
    messages += [answer.message, *results]
"""

from quorate.client.answers import Answer, AnswerReader, ToolCall
from quorate.client.arguments import (
    ChargeOptions,
    GenerateOptions,
    Message,
    PlanOptions,
    StageChoice,
)
from quorate.client.connection import DEFAULT_TARGET, Client
from quorate.client.errors import ServiceError

__all__ = [
    "DEFAULT_TARGET",
    "Answer",
    "AnswerReader",
    "ChargeOptions",
    "Client",
    "GenerateOptions",
    "Message",
    "PlanOptions",
    "ServiceError",
    "StageChoice",
    "ToolCall",
]
