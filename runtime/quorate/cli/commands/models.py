"""``quorate models``: look at, fetch, check and delete model files and checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from quorate.cli.parameters import JsonLines

if TYPE_CHECKING:
    from quorate_registry import Registry

# What the memory of a model is told for, where it has no less and nothing else is asked for.
_MEMORY_TOKENS = 4096

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


@app.command("list")
def list_models(as_json: JsonLines = False) -> None:
    """List the known models and whether they are on this machine."""
    from quorate.cli.views.models import print_entries

    entries = _registry().list()
    print_entries(entries, as_json=as_json)


@app.command()
def pull(
    model: ModelId,
    offline: Annotated[
        bool, typer.Option("--offline", help="Never touch the network; fail if it is needed.")
    ] = False,
    as_json: JsonLines = False,
) -> None:
    """Download a model, or finish an interrupted download."""
    from quorate.cli.views.models import print_pulled, pull_view

    with _kept_when_interrupted(), pull_view(model, as_json=as_json) as progress:
        path = _registry().pull(model, progress, offline=offline)
    print_pulled(model, path, as_json=as_json)


@app.command()
def inspect(
    model: ModelName,
    context: Annotated[
        int | None,
        typer.Option(min=1, help="Tokens of context for the memory estimate.", show_default=False),
    ] = None,
    as_json: JsonLines = False,
) -> None:
    """Print what the headers of a model's files say."""
    from quorate.app.registry import obstacle
    from quorate.cli.views.models import print_facts

    registry = _registry()
    facts = registry.inspect(model)
    problem = obstacle(registry, model)
    tokens = context or min(facts.context_length or _MEMORY_TOKENS, _MEMORY_TOKENS)
    print_facts(model, facts, tokens, problem, as_json=as_json)


@app.command()
def verify(model: ModelName, as_json: JsonLines = False) -> None:
    """Check the sizes, SHA-256 and structure of a model's files."""
    from quorate.app.registry import obstacle
    from quorate.cli.views.models import print_verified

    registry = _registry()
    result = registry.verify(model)
    problem = obstacle(registry, model)
    print_verified(result, problem, as_json=as_json)


@app.command()
def remove(model: ModelId, as_json: JsonLines = False) -> None:
    """Delete the downloaded files of a model, finished or not."""
    from quorate.cli.views.models import print_removed

    freed = _registry().remove(model)
    print_removed(model, freed, as_json=as_json)


def _registry() -> Registry:
    from quorate.app.registry import open_registry

    return open_registry()


@contextmanager
def _kept_when_interrupted() -> Iterator[None]:
    """Says of a pull that was interrupted what is kept of it."""
    from quorate.cli.failures import Interrupted

    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(
            "interrupted; what has arrived is kept, run the same command to go on"
        ) from None
