"""``quorate generate``: one answer from one model, from several that vote, or from stages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from quorate.cli import answer_options as answer
from quorate.cli import plan_options as plans
from quorate.cli.target import Insecure, Target, TargetAddress, TlsCa

if TYPE_CHECKING:
    from quorate.cli.answer_view import AnswerView
    from quorate.cli.question import Question


def generate(
    prompt: answer.Prompt,
    model: plans.ModelNames = None,
    profile: plans.ProfileName = None,
    cascade: plans.CascadeStages = None,
    stream_early: plans.StreamEarly = False,
    auto: plans.Auto = False,
    rule: plans.RuleChoice = None,
    alignment: plans.AlignmentChoice = None,
    weighting: plans.WeightingChoice = None,
    forgetting: plans.Forgetting = None,
    beam_epsilon: plans.BeamEpsilon = None,
    beam_width: plans.BeamWidth = None,
    on_failure: plans.OnFailure = None,
    latency_ms: answer.LatencyMs = None,
    joules: answer.Joules = None,
    usd: answer.Usd = None,
    local_only: answer.LocalOnly = False,
    task: answer.Task = None,
    temperature: answer.Temperature = None,
    top_p: answer.TopP = None,
    top_k: answer.TopK = None,
    min_p: answer.MinP = None,
    seed: answer.Seed = None,
    repetition_penalty: answer.RepetitionPenalty = None,
    presence_penalty: answer.PresencePenalty = None,
    frequency_penalty: answer.FrequencyPenalty = None,
    max_tokens: answer.MaxTokens = None,
    max_bytes: answer.MaxBytes = None,
    stop: answer.Stop = None,
    raw: answer.Raw = False,
    system: answer.System = None,
    votes: answer.Votes = False,
    top: answer.Top = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON line for each event.")
    ] = False,
    target: TargetAddress = None,
    tls_ca: TlsCa = None,
    insecure: Insecure = False,
    timeout: answer.Timeout = None,
) -> None:
    """Answer a prompt; the answer alone goes to standard output.

    Where every member has a chat template the prompt is the user's message of a chat. Without
    --target, the members named with --model or --cascade are loaded here, or else the demo models.
    """
    import asyncio

    from quorate.cli.logs import keep_log_quiet
    from quorate.cli.question import question_of

    question = question_of(
        prompt,
        model,
        cascade,
        raw=raw,
        system=system,
        options={
            **plans.plan_options(
                model,
                profile,
                rule=rule,
                alignment=alignment,
                weighting=weighting,
                forgetting=forgetting,
                beam_epsilon=beam_epsilon,
                beam_width=beam_width,
                on_failure=on_failure,
                cascade=cascade,
                stream_early=stream_early,
                auto=auto,
            ),
            "latency_ms": latency_ms,
            "energy_joules": joules,
            "usd": usd,
            "local_only": local_only,
            "task": task,
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
    keep_log_quiet()
    view = _view(as_json, votes, bool(top))
    asyncio.run(_answer(question, Target(target, tls_ca, insecure), view))


def _view(as_json: bool, votes: bool, candidates: bool) -> AnswerView:
    from quorate.cli.answer_view import JsonAnswer, TextAnswer
    from quorate.cli.writers import stdout_writer

    if as_json:
        return JsonAnswer()
    return TextAnswer(stdout_writer(), votes=votes, candidates=candidates)


async def _answer(question: Question, target: Target, view: AnswerView) -> None:
    from quorate.cli.connecting import asked_service
    from quorate.cli.load_view import passing_view
    from quorate.cli.question import ask

    with passing_view() as loading:
        async with asked_service(question.names(), target, loading) as client:
            await ask(client, question, view)
