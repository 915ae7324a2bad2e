"""How ``quorate models`` looks: tables on a terminal, plain text in a pipe, or JSON lines."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from quorate.app.registry import engine_of
from quorate.cli.events import print_event
from quorate.cli.views.progress import Progress, every_percent, pull_progress
from quorate_registry import (
    CheckpointFacts,
    Entry,
    GgufFacts,
    HubSource,
    PackageSource,
    SnapshotSource,
    VerifyResult,
)
from quorate_registry.manifest import Source
from quorate_registry.sizes import human_size

_STATE_COLOURS = {"pulled": "green", "installed": "green", "available": "cyan", "missing": "yellow"}
_HEADINGS = ("MODEL", "STATE", "SIZE", "CONTEXT", "LICENCE")


def print_entries(entries: Sequence[Entry], *, as_json: bool) -> None:
    """Prints one line per model."""
    if as_json:
        for entry in entries:
            print_event("model", _entry_fields(entry))
        return
    rows = [_cells(entry) for entry in entries]
    if not sys.stdout.isatty():
        widths = [max(map(len, column)) for column in zip(_HEADINGS, *rows, strict=True)]
        for row in (_HEADINGS, *rows):
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            typer.echo("  ".join(cells).rstrip())
        return
    from rich.table import Table
    from rich.text import Text

    from quorate.cli.views.terminal import Console

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in _HEADINGS:
        number = heading in ("SIZE", "CONTEXT")
        table.add_column(heading, justify="right" if number else "left", no_wrap=True)
    for name, state, *rest in rows:
        table.add_row(Text(name), Text(state, style=_STATE_COLOURS[state]), *map(Text, rest))
    Console().print(table)


@contextmanager
def pull_view(model: str, *, as_json: bool) -> Iterator[Progress]:
    """The observer of a pull, a function of bytes done and bytes in all."""
    if not as_json:
        with pull_progress(model) as progress:
            yield progress
        return
    yield every_percent(
        1,
        lambda done, total: print_event(
            "progress", {"id": model, "done_bytes": done, "total_bytes": total}
        ),
    )


def print_pulled(model: str, path: Path, *, as_json: bool) -> None:
    """Prints where a model is now."""
    if as_json:
        print_event("pulled", {"id": model, "path": str(path)})
    else:
        typer.echo(path)


def print_removed(model: str, freed_bytes: int, *, as_json: bool) -> None:
    """Prints how much space a model leaves."""
    if as_json:
        print_event("removed", {"id": model, "freed_bytes": freed_bytes})
    else:
        typer.echo(f"removed {model}, {human_size(freed_bytes)} freed")


def print_facts(
    model: str,
    facts: GgufFacts | CheckpointFacts,
    context_tokens: int,
    obstacle: str,
    *,
    as_json: bool,
) -> None:
    """Prints one fact per line, and last the chat template as it is.

    Args:
        model: What it was asked for by.
        facts: What the headers say.
        context_tokens: What the memory is told for.
        obstacle: Why it can never run here; "" where nothing speaks against it.
        as_json: Whether as one line of JSON.
    """
    if as_json:
        fields = {"id": model, **_facts_fields(facts, context_tokens)}
        print_event("facts", {**fields, "obstacle": obstacle or None})
        return
    lines = _gguf_lines(facts) if isinstance(facts, GgufFacts) else _checkpoint_lines(facts)
    memory = facts.memory_estimate(context_tokens)
    amount = "unknown" if memory is None else f"about {human_size(memory)}"
    lines += [
        ("memory", f"{amount} with {context_tokens:,} tokens of context"),
        ("runs", f"no: {_printable(obstacle)}" if obstacle else "nothing speaks against it"),
        ("chat template", "none" if facts.chat_template is None else "see below"),
    ]
    for label, value in lines:
        styled = typer.style(f"{label:<16}", bold=True) if sys.stdout.isatty() else f"{label:<16}"
        typer.echo(f"{styled} {_printable(value)}")
    if facts.chat_template is not None:
        typer.echo()
        for line in facts.chat_template.splitlines():
            typer.echo(f"  {_printable(line)}")


def print_verified(result: VerifyResult, obstacle: str, *, as_json: bool) -> None:
    """Prints what a model that passed every check was checked against.

    ``obstacle`` says why it can never run here all the same; "" where nothing speaks against it.
    """
    if as_json:
        print_event(
            "verified",
            {
                "id": result.id,
                "path": str(result.path),
                "size_bytes": result.size_bytes,
                "files": result.files,
                "sha256": result.sha256,
                "pinned": result.pinned,
                "ok": True,
                "obstacle": obstacle or None,
            },
        )
        return
    against = "equals the published sum" if result.pinned else "no published sum to compare with"
    several = f"{result.files} files, " if result.files > 1 else ""
    kind = f"{several}{result.size_bytes} bytes, sound GGUF"
    if isinstance(result.facts, CheckpointFacts):
        against = "all as pulled" if result.pinned else "nothing published to compare with"
        kind = f"{result.files} files, {result.size_bytes} bytes, sound checkpoint"
    typer.echo(f"{result.id}: ok, {kind}")
    typer.echo(f"SHA-256 {result.sha256} ({against})")
    if obstacle:
        typer.echo(f"cannot run: {_printable(obstacle)}")


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
        ("file size", _size_of(facts)),
        ("weights", human_size(facts.tensor_bytes)),
        ("KV cache", f"{human_size(facts.kv_bytes_per_token)} per token"),
    ]


def _size_of(facts: GgufFacts) -> str:
    parts = f", in {len(facts.files)} files" if len(facts.files) > 1 else ""
    return f"{human_size(facts.file_bytes)}{parts}"


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


def _entry_fields(entry: Entry) -> dict[str, Any]:
    manifest = entry.manifest
    return {
        "id": manifest.id,
        "state": entry.state.value,
        "description": manifest.description,
        "licence": manifest.licence,
        "engine": engine_of(entry),
        "context": manifest.context,
        "tags": list(manifest.tags),
        "source": _source_fields(manifest.source),
        "path": None if entry.path is None else str(entry.path),
        "size_bytes": entry.size_bytes,
    }


def _source_fields(source: Source) -> dict[str, Any]:
    if isinstance(source, HubSource):
        return {
            "kind": "hub",
            "repo": source.repo,
            "file": source.file,
            "revision": source.revision,
            "approximate_bytes": source.approximate_bytes,
        }
    if isinstance(source, SnapshotSource):
        return {
            "kind": "snapshot",
            "repo": source.repo,
            "files": list(source.files),
            "revision": source.revision,
            "approximate_bytes": source.approximate_bytes,
        }
    if isinstance(source, PackageSource):
        return {"kind": "package", "package": source.package, "file": source.file}
    return {"kind": "path", "path": str(source.path)}


def _facts_fields(facts: GgufFacts | CheckpointFacts, context_tokens: int) -> dict[str, Any]:
    fields = asdict(facts)
    # What a configuration says stands beside the rest, as all of a GGUF header does.
    fields.update(fields.pop("config", {}))
    fields["path"] = str(facts.path)
    if isinstance(facts, GgufFacts):
        fields["files"] = [str(file) for file in facts.files]
    fields["memory"] = {
        "context_tokens": context_tokens,
        "bytes": facts.memory_estimate(context_tokens),
    }
    return fields
