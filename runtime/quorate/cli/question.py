"""What ``generate`` asks: prompt, plan and options, before the members' abilities are known."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from quorate.cli.answer_view import AnswerView
from quorate.cli.connecting import speaks_chat
from quorate.cli.members import Member, parse_members
from quorate.cli.plan_options import name_members, name_stages
from quorate.cli.stages import Stage, parse_stages
from quorate.client import Client, GenerateOptions
from quorate.errors import SettingsError
from quorate.settings import default_id


@dataclass(frozen=True, slots=True)
class Question:
    """One question.

    Attributes:
        members: Models of a vote.
        stages: Those of a cascade instead.
        system: System message of a chat, or None.
        raw: Whether the prompt is taken as it is.
        options: Everything that does not depend on the members.
    """

    prompt: str
    members: tuple[Member, ...] = ()
    stages: tuple[Stage, ...] = ()
    system: str | None = None
    raw: bool = False
    options: GenerateOptions = field(default_factory=GenerateOptions)

    def names(self) -> list[str]:
        """Every model that is named, once."""
        members = (*self.members, *(member for stage in self.stages for member in stage.members))
        return list(dict.fromkeys(member.name for member in members))


def question_of(
    prompt: str,
    models: Sequence[str] | None,
    cascade: Sequence[str] | None,
    *,
    raw: bool,
    system: str | None,
    options: GenerateOptions,
) -> Question:
    """A question from the options of a command.

    Args:
        prompt: As it was given; ``-`` reads standard input.
        models: Members as they were given.
        cascade: Stages as they were given.
        raw: Whether the prompt is taken as it is.
        system: System message of a chat, or None.
        options: Everything that does not depend on the members.

    Raises:
        SettingsError: Members or stages that cannot be read, or a prompt that is no text.
    """
    if raw and system is not None:
        raise SettingsError("--system has no place in a --raw prompt")
    members, stages = parse_members(models or []), parse_stages(cascade or [])
    return Question(read_prompt(prompt), members, stages, system, raw, options)


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
    name_stages(options, question.stages)
    ids = [default_id(name) for name in question.names()]
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
