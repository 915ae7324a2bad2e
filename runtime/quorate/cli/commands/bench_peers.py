"""``quorate bench peers``: Quorate beside other programs, on the same weights."""

from __future__ import annotations

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
    quantise,
    refuse_without_packages,
    registry_of_models,
)
from quorate.cli.parameters import JsonLines

if TYPE_CHECKING:
    from quorate_bench.peers.running import Measure
    from quorate_bench.peers.sides import Given


def peers(
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME_OR_PATH",
            help="The model that every program runs; those given after it are further members of "
            "the ensembles. One alone votes with itself; without any it is the demo model.",
        ),
    ] = None,
    llama_server: Annotated[
        Path | None,
        typer.Option(metavar="PROGRAM", help="llama-server, where it is not on PATH."),
    ] = None,
    torch: Annotated[
        Path | None,
        typer.Option(
            metavar="PYTHON", help="An interpreter that has PyTorch and transformers, or vLLM."
        ),
    ] = None,
    concurrency: Annotated[
        list[int] | None,
        typer.Option(min=1, max=64, metavar="N", help="Answers at once; 1 and 4 without any."),
    ] = None,
    repetitions: Repetitions = 5,
    minutes: Minutes = 15.0,
    output: Kept = Path("quorate-bench-peers.jsonl"),
    restart: Restart = False,
    as_json: JsonLines = False,
) -> None:
    """Hold Quorate against llama.cpp, llama-server, vLLM and token ensembles of others.

    All run the same weights on the same cores, in turn. A program that is not installed is left
    out, and said. Afterwards: quorate bench report FILE.
    """
    import asyncio

    refuse_without_packages("bench")
    from quorate_bench.peers.running import Measure, Peers
    from quorate_bench.peers.sides import sides

    from quorate.cli.logs import keep_log_quiet
    from quorate.cli.views.bench_peers import print_peers, print_sides

    keep_log_quiet()
    measure = Measure(
        concurrency=tuple(sorted(set(concurrency or (1, 4)))),
        repetitions=repetitions,
        minutes=minutes,
    )
    given = _given(model or [DEMO_MODEL], measure, llama_server, torch)
    facts, hashes = facts_of(given.members, given.context)
    prepare_records(output, restart=restart)
    bench = Peers(given, sides(given), measure, facts, hashes, output, commit_of_program())
    print_sides(bench, output)
    with measuring(output) as progress:
        asyncio.run(bench.run(quantise, progress))
    print_peers(bench.records, output, as_json=as_json)


def _given(
    names: list[str], measure: Measure, llama_server: Path | None, torch: Path | None
) -> Given:
    from quorate_bench.peers.sides import Given
    from quorate_bench.serving import first_cores

    from quorate.errors import SettingsError
    from quorate_registry.hashing import sha256_of

    members = named_models(names)
    for name, path in members.items():
        if not path.is_file():
            raise SettingsError(f"--model: {name} is no GGUF file, which all of them can read")
    first = next(iter(members))
    if len(members) == 1:
        members[f"{first}-again"] = members[first]
    source = members[first]
    made = registry_of_models().home / "bench" / f"{source.stem}.{sha256_of(source)[:12]}.bfloat16"
    context = measure.prompt_tokens + measure.answer_tokens
    return Given(
        members, first_cores(1 << 16), max(measure.concurrency), 2 * context, llama_server, torch,
        made,
    )  # fmt: skip
