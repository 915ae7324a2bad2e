"""``quorate generate``: one answer from one model or from several that vote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from quorate.cli.plan_options import (
    AlignmentChoice,
    BeamEpsilon,
    BeamWidth,
    Forgetting,
    ModelNames,
    ProfileName,
    RuleChoice,
    WeightingChoice,
    plan_options,
)
from quorate.generation import FailurePolicy

if TYPE_CHECKING:
    from quorate.cli.answer_view import AnswerView
    from quorate.cli.question import Question


def generate(
    prompt: Annotated[
        str, typer.Argument(metavar="PROMPT", help="What to answer; - reads standard input.")
    ],
    model: ModelNames = None,
    profile: ProfileName = None,
    rule: RuleChoice = None,
    alignment: AlignmentChoice = None,
    weighting: WeightingChoice = None,
    forgetting: Forgetting = None,
    beam_epsilon: BeamEpsilon = None,
    beam_width: BeamWidth = None,
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
    plan = plan_options(
        model,
        profile,
        rule=rule,
        alignment=alignment,
        weighting=weighting,
        forgetting=forgetting,
        beam_epsilon=beam_epsilon,
        beam_width=beam_width,
        on_failure=on_failure,
    )
    keep_log_quiet()
    members = parse_members(model or [])
    question = Question(
        prompt=read_prompt(prompt),
        members=members,
        system=system,
        raw=raw,
        options={
            **plan,
            "temperature": temperature,
            "top_p": top_p,
            "top_k": top_k,
            "min_p": min_p,
            "seed": seed,
            "repetition_penalty": repetition_penalty,
            "presence_penalty": presence_penalty,
            "frequency_penalty": frequency_penalty,
            "logit_bias": None,
            "max_tokens": max_tokens,
            "max_bytes": max_bytes,
            "stop": stop,
            "top_logprobs": top,
            "votes": votes,
            "timeout": timeout,
        },
    )
    asyncio.run(_answer(question, target, _view(as_json, votes, bool(top))))


def _view(as_json: bool, votes: bool, candidates: bool) -> AnswerView:
    from quorate.cli.answer_view import JsonAnswer, TextAnswer
    from quorate.cli.writers import stdout_writer

    if as_json:
        return JsonAnswer()
    return TextAnswer(stdout_writer(), votes=votes, candidates=candidates)


async def _answer(question: Question, target: str | None, view: AnswerView) -> None:
    from quorate.cli.connecting import asked_service
    from quorate.cli.load_view import passing_view
    from quorate.cli.question import ask

    names = [member.name for member in question.members]
    with passing_view() as loading:
        async with asked_service(names, target, loading) as client:
            await ask(client, question, view)
