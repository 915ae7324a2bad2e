"""``quorate demo``: two models alone, then together, and who wanted what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from quorate.cli.demo_stage import Stage
    from quorate.settings import Settings

_PROMPTS = (
    "What is the capital of France?",
    "Write a short poem about the sea.",
)
_MOST_TOKENS = 50
_NEXT = (
    ("ask both yourself", 'quorate generate --votes "Why is the sky blue?"'),
    ("serve them over gRPC", "quorate serve --demo"),
    ("see more models", "quorate models list"),
)


def demo(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
) -> None:
    """Load two small models, ask each alone, let both vote, and show who wanted what."""
    import asyncio

    from quorate.cli.configuration import demo_settings
    from quorate.cli.demo_stage import JsonStage, TextStage
    from quorate.cli.logs import keep_log_quiet

    keep_log_quiet()
    stage: Stage = JsonStage() if as_json else TextStage()
    asyncio.run(_play(demo_settings(_note), stage))


async def _play(settings: Settings, stage: Stage) -> None:
    """Asks every prompt of each model alone and then of both."""
    from quorate.cli.connecting import own_service
    from quorate.cli.load_view import passing_view
    from quorate.cli.members import Member
    from quorate.cli.question import Question, ask

    members = [Member(model.id) for model in settings.models]
    casts = [*((member,) for member in members), tuple(members)]
    with passing_view() as loading:
        async with own_service(settings, loading) as client:
            for prompt in _PROMPTS:
                stage.prompt(prompt)
                for cast in casts:
                    together = len(cast) > 1
                    question = Question(
                        prompt,
                        cast,
                        options={
                            "temperature": 0.0,
                            "seed": 1,
                            "max_tokens": _MOST_TOKENS,
                            "votes": together,
                        },
                    )
                    await ask(client, question, stage.answer([member.name for member in cast]))
    stage.end(_NEXT)


def _note(text: str) -> None:
    typer.echo(text, err=True)
