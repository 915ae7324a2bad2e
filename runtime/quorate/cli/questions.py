"""What is asked: a chat where that is possible, or a text to go on with."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from quorate.errors import SettingsError

if TYPE_CHECKING:
    from quorate.client import Client, GenerateOptions
    from quorate.v1 import inference_pb2


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt as the command line gives it.

    Attributes:
        system: System message, or None.
        raw: Whether the prompt is taken as it is, also where every member has a chat template.
    """

    text: str
    system: str | None = None
    raw: bool = False

    @property
    def messages(self) -> list[tuple[str, str]]:
        """The chat it is."""
        system = [] if self.system is None else [("system", self.system)]
        return [*system, ("user", self.text)]


def read_prompt(argument: str) -> str:
    """The text of a prompt argument, which is that of standard input for ``-``.

    Raises:
        SettingsError: It is not UTF-8, or nothing stands in standard input.
    """
    if argument != "-":
        return checked_text(argument, "PROMPT")
    try:
        text = sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError:
        raise SettingsError("PROMPT: standard input is not UTF-8") from None
    if not text:
        raise SettingsError("PROMPT: standard input is empty")
    return text


def checked_text(text: str, name: str) -> str:
    """Returns a text of the command line that can be sent.

    Raises:
        SettingsError: It is not UTF-8.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise SettingsError(f"{name}: is not UTF-8") from None
    return text


async def ask(
    client: Client, question: Question, options: GenerateOptions
) -> AsyncGenerator[inference_pb2.GenerateResponse]:
    """Streams the answer, to a chat if every member has a template for it.

    Which models will answer, only the server knows: so it is asked as a chat first, and where a
    member refuses, before anything was answered, the prompt is sent as it is.

    Raises:
        ServiceError: What the server refuses.
    """
    from quorate.client import ServiceError

    if not question.raw:
        begun = False
        chat = cast("GenerateOptions", {**options, "messages": question.messages})
        try:
            async with aclosing(client.generate(**chat)) as events:
                async for event in events:
                    begun = True
                    yield event
            return
        except ServiceError as error:
            other_cause = error.reason != "UNSUPPORTED_PLAN"
            if begun or other_cause or question.system is not None:
                raise
    async with aclosing(client.generate(question.text, **options)) as events:
        async for event in events:
            yield event
