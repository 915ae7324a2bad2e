"""A manifest says what a model is and where its files come from. It does no input or output."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class FileKind(StrEnum):
    """What the files of a model are."""

    GGUF = "gguf"
    """A single GGUF file."""
    CHECKPOINT = "checkpoint"
    """A folder with ``config.json`` and weights as safetensors."""


@dataclass(frozen=True)
class HubSource:
    """A file in a Hugging Face repository.

    Attributes:
        repo: ``owner/name``.
        file: path inside the repository, with forward slashes.
        revision: commit, tag or branch; a branch is resolved to a commit at the first pull.
        sha256: expected SHA-256, hexadecimal; None lets the first pull pin the hub's own.
        size_bytes: expected size; None lets the first pull pin the hub's own.
        approximate_bytes: what to tell people about the size; nothing is checked against it.
    """

    repo: str
    file: str
    revision: str = "main"
    sha256: str | None = None
    size_bytes: int | None = None
    approximate_bytes: int | None = None


@dataclass(frozen=True)
class SnapshotSource:
    """A checkpoint: several files of a Hugging Face repository, all of one commit.

    A commit fixes the content of every file, so that a full one as `revision` pins them all.

    Attributes:
        repo: ``owner/name``.
        revision: commit, tag or branch; a branch is resolved to a commit at the first pull.
        files: patterns of the files to fetch, as in a shell; empty takes what a model needs to
            run. ``config.json`` always comes along, and pickles and programs never do.
        approximate_bytes: what to tell people about the size; nothing is checked against it.
    """

    repo: str
    revision: str = "main"
    files: tuple[str, ...] = ()
    approximate_bytes: int | None = None


@dataclass(frozen=True)
class PathSource:
    """A GGUF file or a checkpoint folder that is already on this machine, by absolute path."""

    path: Path


@dataclass(frozen=True)
class PackageSource:
    """A file inside an installed Python package, which is found without importing the package.

    Attributes:
        package: top-level import name.
        file: path relative to the package.
        sha256: expected SHA-256, hexadecimal, or None.
        install: the command that installs the package, shown where it is missing.
    """

    package: str
    file: str
    sha256: str | None = None
    install: str = ""


RemoteSource = HubSource | SnapshotSource
"""What has to be fetched from the hub."""

Source = RemoteSource | PathSource | PackageSource


@dataclass(frozen=True)
class Manifest:
    """One model that users can name.

    Attributes:
        id: the name; lower-case letters, digits, ``.``, ``_`` and ``-``.
        description: one line for people.
        licence: SPDX identifier, or the name under which the licence is known.
        source: where the file or checkpoint comes from.
        engine: name of the engine that runs it; empty goes by what the model is.
        context: longest context the model was trained for, in tokens; None where unknown.
        tags: free labels, for example ``chat``.
    """

    id: str
    description: str
    licence: str
    source: Source
    engine: str = ""
    context: int | None = None
    tags: tuple[str, ...] = field(default=())
