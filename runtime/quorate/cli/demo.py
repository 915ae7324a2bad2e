"""``quorate demo``: models alone, then together, and who wanted what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from quorate.cli.demo_stage import Stage
    from quorate.settings import Settings

_MOST_BYTES = 200
_NEXT = (
    ("ask yourself", 'quorate generate --votes "Which shelf is the KX-921 on?"'),
    ("serve them over gRPC", "quorate serve --demo"),
    ("see more models", "quorate models list"),
)


def demo(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
) -> None:
    """Load small models, ask some alone, let them vote, and show who wanted what."""
    import asyncio

    from quorate.cli.configuration import demo_settings
    from quorate.cli.demo_stage import JsonStage, TextStage
    from quorate.cli.logs import keep_log_quiet

    keep_log_quiet()
    stage: Stage = JsonStage() if as_json else TextStage()
    asyncio.run(_play(demo_settings(_note), stage))


async def _play(settings: Settings, stage: Stage) -> None:
    """Asks every prompt of two models alone and then of both."""
    from quorate.app.demo import ORIGINAL_MODEL, REQUANTIZED_MODEL, SPECIALIST_MODEL
    from quorate.cli.connecting import own_service
    from quorate.cli.load_view import passing_view
    from quorate.cli.members import Member
    from quorate.cli.question import Question, ask

    # The same vocabulary, token by token; then different ones, byte by byte.
    scenes = (
        ("What is the capital of France?", (ORIGINAL_MODEL, REQUANTIZED_MODEL)),
        (
            "What is the opposite of big, and where is the WY-933?",
            (ORIGINAL_MODEL, SPECIALIST_MODEL),
        ),
    )
    with passing_view() as loading:
        async with own_service(settings, loading) as client:
            for prompt, pair in scenes:
                stage.prompt(prompt)
                members = [Member(model) for model in pair]
                for cast in (*((member,) for member in members), tuple(members)):
                    together = len(cast) > 1
                    question = Question(
                        prompt,
                        cast,
                        options={
                            "temperature": 0.0,
                            "seed": 1,
                            "max_bytes": _MOST_BYTES,
                            "votes": together,
                        },
                    )
                    await ask(client, question, stage.answer([member.name for member in cast]))
    stage.end(_NEXT)


def _note(text: str) -> None:
    typer.echo(text, err=True)
