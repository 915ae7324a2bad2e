"""``quorate explain``: which plan would answer, and why not another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from quorate.cli import answer_options as answer
from quorate.cli import plan_options as plans
from quorate.cli.target import Insecure, Target, TargetAddress, TlsCa

if TYPE_CHECKING:
    from quorate.cli.question import Question
    from quorate.v1 import plan_pb2


def explain(
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
        bool, typer.Option("--json", help="Print one JSON line for each plan and for the decision.")
    ] = False,
    target: TargetAddress = None,
    tls_ca: TlsCa = None,
    insecure: Insecure = False,
    timeout: answer.Timeout = None,
) -> None:
    """Tell which plan would answer a prompt and what speaks against the others; nothing is run.

    Takes the options of generate. Without --target, the members named with --model or --cascade
    are loaded here, or else the demo models, to find out.
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
    decision = asyncio.run(_explain(question, Target(target, tls_ca, insecure)))
    from quorate.cli.explain_view import print_decision

    print_decision(decision, as_json=as_json)


async def _explain(question: Question, target: Target) -> plan_pb2.Decision:
    from quorate.cli.connecting import asked_service
    from quorate.cli.load_view import passing_view
    from quorate.cli.question import request_options

    with passing_view() as loading:
        async with asked_service(question.names(), target, loading) as client:
            prompt, options = await request_options(client, question)
            return await client.explain(prompt, **options)
