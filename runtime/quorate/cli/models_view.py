"""How ``quorate models`` looks: tables and a progress bar on a terminal, plain text in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer

from quorate_registry import (
    CheckpointFacts,
    Entry,
    GgufFacts,
    HubSource,
    SnapshotSource,
    VerifyResult,
)
from quorate_registry.sizes import human_size

Progress = Callable[[int, int], None]

_STATE_COLOURS = {"pulled": "green", "installed": "green", "available": "cyan", "missing": "yellow"}
_HEADINGS = ("MODEL", "STATE", "SIZE", "CONTEXT", "LICENCE")


def print_entries(entries: Sequence[Entry]) -> None:
    """Print one line per model."""
    rows = [_cells(entry) for entry in entries]
    if not sys.stdout.isatty():
        widths = [max(map(len, column)) for column in zip(_HEADINGS, *rows, strict=True)]
        for row in (_HEADINGS, *rows):
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            typer.echo("  ".join(cells).rstrip())
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in _HEADINGS:
        number = heading in ("SIZE", "CONTEXT")
        table.add_column(heading, justify="right" if number else "left", no_wrap=True)
    for name, state, *rest in rows:
        table.add_row(Text(name), Text(state, style=_STATE_COLOURS[state]), *map(Text, rest))
    Console().print(table)


def print_facts(facts: GgufFacts | CheckpointFacts, context_tokens: int) -> None:
    """Print one fact per line, and last the chat template as it is."""
    lines = _gguf_lines(facts) if isinstance(facts, GgufFacts) else _checkpoint_lines(facts)
    memory = facts.memory_estimate(context_tokens)
    amount = "unknown" if memory is None else f"about {human_size(memory)}"
    lines += [
        ("memory", f"{amount} with {context_tokens:,} tokens of context"),
        ("chat template", "none" if facts.chat_template is None else "see below"),
    ]
    for label, value in lines:
        styled = typer.style(f"{label:<16}", bold=True) if sys.stdout.isatty() else f"{label:<16}"
        typer.echo(f"{styled} {value}")
    if facts.chat_template is not None:
        typer.echo()
        for line in facts.chat_template.splitlines():
            typer.echo(f"  {_printable(line)}")


def print_verified(result: VerifyResult) -> None:
    """Print what a model that passed every check was checked against."""
    against = "equals the published sum" if result.pinned else "no published sum to compare with"
    kind = f"{result.size_bytes} bytes, sound GGUF"
    if isinstance(result.facts, CheckpointFacts):
        against = "all as pulled" if result.pinned else "nothing published to compare with"
        kind = f"{result.files} files, {result.size_bytes} bytes, sound checkpoint"
    typer.echo(f"{result.id}: ok, {kind}")
    typer.echo(f"SHA-256 {result.sha256} ({against})")


def _gguf_lines(facts: GgufFacts) -> list[tuple[str, str]]:
    return [
        ("file", str(facts.path)),
        ("name", _printable(facts.name)),
        ("architecture", _printable(facts.architecture)),
        ("quantisation", facts.quantisation),
        ("parameters", f"{facts.parameters:,}"),
        ("context", f"{facts.context_length:,} tokens"),
        ("layers", str(facts.layers)),
        ("embedding width", str(facts.embedding_length)),
        ("heads", f"{facts.heads}, key-value {facts.kv_heads}"),
        ("vocabulary", f"{facts.vocabulary_size:,} tokens, {_printable(facts.tokenizer)}"),
        ("file size", human_size(facts.file_bytes)),
        ("weights", human_size(facts.tensor_bytes)),
        ("KV cache", f"{human_size(facts.kv_bytes_per_token)} per token"),
    ]


def _checkpoint_lines(facts: CheckpointFacts) -> list[tuple[str, str]]:
    config, kv_bytes = facts.config, facts.config.kv_bytes_per_token
    parameters = "unknown: packed" if facts.parameters is None else f"{facts.parameters:,}"
    heads = f"{config.heads}, key-value {config.kv_heads}, of {config.head_size}"
    return [
        ("folder", str(facts.path)),
        ("architecture", _printable(config.architecture)),
        ("type of weights", facts.dtype),
        ("quantisation", _printable(config.quantisation) or "none"),
        ("parameters", parameters),
        ("context", f"{config.context_length:,} tokens"),
        ("layers", str(config.layers)),
        ("embedding width", str(config.embedding_length)),
        ("heads", heads),
        ("vocabulary", f"{config.vocabulary_size:,} tokens, {_printable(facts.tokenizer)}"),
        ("files", human_size(facts.file_bytes)),
        ("weights", human_size(facts.tensor_bytes)),
        ("KV cache", "unknown" if kv_bytes is None else f"{human_size(kv_bytes)} per token"),
    ]


@contextmanager
def pull_progress(
    model: str, print_json: Callable[[dict[str, Any]], None] | None
) -> Iterator[Progress]:
    """The observer of a pull that fits where the output goes.

    Args:
        model: id to show.
        print_json: prints one JSON line; None for people.

    Yields:
        A function of bytes done and bytes in all.
    """
    if print_json is not None:
        yield _every_percent(
            1, lambda done, total: print_json(_progress_fields(model, done, total))
        )
    elif sys.stderr.isatty():
        with _bar(model) as progress:
            yield progress
    else:
        yield _every_percent(10, lambda done, total: _print_plain(model, done, total))


def _cells(entry: Entry) -> tuple[str, str, str, str, str]:
    manifest = entry.manifest
    context = "-" if manifest.context is None else str(manifest.context)
    return (manifest.id, entry.state.value, _size(entry), context, manifest.licence)


def _size(entry: Entry) -> str:
    if entry.size_bytes is not None:
        return human_size(entry.size_bytes)
    source = entry.manifest.source
    if isinstance(source, HubSource | SnapshotSource) and source.approximate_bytes is not None:
        return f"~{human_size(source.approximate_bytes)}"
    return "-"


def _printable(text: str) -> str:
    """Text from a file that nobody vetted, without control sequences for the terminal."""
    return "".join(
        char if char.isprintable() or char == "\t" else "\N{MIDDLE DOT}" for char in text
    )


def _progress_fields(model: str, done: int, total: int) -> dict[str, Any]:
    return {"event": "progress", "id": model, "done_bytes": done, "total_bytes": total}


def _print_plain(model: str, done: int, total: int) -> None:
    percent = 100 * done // max(total, 1)
    typer.echo(f"{model}: {human_size(done)} of {human_size(total)}, {percent}%", err=True)


def _every_percent(step: int, show: Progress) -> Progress:
    shown = -1

    def progress(done: int, total: int) -> None:
        nonlocal shown
        level = 100 * done // max(total, 1) // step
        if level != shown:
            shown = level
            show(done, total)

    return progress


@contextmanager
def _bar(model: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.fields[model]}", markup=False),
        BarColumn(bar_width=None),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
    )
    with RichProgress(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task("", model=model, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
