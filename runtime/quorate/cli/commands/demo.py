"""``quorate demo``: models alone, then together, and how they voted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quorate.cli.parameters import JsonLines

if TYPE_CHECKING:
    from quorate.cli.views.demo import DemoView
    from quorate.settings import Settings

_MAX_BYTES = 200
_NEXT = (
    ("ask yourself", 'quorate generate --votes "Which shelf is the KX-921 on?"'),
    ("serve them over gRPC", "quorate serve --demo"),
    ("see more models", "quorate models list"),
)


def demo(as_json: JsonLines = False) -> None:
    """Load small models, ask some alone, let them vote, and show who wanted what."""
    import asyncio

    from quorate.cli.logs import keep_log_quiet
    from quorate.cli.services import demo_settings
    from quorate.cli.views.demo import JsonDemo, TextDemo

    keep_log_quiet()
    view: DemoView = JsonDemo() if as_json else TextDemo()
    asyncio.run(_play(demo_settings(), view))


async def _play(settings: Settings, view: DemoView) -> None:
    """Asks every prompt of two models alone and then of both."""
    from quorate.app.demo import ORIGINAL_MODEL, REQUANTIZED_MODEL, SPECIALIST_MODEL
    from quorate.cli.question import Question, ask
    from quorate.cli.services import own_service
    from quorate.request import WeightedModel

    # The same vocabulary, token by token; then different ones, byte by byte.
    scenes = (
        ("What is the capital of France?", (ORIGINAL_MODEL, REQUANTIZED_MODEL)),
        (
            "What is the opposite of big, and where is the WY-933?",
            (ORIGINAL_MODEL, SPECIALIST_MODEL),
        ),
    )
    async with own_service(settings) as client:
        for prompt, pair in scenes:
            view.prompt(prompt)
            for models in (pair[:1], pair[1:], pair):
                question = Question(
                    prompt,
                    tuple(map(WeightedModel, models)),
                    options={
                        "temperature": 0.0,
                        "seed": 1,
                        "max_bytes": _MAX_BYTES,
                        "votes": models == pair,
                    },
                )
                await ask(client, question, view.answer(models))
    view.end(_NEXT)
