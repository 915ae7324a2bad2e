"""Prompts that a worker is turning into tokens, and who waits for them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

from quorate.engines.worker.claims import OutOfTurn, clean
from quorate.engines.worker.messages import (
    Encode,
    EncodeContinuation,
    Encoded,
    EncodedPart,
    Refused,
)
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
        # What came so far of those that are not answered, whoever still waits for them.
        self._parts: dict[int, list[int]] = {}

    def __len__(self) -> int:
        return len(self._answers)

    async def prompt(self, prompt: Prompt) -> list[int]:
        """See ``Engine.encode``; also raises ``WorkerLost``."""
        return await self._ask(Encode(next(self._numbers), prompt))

    async def continuation(self, text: str) -> list[int]:
        """See ``Engine.encode_continuation``; also raises ``WorkerLost``."""
        return await self._ask(EncodeContinuation(next(self._numbers), text))

    def answered(self, message: EncodedPart | Encoded | Refused, most_tokens: int) -> None:
        """Hands over an answer, or keeps a part; nobody need wait any more.

        Raises:
            OutOfTurn: Nobody asked, or there are more tokens than a prompt can have.
        """
        tokens = self._parts.get(message.request)
        if tokens is None:
            raise OutOfTurn(f"tokens of request {message.request}, which nobody asked for")
        if not isinstance(message, Refused):
            add_part(tokens, message, most_tokens)
        if isinstance(message, EncodedPart):
            return
        del self._parts[message.request]
        answer = self._answers.get(message.request)
        if answer is None or answer.done():
            return
        if isinstance(message, Encoded):
            answer.set_result(tokens)
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
        self._parts[question.request] = []
        self._send(question)
        try:
            return await answer
        finally:
            del self._answers[question.request]


def add_part(tokens: list[int], message: EncodedPart | Encoded, most: int) -> None:
    """Adds the tokens of a message to those that came before.

    Raises:
        OutOfTurn: Together they are more than ``most``, or a part has none.
    """
    part = message.tokens
    if len(tokens) + len(part) > most or (isinstance(message, EncodedPart) and not part):
        raise OutOfTurn(f"{len(part)} tokens after {len(tokens)}, of at most {most}")
    tokens += part


def refusal(message: Refused) -> QuorateError:
    """The error that a process wants its caller to see."""
    subject, problem = clean(message.subject), clean(message.problem)
    if message.kind == "PromptTooLong":
        return PromptTooLong(subject, problem)
    if message.kind == "TemplateRefused":
        return TemplateRefused(subject, problem)
    if message.kind == "InvalidRequest":
        return InvalidRequest(subject, problem)
    if message.kind == "UnsupportedPlan":
        return UnsupportedPlan(subject, problem)
    return Internal(f"{subject}: {problem}")
