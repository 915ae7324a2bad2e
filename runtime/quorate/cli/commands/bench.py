"""``quorate bench``: what this machine does with these models, and how two runs compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from quorate.cli.commands.bench_parts import (
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
    from collections.abc import Mapping

    from quorate_bench.bench import Bench
    from quorate_bench.sweep import Sweep


_RUN = "run"
_MOST_PAIRS = 2


class _RunByDefault(TyperGroup):
    """``bench standard`` is ``bench run standard``, as long as no command has that name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        first = args[0] if args else ""
        if not args or (first not in self.commands and first not in ("--help", "-h")):
            args = [_RUN, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    name="bench",
    cls=_RunByDefault,
    help="Measure what this machine does with models and plans.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

RecordsFile = Annotated[
    Path, typer.Argument(metavar="RECORDS.jsonl", help="What quorate bench wrote.")
]


@app.command(_RUN)
def run(
    what: Annotated[
        str,
        typer.Argument(
            metavar="quick|standard|full|FILE.toml",
            help="How much is measured, or a sweep of your own; see docs/bench.md.",
        ),
    ] = "quick",
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]ID_OR_PATH",
            help="Measure this model; may be given several times. The demo models without any. "
            "Reports call it NAME where there is one.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where records are kept; quorate-bench-WHAT.jsonl."),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(min=0.1, metavar="M", help="What it may take; what does not fit is left out."),
    ] = None,
    restart: Restart = False,
    as_json: JsonLines = False,
) -> None:
    """Measure models and plans: time to first token, time per token, joules, memory, quality.

    Everything runs on servers of its own. Records are kept as they come, so that the same command
    goes on where it was interrupted; afterwards: quorate bench report FILE.
    """
    import asyncio

    refuse_without_packages("bench")
    from quorate.cli.logs import keep_log_quiet
    from quorate.cli.views.bench import print_plan, print_summaries

    keep_log_quiet()
    sweep = _sweep(what, model or [], minutes)
    path = output or Path(f"quorate-bench-{sweep.name}.jsonl")
    prepare_records(path, restart=restart)
    bench = _bench(sweep, path)
    print_plan(bench, path)
    with measuring(path) as progress:
        asyncio.run(bench.run(quantise, progress))
    print_summaries(bench.records, path, as_json=as_json)


@app.command()
def show(records: RecordsFile, as_json: JsonLines = False) -> None:
    """Print what a run has found so far."""
    refuse_without_packages("bench")
    from quorate_bench.records import read_records

    from quorate.cli.views.bench import print_summaries
    from quorate.cli.views.bench_growth import print_growth
    from quorate.cli.views.bench_peers import print_peers

    read = read_records(records)
    views = {"growth": print_growth, "peers": print_peers}
    views.get(read.run["sweep"].get("about", ""), print_summaries)(read, records, as_json=as_json)


@app.command()
def report(
    records: RecordsFile,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="The page; beside the records if not given."),
    ] = None,
    png: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Every figure as a PNG, too.")
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(metavar="FILE.md", help="The plans as a table, to be pasted."),
    ] = None,
    write_config: Annotated[
        Path | None,
        typer.Option(metavar="FILE.toml", help="The best plans, as profiles of a configuration."),
    ] = None,
    as_json: JsonLines = False,
) -> None:
    """Make a page of what a run has found: one file that asks nobody for anything."""
    refuse_without_packages("bench")
    from quorate_bench.records import read_records
    from quorate_bench.report.markdown import markdown as table
    from quorate_bench.report.page import page
    from quorate_bench.report.writing import write_config as write_profiles
    from quorate_bench.report.writing import write_pictures, write_text
    from quorate_bench.summary import summaries

    from quorate.cli.views.bench import print_written

    read = read_records(records)
    found = summaries(read)

    def told(*paths: Path) -> None:
        print_written(paths, as_json=as_json)

    told(write_text(output or records.with_suffix(".html"), page(read, found)))
    if png is not None:
        told(*write_pictures(png, read, found))
    if markdown is not None:
        told(write_text(markdown, table(read, found)))
    if write_config is not None:
        told(write_profiles(write_config, read, found))


@app.command()
def compare(
    first: RecordsFile,
    second: RecordsFile,
    fail_above: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            metavar="RATIO",
            help="End with exit code 1 where a time or an energy has surely grown beyond this.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="A page of it, too; it asks nobody for anything."),
    ] = None,
    as_json: JsonLines = False,
) -> None:
    """Hold a second run against a first: two machines, or two versions on one."""
    refuse_without_packages("bench")
    from quorate_bench.compare import compare as compared
    from quorate_bench.records import read_records

    from quorate.cli.failures import FAILED
    from quorate.cli.views.bench import print_comparison, print_written

    ours, theirs = read_records(first), read_records(second)
    found = compared(ours, theirs)
    print_comparison(found, ours, theirs, as_json=as_json)
    if output is not None:
        from quorate_bench.report.comparison import comparison_page
        from quorate_bench.report.writing import write_text

        page = comparison_page(found, ours, theirs)
        print_written([write_text(output, page)], as_json=as_json)
    grown = fail_above is not None and any(one.ratio.low > fail_above for one in found)
    # Of nothing nobody can say that it has not grown.
    if grown or (fail_above is not None and not found):
        raise typer.Exit(FAILED)


def _sweep(what: str, names: list[str], minutes: float | None) -> Sweep:
    from dataclasses import replace

    from quorate_bench.sweep import PRESETS, models_of, preset, read_sweep, sweep_of

    from quorate.errors import SettingsError

    if what in PRESETS:
        paths = _largest_first(named_models(names)) if names else _demo_models()
        first, *others = paths
        pairs = [(first, other) for other in others[:_MOST_PAIRS]]
        sweep = preset(what, paths, pairs)
    else:
        if names:
            raise SettingsError(f"--model: the models of {what} stand in its table models")
        if not Path(what).suffix and not Path(what).exists():
            presets = f"{', '.join(PRESETS[:-1])} or {PRESETS[-1]}"
            raise SettingsError(f"{what}: no such sweep; give {presets}, or a TOML file")
        tables = read_sweep(Path(what))
        registry = registry_of_models()
        found = {name: registry.resolve(model).path for name, model in models_of(tables).items()}
        sweep = sweep_of(Path(what).stem, tables, found)
    if minutes is not None:
        sweep = replace(sweep, measure=replace(sweep.measure, minutes=minutes))
    return sweep


def _largest_first(models: Mapping[str, Path]) -> dict[str, Path]:
    return dict(sorted(models.items(), key=lambda one: -one[1].stat().st_size))


def _demo_models() -> dict[str, Path]:
    from quorate.cli.services import demo_settings

    return {model.id: Path(model.model) for model in demo_settings().models}


def _bench(sweep: Sweep, path: Path) -> Bench:
    from quorate_bench.bench import Bench

    context = int(sweep.axes.context_length[0]) or 2048
    facts, hashes = facts_of(sweep.models, context)
    return Bench(sweep, facts, hashes, path, commit_of_program())
