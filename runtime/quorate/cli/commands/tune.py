"""``quorate tune``: what could be set better for this machine, measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quorate.cli.commands.bench_parts import (
    Restart,
    commit_of_program,
    measuring,
    prepare_records,
    quantise,
    refuse_without_packages,
    registry_of_models,
)
from quorate.cli.parameters import JsonLines

if TYPE_CHECKING:
    from quorate_bench.tuning.facts import Workload
    from quorate_bench.tuning.tuning import Tuning

    from quorate.cli.tuning import Prepared


def tune(
    config: Annotated[
        Path | None,
        typer.Argument(metavar="CONFIG", help="Configuration; ./quorate.toml if none is named."),
    ] = None,
    profile: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Whose answers count; may be given several times. All profiles without any.",
        ),
    ] = None,
    concurrency: Annotated[
        list[int] | None,
        typer.Option(
            min=1, max=256, metavar="N", help="Answers at once; may be given several times. 1."
        ),
    ] = None,
    prompt_tokens: Annotated[
        int, typer.Option(min=1, max=1 << 20, metavar="N", help="Length of prompts, roughly.")
    ] = 128,
    answer_tokens: Annotated[
        int, typer.Option(min=2, max=1 << 20, metavar="N", help="Length of answers.")
    ] = 64,
    goal: Annotated[
        str, typer.Option(metavar="time|energy", help="What there shall be less of.")
    ] = "time",
    setting: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Try this one alone, such as cores; may be given several times. All without any.",
        ),
    ] = None,
    other_answers: Annotated[
        bool,
        typer.Option(
            "--other-answers",
            help="Try what changes answers, too: types of the KV cache, types of the weights.",
        ),
    ] = False,
    minutes: Annotated[
        float, typer.Option(min=0.1, max=100_000, metavar="M", help="What all of it may take.")
    ] = 15.0,
    from_records: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="RECORDS.jsonl",
            help="Measure nothing; tell what records of quorate bench speak for.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where records are kept; quorate-tune-CONFIG.jsonl."),
    ] = None,
    write_config: Annotated[
        Path | None,
        typer.Option(metavar="FILE.toml", help="Write the configuration with what is proposed."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Without asking, where that file is there already.")
    ] = False,
    restart: Restart = False,
    as_json: JsonLines = False,
) -> None:
    """Find out what could be set better for this machine: cores, batches, sessions, drafts.

    Variants of the configuration are measured side by side with it, one setting at a time. What
    was better is held against the configuration as it is in a last run: that is the gain, and
    where there is none, nothing is proposed. Answers stay what they are, unless --other-answers
    is given. Records are kept, so that the same command goes on where it was interrupted.
    """
    from quorate.cli.logs import keep_log_quiet
    from quorate.cli.services import DEFAULT_CONFIG

    refuse_without_packages("tune")
    keep_log_quiet()
    if write_config is not None:
        _ask_to_overwrite(write_config, overwrite=overwrite, as_json=as_json)
    if from_records is not None:
        known = config or (DEFAULT_CONFIG if DEFAULT_CONFIG.is_file() else None)
        _tell_of_records(from_records, known, write_config, other_answers, as_json=as_json)
        return
    path = config or DEFAULT_CONFIG
    records = output or Path(f"quorate-tune-{path.stem}.jsonl")
    from quorate_bench.tuning.facts import Workload
    from quorate_bench.tuning.records import is_a_tuning
    from quorate_bench.tuning.running import GOALS

    from quorate.errors import SettingsError

    workload = Workload(tuple(dict.fromkeys(concurrency or [1])), prompt_tokens, answer_tokens)
    if goal not in GOALS:
        raise SettingsError(f"--goal: must be one of {', '.join(GOALS)}, not {goal!r}")
    prepared = _prepared(path, profile or [], workload, setting or [], other_answers)
    prepare_records(records, restart=restart, is_ours=is_a_tuning, what="a tuning")
    tuning = _tuning(prepared, goal, minutes, records)
    _run(tuning, path, write_config, as_json=as_json)


def _run(tuning: Tuning, config: Path, write_config: Path | None, *, as_json: bool) -> None:
    import asyncio

    from quorate.cli.views.bench import print_written
    from quorate.cli.views.tune import print_begin, print_outcome

    print_begin(tuning, config, tuning.path)
    with measuring(tuning.path, "repetitions") as progress:
        outcome = asyncio.run(tuning.run(progress))
    print_outcome(tuning, outcome, as_json=as_json)
    if write_config is None or outcome.verification is None or not outcome.verification.holds:
        return
    from quorate_bench.report.writing import write_text

    text = tuning.configuration.written(outcome.best)
    print_written([write_text(write_config, text)], as_json=as_json)


def _tuning(found: Prepared, goal: str, minutes: float, records: Path) -> Tuning:
    from quorate_bench.tuning.search import Limits
    from quorate_bench.tuning.tuning import Tuning

    from quorate_registry.hashing import sha256_of

    hashes = {name: sha256_of(path) for name, path in found.paths.items() if path.is_file()}
    return Tuning(
        found.space, found.configuration, Limits(seconds=60 * minutes), goal, hashes, records,
        commit_of_program(),
    )  # fmt: skip


def _prepared(
    config: Path,
    profiles: list[str],
    workload: Workload,
    settings: list[str],
    other_answers: bool,
) -> Prepared:
    from quorate.cli.tuning import prepared

    return prepared(
        config, profiles, workload, registry_of_models(), quantise, settings,
        other_answers=other_answers,
    )  # fmt: skip


def _ask_to_overwrite(path: Path, *, overwrite: bool, as_json: bool) -> None:
    """Lets nobody lose a file that is there.

    Raises:
        SettingsError: It is there, and nobody said that it may go.
    """
    import sys

    from quorate.errors import SettingsError

    if overwrite or not path.exists():
        return
    if sys.stdin.isatty() and sys.stderr.isatty() and not as_json:
        if typer.confirm(f"{path} is there already; write over it?", err=True):
            return
        raise typer.Exit(1)
    raise SettingsError(f"--write-config: {path} is there already; name another, or --overwrite")


def _tell_of_records(
    path: Path,
    config: Path | None,
    write_config: Path | None,
    other_answers: bool,
    *,
    as_json: bool,
) -> None:
    """Proposes what was better in records of a bench."""
    from quorate_bench.records import read_records
    from quorate_bench.tuning.from_records import recorded_proposal

    from quorate.cli.views.bench import print_written
    from quorate.cli.views.tune import print_recorded
    from quorate.errors import SettingsError

    records = read_records(path)
    prepared = None
    if config is not None:
        from quorate_bench.tuning.facts import Workload

        prepared = _prepared(config, [], Workload((1,), 64, 48), [], other_answers)
    elif write_config is not None:
        raise SettingsError("--write-config: needs a configuration to change; name CONFIG")
    proposal = recorded_proposal(
        records, prepared.configuration if prepared else None, other_answers=other_answers
    )
    print_recorded(proposal, records, as_json=as_json)
    if write_config is not None and prepared is not None and proposal.written:
        from quorate_bench.report.writing import write_text

        print_written([write_text(write_config, proposal.written)], as_json=as_json)
