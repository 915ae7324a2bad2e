"""The error tree of the registry. Each message is one line: what, where, what to do.

::

    RegistryError
    ├── ManifestError       a manifest file that cannot be used
    ├── UnknownModel        no manifest has this id
    ├── ModelNotPresent     the manifest is known, its file is not on this machine
    ├── NotRemovable        the file belongs to somebody else
    ├── BrokenFile          not a model file or checkpoint, or a damaged one
    ├── ChecksumMismatch    the bytes are not the published ones
    ├── NoHome              nothing says where the registry's own folder is
    ├── StoreUnusable       the registry's own folder cannot be written
    ├── NotEnoughSpace      the disk is, or would be, too full
    └── DownloadFailed      the hub did not give the file
        ├── Interrupted     for a reason that may pass: pulling again may help
        └── Offline         the network was needed and is switched off
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from quorate_registry.sizes import human_size


class RegistryError(Exception):
    """Base of every error the registry raises on purpose."""


class NoHome(RegistryError):
    """Nothing says where models and ledger are to be kept, or what does cannot be meant."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"{problem}; set QUORATE_HOME to a folder for models and ledger")


class ManifestError(RegistryError):
    """A manifest that cannot be used.

    Attributes:
        path: the manifest file.
        key: dotted name of the offending key, empty where the whole file is meant.
        reason: what is wrong and what would be right.
    """

    def __init__(self, path: Path, key: str, reason: str) -> None:
        self.path = path
        self.key = key
        self.reason = reason
        where = f"key '{key}'" if key else "file"
        super().__init__(f"manifest {path}: {where}: {reason}")


class UnknownModel(RegistryError):
    """No manifest has this id.

    Attributes:
        nearest: known ids that look like it, best first.
    """

    def __init__(self, name: str, nearest: Sequence[str], hint: str = "") -> None:
        self.nearest = tuple(nearest)
        if self.nearest:
            advice = f"did you mean {', '.join(self.nearest)}?"
        else:
            advice = "see: quorate models list"
        super().__init__(f"unknown model '{name}': {hint or advice}")


class ModelNotPresent(RegistryError):
    """The file of a model, named by registry id or path, is not on this machine."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"model '{name}' {reason}")


class NotRemovable(RegistryError):
    """The file of a model was not put there by the registry, so it is not deleted either."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"model '{name}' cannot be removed: {reason}")


class BrokenFile(RegistryError):
    """A file or checkpoint folder that is no model, or is damaged.

    Attributes:
        path: the file or folder.
        reason: what is wrong with it.
    """

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: {reason}")


class ChecksumMismatch(RegistryError):
    """The bytes are not the published ones.

    Args:
        what: the file, or the address it was offered at.
        expected: the published sum, hexadecimal.
        actual: that of the bytes that are there, hexadecimal.
        advice: what to do.
        sum_name: what kind of sum it is.
    """

    def __init__(
        self, what: str, expected: str, actual: str, advice: str, *, sum_name: str = "SHA-256"
    ) -> None:
        super().__init__(f"{what}: {sum_name} is {actual}, expected {expected}: {advice}")


class StoreUnusable(RegistryError):
    """The folder in which the registry keeps models, or a file in it, cannot be used."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"cannot keep models in {path}: {reason}; set QUORATE_HOME to a writable folder"
        )


class NotEnoughSpace(RegistryError):
    """The disk is too full for a download.

    Attributes:
        needed_bytes: what the rest of the download needs, margin included.
        free_bytes: what the disk has.
    """

    def __init__(self, directory: Path, needed_bytes: int, free_bytes: int) -> None:
        self.needed_bytes = needed_bytes
        self.free_bytes = free_bytes
        super().__init__(
            f"not enough disk space in {directory}: {human_size(needed_bytes)} needed, "
            f"{human_size(free_bytes)} free; free some, or set QUORATE_HOME to another disk, "
            "and pull again"
        )


class DownloadFailed(RegistryError):
    """The hub did not give a file of a repository, or the whole of it where the file is ""."""

    def __init__(self, repo: str, file: str, reason: str) -> None:
        what = f"{repo}/{file}" if file else repo
        super().__init__(f"cannot download {what}: {reason}")


class Interrupted(DownloadFailed):
    """The hub or the network failed in a way that may pass."""


class Offline(DownloadFailed):
    """The network was needed and is switched off."""
