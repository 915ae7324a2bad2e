"""``quorate generate``: one answer from one model, from several that vote, or from stages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from quorate.cli.parameter_groups import grouped
from quorate.cli.parameters import RequestParameters, Timeout
from quorate.cli.target import Target

if TYPE_CHECKING:
    from quorate.cli.question import Question
    from quorate.cli.views.answer import AnswerView


# Options that say what the answer must be.
_HOLDS = ("json_schema", "regex", "grammar", "tools")


@grouped
def generate(
    *,
    request: RequestParameters,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON line for each event.")
    ] = False,
    target: Target,
    timeout: Timeout = None,
) -> None:
    """Answer a prompt; the answer alone goes to standard output.

    The prompt is the user's message of a chat; a member without a chat template reads it as a text.
    Without --target, the members named with --model or --cascade are loaded here, or else the demo
    models.
    """
    import asyncio

    from quorate.cli.logs import keep_log_quiet
    from quorate.cli.question import question_of
    from quorate.cli.views.answer import answer_view

    question = question_of(request, timeout)
    if not as_json:
        # Nobody sees them in a text.
        question.options["omit_logprobs"] = True
    keep_log_quiet()
    held = any(question.options.get(name) for name in _HOLDS)
    view = answer_view(
        as_json, votes=request.votes, candidates=bool(request.top_logprobs), held=held
    )
    asyncio.run(_answer(question, target, view))


async def _answer(question: Question, target: Target, view: AnswerView) -> None:
    from quorate.cli.asking import asked_service
    from quorate.cli.question import ask

    async with asked_service(question.names(), target) as client:
        await ask(client, question, view)
