"""``quorate models``: look at, fetch, check and delete model files and checkpoints."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from quorate_registry import CheckpointFacts, Entry, GgufFacts, Registry
    from quorate_registry.manifest import Source

app = typer.Typer(
    name="models",
    help="List, pull, inspect, verify and remove models.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

ModelId = Annotated[str, typer.Argument(metavar="MODEL", help="Registry id.")]
ModelName = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="Registry id, or path of a GGUF file or checkpoint folder."
    ),
]
JsonOutput = Annotated[bool, typer.Option("--json", help="Print JSON lines.")]


@app.command("list")
def list_models(as_json: JsonOutput = False) -> None:
    """List the known models and whether they are on this machine."""
    with _one_line_errors():
        entries = _registry().list()
    if as_json:
        for entry in entries:
            _print_json(_entry_fields(entry))
        return
    from quorate.cli.models_view import print_entries

    print_entries(entries)


@app.command()
def pull(
    model: ModelId,
    offline: Annotated[
        bool, typer.Option("--offline", help="Never touch the network; fail if it is needed.")
    ] = False,
    as_json: JsonOutput = False,
) -> None:
    """Download a model, or finish an interrupted download."""
    from quorate.cli.models_view import pull_progress

    with _one_line_errors(), pull_progress(model, _print_json if as_json else None) as progress:
        path = _registry().pull(model, progress, offline=offline)
    if as_json:
        _print_json({"event": "pulled", "id": model, "path": str(path)})
    else:
        typer.echo(path)


@app.command()
def inspect(
    model: ModelName,
    context: Annotated[
        int | None,
        typer.Option(min=1, help="Tokens of context for the memory estimate.", show_default=False),
    ] = None,
    as_json: JsonOutput = False,
) -> None:
    """Print what the headers of a model's files say."""
    with _one_line_errors():
        facts = _registry().inspect(model)
    tokens = context or min(facts.context_length or 4096, 4096)
    if as_json:
        _print_json(_facts_fields(facts, tokens))
        return
    from quorate.cli.models_view import print_facts

    print_facts(facts, tokens)


@app.command()
def verify(model: ModelName, as_json: JsonOutput = False) -> None:
    """Check the sizes, SHA-256 and structure of a model's files."""
    with _one_line_errors():
        result = _registry().verify(model)
    fields = {
        "id": result.id,
        "path": str(result.path),
        "size_bytes": result.size_bytes,
        "files": result.files,
        "sha256": result.sha256,
        "pinned": result.pinned,
        "ok": True,
    }
    if as_json:
        _print_json(fields)
        return
    from quorate.cli.models_view import print_verified

    print_verified(result)


@app.command()
def remove(model: ModelId, as_json: JsonOutput = False) -> None:
    """Delete the downloaded files of a model, finished or not."""
    with _one_line_errors():
        freed = _registry().remove(model)
    if as_json:
        _print_json({"id": model, "freed_bytes": freed})
        return
    from quorate_registry.sizes import human_size

    typer.echo(f"removed {model}, {human_size(freed)} freed")


def _registry() -> Registry:
    from quorate.app.registry import open_registry

    return open_registry()


@contextmanager
def _one_line_errors() -> Iterator[None]:
    from quorate_registry import RegistryError

    try:
        yield
    except RegistryError as error:
        message = " ".join(str(error).split())
    except KeyboardInterrupt:
        message = "interrupted; what has arrived is kept, run the same command to go on"
    else:
        return
    typer.echo(f"quorate: {message}", err=True)
    raise typer.Exit(1)


def _print_json(fields: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def _entry_fields(entry: Entry) -> dict[str, Any]:
    from quorate.app.registry import engine_of

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
    from quorate_registry import HubSource, PackageSource, SnapshotSource

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
    from dataclasses import asdict

    fields = asdict(facts)
    # What a configuration says stands beside the rest, as all of a GGUF header does.
    fields.update(fields.pop("config", {}))
    fields["path"] = str(facts.path)
    fields["memory"] = {
        "context_tokens": context_tokens,
        "bytes": facts.memory_estimate(context_tokens),
    }
    return fields
