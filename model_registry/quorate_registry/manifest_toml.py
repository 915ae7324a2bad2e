"""Read a manifest from TOML. Unknown keys and wrong types are refused by name."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from quorate_registry.errors import ManifestError
from quorate_registry.hashing import SHA256
from quorate_registry.manifest import (
    FileKind,
    HubSource,
    Manifest,
    PackageSource,
    PathSource,
    SnapshotSource,
    Source,
)
from quorate_registry.repository_paths import FETCHED_SUFFIXES, can_match, is_sound

ID_PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]*")
_REPO_PATTERN = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_REVISION_PATTERN = re.compile(r"[A-Za-z0-9][\w./-]*", re.ASCII)
_TYPE_NAMES = {str: "a string", int: "a whole number", list: "a list of strings", dict: "a table"}


def load_manifest(path: Path, engines: Mapping[str, FileKind] | None = None) -> Manifest:
    """Read one manifest file; `engines` are as for `parse_manifest`.

    Raises:
        ManifestError: the file cannot be read, is not TOML, or breaks a rule; names the key.
    """
    try:
        if path.exists() and not path.is_file():
            # Opening a pipe would wait for ever for somebody to write into it.
            raise ManifestError(path, "", "is not a file")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise ManifestError(path, "", str(reason)) from error
    return parse_manifest(text, path, engines)


def parse_manifest(
    text: str, origin: Path, engines: Mapping[str, FileKind] | None = None
) -> Manifest:
    """Turn TOML text into a manifest.

    Args:
        text: the TOML document.
        origin: the file it came from; relative paths count from its folder.
        engines: what it may name as its engine, and the kind of files that each runs; None lets it
            name anything.

    Raises:
        ManifestError: see `load_manifest`.
    """
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ManifestError(origin, "", f"is not TOML: {error}") from error
    table = _Table(document, origin, "")
    table.refuse_unknown(("id", "description", "licence", "engine", "context", "tags", "source"))
    source = _source(_Table(table.required("source", dict), origin, "source."))
    return Manifest(
        id=table.matching("id", ID_PATTERN, "lower-case letters, digits and '._-'"),
        description=table.required("description", str),
        licence=table.required("licence", str),
        source=source,
        engine=_engine(table, source, engines) if "engine" in document else "",
        context=table.positive("context"),
        tags=table.strings("tags"),
    )


def _engine(table: _Table, source: Source, engines: Mapping[str, FileKind] | None) -> str:
    if engines is None:
        return str(table.required("engine", str))
    engine = table.one_of("engine", tuple(engines), "")
    if engines[engine] is FileKind.GGUF and isinstance(source, SnapshotSource):
        fitting = " or ".join(repr(n) for n, kind in engines.items() if kind is not FileKind.GGUF)
        reason = f"{engine!r} runs single GGUF files; a snapshot needs {fitting}"
        raise table.error("engine", f"{reason}, or kind = 'hub' and one file")
    return engine


class _Table:
    """One TOML table with the place it came from, so that every complaint can name its key."""

    def __init__(self, values: Mapping[str, Any], origin: Path, prefix: str) -> None:
        self._values = values
        self._origin = origin
        self._prefix = prefix

    @property
    def folder(self) -> Path:
        return self._origin.parent

    def error(self, key: str, reason: str) -> ManifestError:
        return ManifestError(self._origin, self._prefix + key, reason)

    def refuse_unknown(self, known: Iterable[str]) -> None:
        names = list(known)
        for key in self._values:
            if key not in names:
                # Comparing takes time with the product of both lengths.
                close = difflib.get_close_matches(key[:64], names, n=1, cutoff=0.0)
                raise self.error(key, f"is not known; the nearest known key is '{close[0]}'")

    def optional(self, key: str, kind: type[Any], default: Any) -> Any:
        value = self._values.get(key, default)
        if value is default:
            return default
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.error(key, f"must be {_TYPE_NAMES[kind]}, not {value!r}")
        if kind is str and not value.isprintable():
            raise self.error(key, "must be one line of printable text")
        return value

    def required(self, key: str, kind: type[Any]) -> Any:
        if key not in self._values:
            raise self.error(key, "is missing")
        value = self.optional(key, kind, None)
        if value == "":
            raise self.error(key, "must not be empty")
        return value

    def matching(self, key: str, pattern: re.Pattern[str], rule: str) -> str:
        value: str = self.required(key, str)
        if not pattern.fullmatch(value):
            raise self.error(key, f"must be {rule}, not {value!r}")
        return value

    def one_of(self, key: str, choices: tuple[str, ...], default: str) -> str:
        value: str = self.optional(key, str, default)
        if value not in choices:
            raise self.error(key, f"must be one of {', '.join(choices)}, not {value!r}")
        return value

    def positive(self, key: str) -> int | None:
        value: int | None = self.optional(key, int, None)
        if value is not None and value < 1:
            raise self.error(key, f"must be at least 1, not {value}")
        return value

    def strings(self, key: str) -> tuple[str, ...]:
        values = self.optional(key, list, ())
        if not all(isinstance(value, str) and value.isprintable() for value in values):
            raise self.error(key, f"must be a list of strings, not {values!r}")
        return tuple(values)

    def sha256(self, key: str) -> str | None:
        if key not in self._values:
            return None
        return self.matching(key, SHA256, "64 lower-case hexadecimal digits")

    def relative_file(self, key: str) -> str:
        value: str = self.required(key, str)
        parts = PurePosixPath(value)
        if parts.is_absolute() or ".." in parts.parts or "\\" in value:
            raise self.error(key, f"must be a path inside its source, not {value!r}")
        if not parts.name or parts.name.startswith("."):
            raise self.error(key, f"must name a file that is not hidden, not {value!r}")
        return value


def _source(table: _Table) -> Source:
    kind = table.one_of("kind", tuple(_SOURCES), "(missing)")
    return _SOURCES[kind](table)


def _hub_source(table: _Table) -> HubSource:
    table.refuse_unknown(
        ("kind", "repo", "file", "revision", "sha256", "size_bytes", "approximate_bytes")
    )
    return HubSource(
        repo=table.matching("repo", _REPO_PATTERN, "owner/name"),
        file=table.relative_file("file"),
        revision=_revision(table),
        sha256=table.sha256("sha256"),
        size_bytes=table.positive("size_bytes"),
        approximate_bytes=table.positive("approximate_bytes"),
    )


def _snapshot_source(table: _Table) -> SnapshotSource:
    table.refuse_unknown(("kind", "repo", "revision", "files", "approximate_bytes"))
    patterns = table.strings("files")
    for pattern in patterns:
        if not is_sound(pattern):
            raise table.error("files", f"must name files inside the repository, not {pattern!r}")
        if not can_match(pattern):
            kinds = ", ".join(FETCHED_SUFFIXES)
            raise table.error("files", f"{pattern!r} is never fetched; only {kinds} are")
    return SnapshotSource(
        repo=table.matching("repo", _REPO_PATTERN, "owner/name"),
        revision=_revision(table),
        files=patterns,
        approximate_bytes=table.positive("approximate_bytes"),
    )


def _revision(table: _Table) -> str:
    revision: str = table.optional("revision", str, "main")
    if not _REVISION_PATTERN.fullmatch(revision):
        raise table.error("revision", f"must be a commit, tag or branch, not {revision!r}")
    return revision


def _path_source(table: _Table) -> PathSource:
    table.refuse_unknown(("kind", "path"))
    given = table.required("path", str)
    try:
        expanded = Path(given).expanduser()
    except RuntimeError as error:
        raise table.error("path", f"has no home folder to expand in {given!r}") from error
    return PathSource(path=(table.folder / expanded).absolute())


def _package_source(table: _Table) -> PackageSource:
    table.refuse_unknown(("kind", "package", "file", "sha256", "install"))
    package: str = table.required("package", str)
    if not package.isidentifier():
        raise table.error("package", f"must be a top-level import name, not {package!r}")
    return PackageSource(
        package=package,
        file=table.relative_file("file"),
        sha256=table.sha256("sha256"),
        install=table.optional("install", str, ""),
    )


_SOURCES: dict[str, Callable[[_Table], Source]] = {
    "hub": _hub_source,
    "snapshot": _snapshot_source,
    "path": _path_source,
    "package": _package_source,
}
