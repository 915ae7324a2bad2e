"""Check a model file that is on this machine: size, SHA-256, GGUF structure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from quorate_registry.errors import BrokenFile, ChecksumMismatch
from quorate_registry.gguf import GgufFacts, read_facts
from quorate_registry.locate import path_of
from quorate_registry.manifest import HubSource, Manifest, PathSource
from quorate_registry.store import Store


@dataclass(frozen=True)
class VerifyResult:
    """A file that passed every check there was.

    Attributes:
        id: registry id, or the name of a file outside the registry.
        path: the file.
        size_bytes: its size.
        sha256: its SHA-256, hexadecimal.
        pinned: whether a published SHA-256 was known and is equal.
        facts: what its header says.
    """

    id: str
    path: Path
    size_bytes: int
    sha256: str
    pinned: bool
    facts: GgufFacts


@dataclass(frozen=True)
class _Expected:
    size_bytes: int | None
    sha256: str | None


def verify(manifest: Manifest, store: Store) -> VerifyResult:
    """Check the file of a manifest.

    Raises:
        ModelNotPresent: there is no file to check.
        BrokenFile: wrong size or structure.
        ChecksumMismatch: wrong content.
    """
    return _check(manifest.id, path_of(manifest, store), _expected(manifest, store))


def verify_file(name: str, path: Path) -> VerifyResult:
    """Check the structure of a file about which nothing was published.

    Raises:
        BrokenFile: wrong structure.
    """
    return _check(name, path, _Expected(None, None))


def _expected(manifest: Manifest, store: Store) -> _Expected:
    source = manifest.source
    if isinstance(source, PathSource):
        return _Expected(None, None)
    pulled = store.pulled(manifest.id, source) if isinstance(source, HubSource) else None
    if pulled is not None:
        return _Expected(pulled[1].size_bytes, pulled[1].sha256)
    return _Expected(None, source.sha256)


def _check(name: str, path: Path, expected: _Expected) -> VerifyResult:
    facts = read_facts(path)
    if expected.size_bytes not in (None, facts.file_bytes):
        reason = f"has {facts.file_bytes} bytes, {expected.size_bytes} were pulled; remove it and"
        raise BrokenFile(path, f"{reason} pull again")
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BrokenFile(path, f"cannot be read: {error.strerror or error}") from error
    if expected.sha256 not in (None, sha256):
        advice = "the file was changed or damaged; remove it and get it again"
        raise ChecksumMismatch(str(path), str(expected.sha256), sha256, advice)
    return VerifyResult(
        id=name,
        path=path,
        size_bytes=facts.file_bytes,
        sha256=sha256,
        pinned=expected.sha256 is not None,
        facts=facts,
    )
