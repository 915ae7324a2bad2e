"""What the commands that measure share: parameters, models, and where their records are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from quorate_bench.planning import ModelFacts
    from quorate_bench.running import Progress

    from quorate_registry import Registry

DEMO_MODEL = "smollm2-135m-instruct"

Restart = Annotated[
    bool, typer.Option("--restart/--resume", help="Begin anew instead of going on with records.")
]
Repetitions = Annotated[int, typer.Option(min=1, max=1000, metavar="N")]
Minutes = Annotated[
    float, typer.Option(min=0.1, metavar="M", help="What it may take; the rest is left out.")
]
Kept = Annotated[Path, typer.Option(metavar="FILE", help="Where records are kept.")]

_NEEDED = ("matplotlib", "scipy", "tomlkit")


def refuse_without_packages(command: str, *more: str) -> None:
    """Checks that the extra is installed, or what of it a command needs.

    Args:
        command: That needs it.
        *more: Packages that it needs beside those of all these commands.

    Raises:
        SettingsError: Tells how it is.
    """
    from importlib.util import find_spec

    from quorate.errors import SettingsError

    if missing := [name for name in (*_NEEDED, *more) if find_spec(name) is None]:
        names = ", ".join(missing)
        raise SettingsError(f"{command}: needs {names}: pip install 'quorate[bench]'")


def prepare_records(
    path: Path,
    *,
    restart: bool,
    is_ours: Callable[[Path], bool] | None = None,
    what: str = "a run",
) -> None:
    """Checks that records can be kept there, before anything is measured.

    Args:
        path: Where.
        restart: Whether records that are there are removed; nothing that is something else is.
        is_ours: Whether a file holds records; those of a bench if not given.
        what: They are of.

    Raises:
        SettingsError: They cannot, or what is there and shall be begun anew is something else.
    """
    from quorate_bench.records import is_a_run

    from quorate.errors import SettingsError
    from quorate.files import refuse_no_file, refuse_no_place

    advice = "give another --output"
    refuse_no_file(path, advice)
    refuse_no_place(path, advice)
    if restart and path.exists():
        if not (is_ours or is_a_run)(path):
            raise SettingsError(f"{path}: holds no records of {what}, and is kept; {advice}")
        path.unlink()


@contextmanager
def measuring(path: Path, kept: str = "records") -> Iterator[Progress]:
    """Shows what is measured within the context.

    Args:
        path: Where what was measured is kept.
        kept: What that is.

    Raises:
        Interrupted: Somebody did; tells how to go on.
    """
    from quorate.cli.failures import Interrupted
    from quorate.cli.views.bench import bench_progress

    try:
        with bench_progress() as progress:
            yield progress
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted; the {kept} so far are kept in {path}, run the same command to go on"
        ) from None


def named_models(names: list[str]) -> dict[str, Path]:
    """Paths by the names that models have where they are served, in the order given."""
    import re

    from quorate.errors import SettingsError
    from quorate.files import default_id

    registry = registry_of_models()
    found = {}
    for one in names:
        name, equals, model = one.partition("=")
        if not equals or not re.fullmatch(r"[\w.-]+", name) or Path(one).exists():
            name, model = default_id(one), one
        found[name] = registry.resolve(model).path
    if len(found) < len(names):
        raise SettingsError("--model: two of the models have the same name; give NAME=ID_OR_PATH")
    return found


def facts_of(
    models: Mapping[str, Path], context: int
) -> tuple[dict[str, ModelFacts], dict[str, str]]:
    """What decides how large and slow models are, and the SHA-256 of their files, by name."""
    from quorate_bench.planning import ModelFacts

    from quorate_registry import GgufFacts
    from quorate_registry.hashing import sha256_of

    registry = registry_of_models()
    facts, hashes = {}, {}
    for name, file in models.items():
        told = registry.inspect(str(file))
        memory = told.memory_estimate(context) or 0
        parameters = told.parameters if isinstance(told, GgufFacts) else 0
        facts[name] = ModelFacts(parameters, told.tensor_bytes, memory, told.context_length or 0)
        hashes[name] = sha256_of(file) if file.is_file() else ""
    return facts, hashes


def commit_of_program() -> str:
    """That this program was built from; "" where it is not known."""
    import quorate
    from quorate.app.about import commit

    return commit(Path(quorate.__file__).parent)


def quantise(source: Path, kind: str) -> Path:
    """A model of another type, made once and kept in the data folder."""
    import hashlib

    from quorate.app.quantising import quantised
    from quorate.cli.notes import note

    # Files of one name in two folders are two models.
    place = hashlib.sha256(str(source.absolute()).encode()).hexdigest()[:8]
    folder = registry_of_models().home / "bench"
    return quantised(source, kind, folder, f"{source.stem}.{kind}.{place}", note)


def registry_of_models() -> Registry:
    """The registry of this user's models."""
    from quorate.app.registry import open_registry

    return open_registry()
