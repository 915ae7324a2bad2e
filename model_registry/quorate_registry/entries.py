"""What the registry answers with: known models, and names turned into files."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from quorate_registry.manifest import FileKind, Manifest


class ModelState(StrEnum):
    """Whether the files of a model are on this machine, and whence."""

    PULLED = "pulled"
    """Downloaded by the registry."""
    AVAILABLE = "available"
    """Can be pulled from the hub."""
    INSTALLED = "installed"
    """Part of an installed Python package, or at the path its manifest names."""
    MISSING = "missing"
    """Its package is not installed, or its path is empty."""


@dataclass(frozen=True)
class Entry:
    """A known model and its state on this machine.

    Attributes:
        manifest: what is known about it.
        state: see `ModelState`.
        path: its file or checkpoint folder; None where it is not on this machine.
        size_bytes: size of that file, or of all files in that folder; None where nobody has
            published it.
        kind: what its files are.
    """

    manifest: Manifest
    state: ModelState
    path: Path | None
    size_bytes: int | None
    kind: FileKind


@dataclass(frozen=True)
class ResolvedModel:
    """A name turned into a file or folder.

    Attributes:
        id: registry id, or the lower-case stem of a path.
        path: a GGUF file or a checkpoint folder that exists.
        manifest: None for a path.
        kind: what the path is.
    """

    id: str
    path: Path
    manifest: Manifest | None
    kind: FileKind
