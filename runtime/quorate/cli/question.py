"""What ``generate`` and ``explain`` ask: prompt, plan, and all else that is said of an answer."""

from __future__ import annotations

from dataclasses import dataclass, field

from quorate.cli.inputs import read_prompt
from quorate.cli.members import (
    name_answers,
    name_members,
    name_stages,
    parse_members,
    parse_stages,
)
from quorate.cli.option_names import Given, options_named
from quorate.cli.parameters import RequestParameters
from quorate.cli.views.answer import AnswerView
from quorate.client import Client, GenerateOptions
from quorate.errors import SettingsError
from quorate.request import Stage, WeightedModel


@dataclass(frozen=True, slots=True)
class Question:
    """One question.

    Attributes:
        members: Models of a vote.
        stages: Those of a cascade instead.
        answers: Whether whole answers of the members vote, and not their tokens.
        system: System message of a chat, or None.
        raw: Whether the prompt is taken as it is.
        options: Everything that does not depend on the members.
    """

    prompt: str
    members: tuple[WeightedModel, ...] = ()
    stages: tuple[Stage, ...] = ()
    answers: bool = False
    system: str | None = None
    raw: bool = False
    options: GenerateOptions = field(default_factory=GenerateOptions)

    @property
    def given(self) -> Given:
        """What messages about its fields name."""
        return Given(self.members, self.stages, self.system is not None)

    def names(self) -> list[str]:
        """Every model that is named, once."""
        staged = (member for stage in self.stages for member in stage.plan.members)
        return list(dict.fromkeys(member.model for member in (*self.members, *staged)))


def question_of(request: RequestParameters, timeout: float | None) -> Question:
    """A question from the parameters of a command; the deadline is in seconds.

    Raises:
        SettingsError: Options that exclude each other, members or stages that cannot be read, or a
            prompt that is no text.
    """
    options = request.options()
    options["timeout"] = timeout
    if request.raw and request.system is not None:
        raise SettingsError("--system has no place in a --raw prompt")
    if request.raw and request.answer.tools is not None:
        raise SettingsError("--tools have no place in a --raw prompt")
    if request.parse_special and not request.raw:
        raise SettingsError("--parse-special belongs to a --raw prompt; give --raw as well")
    return Question(
        members=parse_members(request.plan.model or []),
        stages=parse_stages(request.plan.cascade or []),
        answers=request.plan.whole.answers,
        prompt=read_prompt(request.prompt),
        system=request.system,
        raw=request.raw,
        options=options,
    )


def request_options(question: Question) -> tuple[str | None, GenerateOptions]:
    """The arguments of ``Client.generate`` for a question.

    The prompt is a message of the user, which members without a chat template may read as a text:
    who they are, only the server knows. A system message means nothing to them, nor do tools.
    """
    options = question.options.copy()
    if question.answers:
        name_answers(options, question.members)
    else:
        name_members(options, question.members)
    name_stages(options, question.stages)
    if question.raw:
        return question.prompt, options
    system = [("system", question.system)] if question.system is not None else []
    options["messages"] = [*system, ("user", question.prompt)]
    options["allow_text"] = question.system is None and options.get("tools") is None
    return None, options


async def ask(client: Client, question: Question, view: AnswerView) -> None:
    """Asks a question and shows the answer while it streams.

    Raises:
        ServiceError: What the server refuses, or a lost connection.
    """
    prompt, options = request_options(question)
    try:
        with options_named(question.given):
            async for response in client.generate(prompt, **options):
                view.show(response)
    finally:
        view.close()
