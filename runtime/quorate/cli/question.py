"""What ``generate`` asks: prompt, plan and options, before the members' abilities are known."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from quorate.cli.answer_view import AnswerView
from quorate.cli.connecting import speaks_chat
from quorate.cli.members import Member
from quorate.cli.plan_options import name_members
from quorate.client import Client, GenerateOptions
from quorate.errors import SettingsError
from quorate.settings import default_id


@dataclass(frozen=True, slots=True)
class Question:
    """One question.

    Attributes:
        system: System message of a chat, or None.
        raw: Whether the prompt is taken as it is.
        options: Everything that does not depend on the members.
    """

    prompt: str
    members: tuple[Member, ...] = ()
    system: str | None = None
    raw: bool = False
    options: GenerateOptions = field(default_factory=GenerateOptions)


def read_prompt(prompt: str) -> str:
    """The prompt itself; ``-`` reads standard input.

    Raises:
        SettingsError: It is not UTF-8, or standard input is empty.
    """
    try:
        if prompt == "-":
            given = sys.stdin.buffer.read().decode("utf-8")
            if not given.strip():
                raise SettingsError("the prompt is -, but standard input is empty")
            return given
        return prompt.encode("utf-8", errors="surrogateescape").decode("utf-8")
    except UnicodeDecodeError:
        raise SettingsError("the prompt is not UTF-8 text") from None


async def request_options(client: Client, question: Question) -> tuple[str | None, GenerateOptions]:
    """The arguments of ``Client.generate`` for a question.

    Where every member has a chat template the prompt becomes a message of the user.

    Raises:
        SettingsError: A system message for members without a chat template.
    """
    options = question.options.copy()
    name_members(options, question.members)
    ids = [default_id(member.name) for member in question.members]
    if question.raw:
        return question.prompt, options
    if not await speaks_chat(client, ids):
        if question.system is not None:
            raise SettingsError("--system: a member has no chat template; leave it out")
        return question.prompt, options
    system = [("system", question.system)] if question.system is not None else []
    options["messages"] = [*system, ("user", question.prompt)]
    return None, options


async def ask(client: Client, question: Question, view: AnswerView) -> None:
    """Asks a question and shows the answer while it streams.

    Raises:
        ServiceError: What the server refuses, or a lost connection.
    """
    prompt, options = await request_options(client, question)
    try:
        async for response in client.generate(prompt, **options):
            view.show(response)
    finally:
        view.close()
