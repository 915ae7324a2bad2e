"""``quorate generate``: one answer, by one model or by the vote of several."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from quorate.cli.answer_view import AnswerView, answer_view
from quorate.cli.asking import Record, follow, plan_line, timing
from quorate.cli.connection import note_on_terminal, own, remote
from quorate.cli.members import Member, member_weights, model_settings, read_members
from quorate.cli.questions import Question, ask, checked_text, read_prompt
from quorate.cli.votes_view import print_votes
from quorate.errors import NotFound, SettingsError
from quorate.generation import Alignment, CombinationRule, FailurePolicy, Weighting

if TYPE_CHECKING:
    from quorate.client import GenerateOptions
    from quorate.settings import Settings


def generate_command(
    prompt: Annotated[
        str,
        typer.Argument(metavar="PROMPT", help="What to answer; - reads standard input."),
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:WEIGHT]",
            help="Registry id or path of a GGUF file; several of them vote on every token.",
        ),
    ] = None,
    profile: Annotated[str | None, typer.Option(help="Named plan of the configuration.")] = None,
    rule: Annotated[
        CombinationRule | None, typer.Option(help="How the members' probabilities are combined.")
    ] = None,
    alignment: Annotated[
        Alignment | None, typer.Option(help="How different vocabularies are compared.")
    ] = None,
    weighting: Annotated[
        Weighting | None, typer.Option(help="Where the members' weights come from.")
    ] = None,
    on_failure: Annotated[
        FailurePolicy | None, typer.Option(help="What happens when a member dies meanwhile.")
    ] = None,
    temperature: Annotated[float | None, typer.Option(min=0, help="0 is greedy.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Mass of the nucleus.")] = None,
    top_k: Annotated[int | None, typer.Option(help="Candidates kept; 0 keeps all.")] = None,
    min_p: Annotated[
        float | None, typer.Option(help="Least share of the best candidate's probability.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Makes an answer repeatable.")] = None,
    repetition_penalty: Annotated[float | None, typer.Option(help="1 is none.")] = None,
    presence_penalty: Annotated[
        float | None, typer.Option(help="Subtracted once from tokens already generated.")
    ] = None,
    frequency_penalty: Annotated[
        float | None, typer.Option(help="Subtracted for each earlier occurrence of a token.")
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Most tokens.")] = None,
    max_bytes: Annotated[int | None, typer.Option(min=1, help="Most bytes.")] = None,
    stop: Annotated[
        list[str] | None, typer.Option(help="The answer ends before this text; repeatable.")
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Take the prompt as it is, without a chat template.")
    ] = False,
    system: Annotated[str | None, typer.Option(help="System message of the chat.")] = None,
    votes: Annotated[
        bool,
        typer.Option(
            "--votes",
            help="Show who wanted what: colours in the text on a terminal, and a table of the "
            "disagreements on standard error.",
        ),
    ] = False,
    top: Annotated[
        int | None,
        typer.Option(min=0, max=100, help="Best candidates shown with each token, with --json."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON line for each event of the stream.")
    ] = False,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", envvar="QUORATE_TARGET", help="A server that runs already."
        ),
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="Deadline of the answer.")
    ] = None,
) -> None:
    """Answer a prompt; the answer alone goes to standard output.

    Without --target the command loads the models for itself: those of --model, or the two demo
    models. The prompt is a chat message where every member has a chat template, else it is taken
    as it is.
    """
    if raw and system is not None:
        raise SettingsError("--system: belongs to a chat; leave out --raw")
    members = read_members(model or ())
    if members and profile is not None:
        raise SettingsError("--profile: cannot be combined with --model; give one of them")
    system = None if system is None else checked_text(system, "--system")
    question = Question(read_prompt(prompt), system, raw)
    options: GenerateOptions = {
        "models": member_weights(members) if members else None,
        "profile": profile,
        "rule": _value(rule),
        "alignment": _value(alignment),
        "weighting": _value(weighting),
        "failure_policy": _value(on_failure),
        "temperature": temperature,
        "top_p": top_p,
        "top_k": top_k,
        "min_p": min_p,
        "seed": seed,
        "repetition_penalty": repetition_penalty,
        "presence_penalty": presence_penalty,
        "frequency_penalty": frequency_penalty,
        "max_tokens": max_tokens,
        "max_bytes": max_bytes,
        "stop": [checked_text(text, "--stop") for text in stop or ()],
        "top_logprobs": top,
        "votes": votes,
        "timeout": timeout,
    }
    record = asyncio.run(_generate(target, members, question, options, answer_view(as_json)))
    _print_record(record, with_votes=votes and not as_json)


def _value(choice: Enum | None) -> str | None:
    return None if choice is None else str(choice.value)


async def _generate(
    target: str | None,
    members: Sequence[Member],
    question: Question,
    options: GenerateOptions,
    view: AnswerView,
) -> Record:
    if target:
        async with remote(target) as client:
            return await follow(ask(client, question, options), view)
    settings = _own_settings(members, options.get("profile"))
    if not members and _details_a_plan(options):
        options["models"] = [model.id for model in settings.models]
    async with own(settings) as client:
        return await follow(ask(client, question, options), view)


def _own_settings(members: Sequence[Member], profile: str | None) -> Settings:
    if members:
        from quorate.settings import Settings

        return Settings(models=model_settings(members))
    from quorate.app.demo import demo_settings

    settings = demo_settings(on_note=note_on_terminal)
    if profile is not None and profile not in settings.profiles:
        raise NotFound("profile", profile, settings.profiles)
    return settings


def _details_a_plan(options: GenerateOptions) -> bool:
    """Whether an option asks for a plan without saying whose; here it can only be the demo's."""
    details = (options.get(name) for name in ("rule", "alignment", "weighting", "failure_policy"))
    return options.get("profile") is None and any(detail is not None for detail in details)


def _print_record(record: Record, *, with_votes: bool) -> None:
    """Prints the votes where they were asked for, and on a terminal what the answer cost."""
    if record.decision is None or not (with_votes or sys.stderr.isatty()):
        return
    from rich.console import Console

    console = Console(stderr=True)
    if with_votes:
        console.out("")
        print_votes(console, record.decision.members, record.tokens)
    if record.finished is not None and sys.stderr.isatty():
        line = f"{timing(record.finished.usage)} \N{MIDDLE DOT} {plan_line(record.decision)}"
        console.print(line, style="dim", markup=False, highlight=False)
