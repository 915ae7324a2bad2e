"""``quorate bench growth``: how the time of a step grows, and what this machine allows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quorate.cli.commands.bench_parts import (
    DEMO_MODEL,
    Kept,
    Minutes,
    Repetitions,
    Restart,
    commit_of_program,
    facts_of,
    measuring,
    named_models,
    prepare_records,
    refuse_without_packages,
    registry_of_models,
)
from quorate.cli.parameters import JsonLines

if TYPE_CHECKING:
    from quorate_bench.growth.plans import Axes, Given, Vocabulary


def growth(
    model: Annotated[
        str, typer.Option(metavar="NAME_OR_PATH", help="Whose copies are the members.")
    ] = DEMO_MODEL,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="QUANTITY",
            help="members, concurrency, context or vocabulary; may be given several times. All of "
            "them without any.",
        ),
    ] = None,
    tokenizers: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Real tokenizers, as scripts/fetch_models brings them; without, vocabularies are "
            "made up.",
        ),
    ] = None,
    repetitions: Repetitions = 3,
    minutes: Minutes = 10.0,
    output: Kept = Path("quorate-bench-growth.jsonl"),
    restart: Restart = False,
    as_json: JsonLines = False,
) -> None:
    """Measure a step of ever more members, answers at once, context and vocabulary.

    Each is held against what this machine allows. Afterwards: quorate bench report FILE.
    """
    import asyncio

    refuse_without_packages("bench", "gguf")
    from quorate_bench.growth.plans import QUANTITIES, Axes
    from quorate_bench.growth.running import Growth

    from quorate.cli.logs import keep_log_quiet
    from quorate.cli.views.bench_growth import print_growth, print_growth_plan
    from quorate.errors import SettingsError

    keep_log_quiet()
    if wrong := sorted(set(only or ()) - set(QUANTITIES)):
        raise SettingsError(f"--only: no {wrong[0]}; there are {', '.join(QUANTITIES)}")
    kept = tuple(one for one in QUANTITIES if one in (only or QUANTITIES))
    axes = Axes(only=kept, repetitions=repetitions, minutes=minutes)
    given, sha256 = _given(model, axes, tokenizers)
    prepare_records(output, restart=restart)
    bench = Growth(given, axes, sha256, output, commit_of_program())
    print_growth_plan(bench, output)
    with measuring(output) as progress:
        asyncio.run(bench.run(progress))
    print_growth(bench.records, output, as_json=as_json)


def _given(name: str, axes: Axes, tokenizers: Path | None) -> tuple[Given, str]:
    from quorate_bench.growth.plans import Given
    from quorate_bench.machine import available_bytes
    from quorate_bench.serving import Served, first_cores

    ((identity, path),) = named_models([name]).items()
    facts, hashes = facts_of({identity: path}, 2048)
    short, long = (
        registry_of_models().inspect(str(path)).memory_estimate(tokens) or 0
        for tokens in (1024, 2048)
    )
    given = Given(
        identity,
        Served(path),
        facts[identity],
        max(0.0, (long - short) / 1024),
        len(first_cores(1 << 16)),
        _vocabularies(tokenizers) if "vocabulary" in axes.only else (),
        available_bytes(),
    )
    return given, hashes[identity]


def _vocabularies(tokenizers: Path | None) -> Sequence[Vocabulary]:
    from quorate_bench.growth.vocabularies import vocabularies

    return vocabularies(tokenizers, registry_of_models().home / "bench" / "vocabularies")
