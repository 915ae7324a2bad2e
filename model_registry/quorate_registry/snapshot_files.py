"""Which files of a repository make up a checkpoint, and whether they can be fetched at all."""

from __future__ import annotations

import hashlib

from quorate_registry.checkpoint_config import CONFIG_NAME
from quorate_registry.errors import DownloadFailed
from quorate_registry.manifest import SnapshotSource
from quorate_registry.remote_files import RemoteFile, RemoteFiles
from quorate_registry.repository_paths import DEFAULT_PATTERNS, clash, is_fetched, is_sound, matches

MAX_FILES = 4096

_WEIGHTS = ".safetensors"


def choose(source: SnapshotSource, listing: RemoteFiles) -> tuple[RemoteFile, ...]:
    """The files to fetch: what says how to read the weights first, then the weights.

    Raises:
        DownloadFailed: the repository holds no checkpoint, or one whose file names are a trap.
    """
    patterns = (*(source.files or DEFAULT_PATTERNS), CONFIG_NAME)
    wanted = [f for f in listing.files if is_fetched(f.path) and matches(f.path, patterns)]
    paths = [file.path for file in wanted]
    for path in paths:
        if not is_sound(path):
            reason = f"the hub lists a file {path!r}, which could land anywhere"
            raise _refused(source, f"{reason}; nothing was downloaded")
    if (twice := clash(paths)) is not None:
        reason = f"the hub lists {twice!r} beside a file of nearly the same name"
        raise _refused(source, f"{reason}; nothing was downloaded")
    if len(paths) > MAX_FILES:
        reason = f"{len(paths)} files match its patterns, more than {MAX_FILES}"
        raise _refused(source, f"{reason}; name fewer with files = [...]")
    if CONFIG_NAME not in paths:
        raise _refused(source, "has no config.json, so it is no checkpoint; check the manifest")
    if not any(is_weights(path) for path in paths):
        raise _refused(source, _why_no_weights(listing))
    return tuple(sorted(wanted, key=lambda file: (is_weights(file.path), file.path)))


def is_weights(path: str) -> bool:
    """Whether a file holds weights."""
    return path.lower().endswith(_WEIGHTS)


def digest(commit: str, files: tuple[RemoteFile, ...]) -> str:
    """A name for these files of a commit, hexadecimal: another choice has another name."""
    paths = "\n".join(file.path for file in files)
    return hashlib.sha256(f"{commit}\n{paths}".encode()).hexdigest()


def _why_no_weights(listing: RemoteFiles) -> str:
    if any(is_weights(file.path) for file in listing.files):
        return "none of its safetensors match the file patterns; name them with files = [...]"
    reason = "has no weights as safetensors"
    if any(file.path.lower().endswith((".bin", ".pt", ".pth")) for file in listing.files):
        return f"{reason}, only pickles, which can run code and are never fetched"
    return f"{reason}; a GGUF file is pulled with kind = 'hub' and file = '...'"


def _refused(source: SnapshotSource, reason: str) -> DownloadFailed:
    return DownloadFailed(source.repo, "", reason)
