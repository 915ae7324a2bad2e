"""``quorate demo``: two models alone, then together, and who wanted what."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from quorate.cli.answer_view import answer_view
from quorate.cli.asking import Record, follow, timing
from quorate.cli.connection import note_on_terminal, own
from quorate.cli.json_lines import print_json
from quorate.cli.questions import Question, ask
from quorate.cli.votes_view import print_votes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from quorate.client import Client, GenerateOptions

_PROMPTS = (
    "What is the capital of France, and what is it known for? Answer in two sentences.",
    "Write a short poem about the sea.",
)
_MOST_TOKENS = 80
_MOST_ROWS = 10
_NEXT = (
    ("ask both yourself", 'quorate generate --votes "Why is the sky blue?"'),
    ("serve them over gRPC", "quorate serve --demo"),
    ("see what else there is", "quorate models list"),
)


def demo_command(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
) -> None:
    """Load two small models, ask each alone, let both vote, and show who wanted what."""
    asyncio.run(_demo(as_json))


async def _demo(as_json: bool) -> None:
    from quorate.app.demo import demo_settings

    settings = demo_settings(on_note=note_on_terminal)
    models = [model.id for model in settings.models]
    async with own(settings) as client:
        if as_json:
            await _play_json(client, models)
        else:
            await _play(client, models)


async def _play_json(client: Client, models: Sequence[str]) -> None:
    for prompt in _PROMPTS:
        for members in _casts(models):
            print_json({"event": "ask", "prompt": prompt, "models": members})
            await follow(_answer(client, prompt, members), answer_view(as_json=True))


async def _play(client: Client, models: Sequence[str]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    for prompt in _PROMPTS:
        console.print(f"\n[bold]> {prompt}[/bold]")
        for members in _casts(models):
            alone = len(members) == 1
            title = f"{members[0]} alone" if alone else f"the vote of all {len(members)}"
            console.print(f"\n{title}", style="cyan bold", markup=False)
            record = await follow(_answer(client, prompt, members), answer_view(as_json=False))
            _print_timing(console, record)
            if not alone and record.decision is not None:
                console.print()
                print_votes(console, record.decision.members, record.tokens, _MOST_ROWS)
    console.print("\n[bold]Next[/bold]")
    for purpose, command in _NEXT:
        console.print(f"  {purpose:<24}", style="dim", end="")
        console.print(command, style="cyan", markup=False)


def _casts(models: Sequence[str]) -> list[list[str]]:
    return [*([model] for model in models), list(models)]


def _answer(client: Client, prompt: str, members: Sequence[str]):
    options: GenerateOptions = {
        "models": members,
        "temperature": 0.0,
        "seed": 1,
        "max_tokens": _MOST_TOKENS,
        "votes": len(members) > 1,
    }
    return ask(client, Question(prompt), options)


def _print_timing(console: Console, record: Record) -> None:
    if record.finished is not None:
        console.print(timing(record.finished.usage), style="dim", markup=False)
