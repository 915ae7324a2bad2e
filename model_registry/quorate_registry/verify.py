"""Check the files of a model that is on this machine: sizes, SHA-256, structure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from quorate_registry.checkpoint import CheckpointFacts, folder_files, read_checkpoint
from quorate_registry.errors import BrokenFile, ChecksumMismatch
from quorate_registry.gguf import GgufFacts, read_facts
from quorate_registry.hashing import sha256_of, sum_of_list
from quorate_registry.locate import path_of
from quorate_registry.manifest import HubSource, Manifest, PackageSource, RemoteSource
from quorate_registry.records import PullRecord, SnapshotRecord
from quorate_registry.store import Store

_SHOWN = 3
_AGAIN = "remove it and pull again"


@dataclass(frozen=True)
class VerifyResult:
    """A model that passed every check there was.

    Attributes:
        id: registry id, or the name of a file or folder outside the registry.
        path: the file, or the folder of a checkpoint.
        size_bytes: size of the file, or of all files in the folder.
        sha256: SHA-256 of the file, hexadecimal; of a checkpoint that of the list that
            ``sha256sum`` prints of its files, in the order of their paths; so too of a model that
            is split into several files.
        pinned: whether published sums were known and are equal.
        facts: what its header, or its configuration, says.
        files: number of files that were checked.
    """

    id: str
    path: Path
    size_bytes: int
    sha256: str
    pinned: bool
    facts: GgufFacts | CheckpointFacts
    files: int = 1


def verify(manifest: Manifest, store: Store) -> VerifyResult:
    """Check the file or checkpoint of a manifest.

    Raises:
        ModelNotPresent: there is nothing to check.
        BrokenFile: wrong files, size or structure.
        ChecksumMismatch: wrong content.
    """
    path = path_of(manifest, store)
    source = manifest.source
    pulled = store.pulled(manifest.id, source) if isinstance(source, RemoteSource) else None
    record = pulled[1] if pulled else None
    if path.is_dir():
        snapshot = record if isinstance(record, SnapshotRecord) else None
        return _check_folder(manifest.id, path, snapshot)
    if isinstance(record, PullRecord):
        return _check(manifest.id, path, record.size_bytes, record.sha256)
    published = source.sha256 if isinstance(source, HubSource | PackageSource) else None
    return _check(manifest.id, path, None, published)


def verify_path(name: str, path: Path) -> VerifyResult:
    """Check the structure of a file or checkpoint about which nothing was published.

    Raises:
        BrokenFile: wrong structure.
    """
    if path.is_dir():
        return _check_folder(name, path, None)
    return _check(name, path, None, None)


def _check(name: str, path: Path, pulled_bytes: int | None, published: str | None) -> VerifyResult:
    facts = read_facts(path)
    if pulled_bytes not in (None, facts.file_bytes):
        reason = f"has {facts.file_bytes} bytes, {pulled_bytes} were pulled"
        raise BrokenFile(path, f"{reason}; {_AGAIN}")
    sums = {file.name: _sha256(file) for file in facts.files}
    sha256 = sums[path.name] if len(sums) == 1 else sum_of_list(sums)
    if published not in (None, sha256):
        advice = "the file was changed or damaged; remove it and get it again"
        raise ChecksumMismatch(str(path), str(published), sha256, advice)
    return VerifyResult(
        id=name,
        path=path,
        size_bytes=facts.file_bytes,
        sha256=sha256,
        pinned=published is not None,
        facts=facts,
        files=len(sums),
    )


def _check_folder(name: str, folder: Path, record: SnapshotRecord | None) -> VerifyResult:
    paths = folder_files(folder)
    if record is not None:
        _check_names_and_sizes(folder, paths, record)
    sums = {path: _sha256(folder / path) for path in paths}
    if record is not None:
        _check_sums(folder, sums, record)
    facts = read_checkpoint(folder)
    return VerifyResult(
        id=name,
        path=folder,
        size_bytes=facts.file_bytes,
        sha256=sum_of_list(sums),
        pinned=record is not None,
        facts=facts,
        files=len(paths),
    )


def _check_names_and_sizes(folder: Path, paths: Sequence[str], record: SnapshotRecord) -> None:
    recorded = {file.path: file.size_bytes for file in record.files}
    problems = []
    if missing := sorted(recorded.keys() - set(paths)):
        problems.append(f"lacks {_named(missing)}")
    if extra := sorted(set(paths) - recorded.keys()):
        problems.append(f"holds {_named(extra)}, not pulled")
    for path in sorted(recorded.keys() & set(paths)):
        size = (folder / path).stat().st_size
        if size != recorded[path]:
            problems.append(f"has {size} bytes of {path}, {recorded[path]} were pulled")
    if problems:
        raise BrokenFile(folder, f"{_named(problems, '; ')}; {_AGAIN}")


def _check_sums(folder: Path, sums: dict[str, str], record: SnapshotRecord) -> None:
    changed = [file for file in record.files if sums[file.path] != file.sha256]
    if not changed:
        return
    first, *others = changed
    also = f", and so were {_named([file.path for file in others])}" if others else ""
    advice = f"the file was changed or damaged{also}; {_AGAIN}"
    raise ChecksumMismatch(str(folder / first.path), first.sha256, sums[first.path], advice)


def _named(names: Sequence[str], separator: str = ", ") -> str:
    more = len(names) - _SHOWN
    shown = separator.join(n if n.isprintable() else repr(n) for n in names[:_SHOWN])
    return f"{shown} and {more} more" if more > 0 else shown


def _sha256(path: Path) -> str:
    try:
        if not path.is_file():
            # Opening a pipe would wait for ever for somebody to write into it.
            raise BrokenFile(path, "is not a file")
        return sha256_of(path)
    except OSError as error:
        raise BrokenFile(path, f"cannot be read: {error.strerror or error}") from error
