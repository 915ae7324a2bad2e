"""``quorate generate``: one answer from one model or from several that vote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from quorate.generation import Alignment, CombinationRule, FailurePolicy, Weighting

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from quorate.cli.answer_view import AnswerView
    from quorate.cli.load_view import StatusView
    from quorate.cli.question import Question
    from quorate.client import Client


def generate(
    prompt: Annotated[
        str, typer.Argument(metavar="PROMPT", help="What to answer; - reads standard input.")
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:WEIGHT]",
            help="A member: registry id or path of a GGUF file, with its weight after a colon; "
            "may be given several times.",
        ),
    ] = None,
    profile: Annotated[
        str | None, typer.Option(metavar="NAME", help="A named plan of the server.")
    ] = None,
    rule: Annotated[
        CombinationRule | None, typer.Option(help="How the members' distributions become one.")
    ] = None,
    alignment: Annotated[
        Alignment | None, typer.Option(help="How different vocabularies are compared.")
    ] = None,
    weighting: Annotated[
        Weighting | None, typer.Option(help="Where the weights come from.")
    ] = None,
    on_failure: Annotated[
        FailurePolicy | None, typer.Option(help="What happens when a member dies in mid-stream.")
    ] = None,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Mass of the nucleus.")] = None,
    top_k: Annotated[int | None, typer.Option(help="Candidates kept; 0 keeps all.")] = None,
    min_p: Annotated[
        float | None, typer.Option(help="Least share of the best candidate's probability.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Makes the answer repeatable.")] = None,
    repetition_penalty: Annotated[float | None, typer.Option(help="1 is none.")] = None,
    presence_penalty: Annotated[
        float | None, typer.Option(help="Subtracted once from tokens that were there.")
    ] = None,
    frequency_penalty: Annotated[
        float | None, typer.Option(help="Subtracted for each time a token was there.")
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Most tokens of the answer.")] = None,
    max_bytes: Annotated[int | None, typer.Option(help="Most bytes of the answer.")] = None,
    stop: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="Ends the answer; may be given several times."),
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Take the prompt as it is, without a chat template.")
    ] = False,
    system: Annotated[
        str | None, typer.Option(metavar="TEXT", help="System message of the chat.")
    ] = None,
    votes: Annotated[
        bool,
        typer.Option(
            "--votes",
            help="Show who wanted what: colours and a table on a terminal; in a pipe the answer "
            "alone goes to standard output and the table to standard error.",
        ),
    ] = False,
    top: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Show the N best candidates of each token, where --votes shows."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON line for each event.")
    ] = False,
    target: Annotated[
        str | None,
        typer.Option(
            envvar="QUORATE_TARGET",
            metavar="HOST:PORT",
            help="A server that runs already; without one the models are loaded for this answer.",
        ),
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Deadline of the answer.")
    ] = None,
) -> None:
    """Answer a prompt; the answer alone goes to standard output.

    Where every member has a chat template the prompt is the user's message of a chat. Without
    --target, the members named with --model are loaded here, or else the demo models.
    """
    import asyncio

    from quorate.cli.logs import keep_log_quiet
    from quorate.cli.members import parse_members
    from quorate.cli.question import Question, read_prompt
    from quorate.errors import SettingsError

    if raw and system is not None:
        raise SettingsError("--system has no place in a --raw prompt")
    if profile and model:
        raise SettingsError("--profile and --model exclude each other; give one of them")
    if not model and (rule or alignment or weighting or on_failure):
        raise SettingsError(
            "--rule, --alignment, --weighting and --on-failure belong to members; name them "
            "with --model"
        )
    keep_log_quiet()
    members = parse_members(model or [])
    question = Question(
        prompt=read_prompt(prompt),
        members=members,
        system=system,
        raw=raw,
        options={
            "profile": profile,
            "rule": rule.value if rule else None,
            "alignment": alignment.value if alignment else None,
            "weighting": weighting.value if weighting else None,
            "failure_policy": _failure_policy(on_failure),
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
            "stop": stop,
            "top_logprobs": top,
            "votes": votes,
            "timeout": timeout,
        },
    )
    asyncio.run(_answer(question, target, _view(as_json, votes, bool(top))))


def _failure_policy(policy: FailurePolicy | None) -> str | None:
    return None if policy in (None, FailurePolicy.AUTO) else policy.value


def _view(as_json: bool, votes: bool, candidates: bool) -> AnswerView:
    from quorate.cli.answer_view import JsonAnswer, TextAnswer
    from quorate.cli.writers import stdout_writer

    if as_json:
        return JsonAnswer()
    return TextAnswer(stdout_writer(), votes=votes, candidates=candidates)


async def _answer(question: Question, target: str | None, view: AnswerView) -> None:
    from quorate.cli.load_view import passing_view
    from quorate.cli.question import ask

    with passing_view() as loading:
        async with _client(question, target, loading) as client:
            await ask(client, question, view)


def _client(
    question: Question, target: str | None, loading: StatusView
) -> AbstractAsyncContextManager[Client]:
    from quorate.cli.configuration import demo_settings, named_settings
    from quorate.cli.connecting import own_service
    from quorate.client import Client
    from quorate.server.settings import split_address

    if target:
        split_address(target, "--target")
        return Client(target)
    names = [member.name for member in question.members]
    settings = named_settings(names, _note) if names else demo_settings(_note)
    return own_service(settings, loading)


def _note(text: str) -> None:
    typer.echo(text, err=True)
