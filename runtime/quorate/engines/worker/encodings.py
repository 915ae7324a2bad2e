"""Prompts that a worker is turning into tokens, and who waits for them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

from quorate.engines.worker.messages import Encode, EncodeContinuation, Encoded, Refused
from quorate.errors import (
    Internal,
    InvalidRequest,
    PromptTooLong,
    QuorateError,
    TemplateRefused,
    UnsupportedPlan,
    WorkerLost,
)
from quorate.request import Prompt


class Encodings:
    """Questions to one worker that are not answered yet.

    Args:
        send: Sends a question to the worker.
    """

    def __init__(self, send: Callable[[Encode | EncodeContinuation], None]) -> None:
        self._send = send
        self._numbers = itertools.count()
        self._answers: dict[int, asyncio.Future[list[int]]] = {}

    def __len__(self) -> int:
        return len(self._answers)

    async def prompt(self, prompt: Prompt) -> list[int]:
        """See ``Engine.encode``; also raises ``WorkerLost``."""
        return await self._ask(Encode(next(self._numbers), prompt))

    async def continuation(self, text: str) -> list[int]:
        """See ``Engine.encode_continuation``; also raises ``WorkerLost``."""
        return await self._ask(EncodeContinuation(next(self._numbers), text))

    def answered(self, message: Encoded | Refused) -> None:
        """Hands over an answer; ignored where nobody waits any more."""
        answer = self._answers.get(message.request)
        if answer is None or answer.done():
            return
        if isinstance(message, Encoded):
            answer.set_result(message.tokens)
        else:
            answer.set_exception(refusal(message))

    def fail_all(self, make_error: Callable[[], WorkerLost]) -> None:
        """Hands everyone who waits an error of their own."""
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(make_error())

    async def _ask(self, question: Encode | EncodeContinuation) -> list[int]:
        answer: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        self._answers[question.request] = answer
        self._send(question)
        try:
            return await answer
        finally:
            del self._answers[question.request]


def refusal(message: Refused) -> QuorateError:
    """The error that a process wants its caller to see."""
    if message.kind == "PromptTooLong":
        return PromptTooLong(message.subject, message.problem)
    if message.kind == "TemplateRefused":
        return TemplateRefused(message.subject, message.problem)
    if message.kind == "InvalidRequest":
        return InvalidRequest(message.subject, message.problem)
    if message.kind == "UnsupportedPlan":
        return UnsupportedPlan(message.subject, message.problem)
    return Internal(f"{message.subject}: {message.problem}")
