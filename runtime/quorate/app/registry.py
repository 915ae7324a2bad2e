"""The registry of models and that of engines, put together: neither knows the other."""

from __future__ import annotations

from pathlib import Path

from quorate.engines.registry import default_engine, engines, find_engine
from quorate.errors import CannotRun, QuorateError
from quorate_registry import Entry, FileKind, Registry


def open_registry(home: Path | None = None) -> Registry:
    """The registry of models in this folder, or the user's; manifests may name known engines."""
    kinds = {name: FileKind(one.files) for name, one in engines().items() if one.files}
    return Registry(home, engines=kinds)


def engine_of(entry: Entry) -> str:
    """Engine that runs a model of the registry: its manifest's, else the one for its files."""
    return entry.manifest.engine or default_engine(entry.kind)


def obstacle(registry: Registry, name_or_path: str) -> str:
    """Why the engine that a model is for can never run it, by its headers; "" where nothing is.

    Raises:
        RegistryError: It is not on this machine, or nothing of this name is known.
    """
    resolved = registry.resolve(name_or_path)
    chosen = resolved.manifest.engine if resolved.manifest else ""
    try:
        find_engine(chosen or default_engine(resolved.kind)).check(str(resolved.path), {})
    except QuorateError as error:
        return error.problem if isinstance(error, CannotRun) else error.message
    return ""
