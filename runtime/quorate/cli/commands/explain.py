"""``quorate explain``: which plan would answer, and why not another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from quorate.cli.parameter_groups import grouped
from quorate.cli.parameters import RequestParameters, Timeout
from quorate.cli.target import Target

if TYPE_CHECKING:
    from quorate.cli.question import Question
    from quorate.v1 import plan_pb2


@grouped
def explain(
    *,
    request: RequestParameters,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON line for each plan and for the decision.")
    ] = False,
    target: Target,
    timeout: Timeout = None,
) -> None:
    """Tell which plan would answer a prompt and what speaks against the others; nothing is run.

    Takes the options of generate. Without --target, the members named with --model or --cascade
    are loaded here, or else the demo models, to find out.
    """
    import asyncio

    from quorate.cli.logs import keep_log_quiet
    from quorate.cli.question import question_of

    question = question_of(request, timeout)
    # As where the answer is printed as a text.
    question.options["omit_logprobs"] = True
    keep_log_quiet()
    decision = asyncio.run(_explain(question, target))
    from quorate.cli.views.explain import print_decision

    print_decision(decision, as_json=as_json)


async def _explain(question: Question, target: Target) -> plan_pb2.Decision:
    from quorate.cli.asking import asked_service
    from quorate.cli.option_names import options_named
    from quorate.cli.question import request_options

    async with asked_service(question.names(), target) as client:
        prompt, options = request_options(question)
        with options_named(question.given):
            return await client.explain(prompt, **options)
