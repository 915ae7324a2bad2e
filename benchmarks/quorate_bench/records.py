"""Records of a run: one JSON object on each line, in a file that is appended to and kept.

``docs/bench.md`` documents the schema; ``SCHEMA`` counts its versions. A run that was interrupted
has every line but perhaps the last one whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType, TracebackType
from typing import Any, Self

from quorate.errors import CannotRun, SettingsError
from quorate.files import read_file
from quorate.foreign_text import one_line

SCHEMA = 1
_NUMBER = (int, float)
_CASE = {
    "plan": str, "cores": int, "context_length": int, "quantisation": str, "concurrency": int,
    "prompt_tokens": int, "answer_tokens": int,
}  # fmt: skip
_FIELDS: dict[str, dict[str, Any]] = {
    "run": {"machine": dict, "models": dict, "sweep": dict, "versions": dict, "commit": str},
    "server": {"quantisation": str, "load_seconds": dict, "file_bytes": dict},
    "measurement": {
        **_CASE, "repetition": int, "first_ms": list, "gaps_ms": list, "tokens": int,
        "tokens_per_second": _NUMBER, "waited_share": (*_NUMBER, NoneType), "tier": str,
        "drafted": int, "accepted": int,
    },
    "quality": {"plan": str, "quantisation": str},
    "left_out": {**_CASE, "reason": str},
    "end": {},
}  # fmt: skip
_KINDS = tuple(_FIELDS)
_BEGIN = b'{"kind": "run"'


@dataclass(slots=True)
class Records:
    """What a file of records says.

    Attributes:
        run: The machine, the versions, the models and the sweep.
        servers: What it took to load the models of each setting.
        measurements: One for each case and repetition.
        qualities: One for each plan and quantisation.
        left_out: Cases that were not measured, and why.
        ended: Whether the run came to its end.
    """

    run: dict[str, Any]
    servers: list[dict[str, Any]] = field(default_factory=list)
    measurements: list[dict[str, Any]] = field(default_factory=list)
    qualities: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[dict[str, Any]] = field(default_factory=list)
    ended: bool = False

    def add(self, record: dict[str, Any]) -> None:
        """Takes up a record of another kind than ``run``."""
        match record["kind"]:
            case "server":
                self.servers.append(record)
            case "measurement":
                self.measurements.append(record)
            case "quality":
                self.qualities.append(record)
            case "left_out":
                self.left_out.append(record)
            case "end":
                self.ended = True


def read_records(path: Path) -> Records:
    """Reads a file of records; a last line that was cut off is passed over.

    Raises:
        SettingsError: It cannot be read, is no such file, or of a later schema.
    """
    found: Records | None = None
    for number, record in json_lines(path, "give a file that quorate bench wrote"):
        kind = record.get("kind")
        if found is None:
            if kind != "run":
                raise SettingsError(f"{path}: line {number}: no record of a run; see docs/bench.md")
            if record.get("schema") != SCHEMA:
                schema = one_line(str(record.get("schema")))
                raise SettingsError(
                    f"{path}: is of schema {schema}, and this version reads {SCHEMA}"
                )
            found = Records(_checked(record, path, number))
        elif kind in _KINDS[1:]:
            found.add(_checked(record, path, number))
        else:
            raise SettingsError(f"{path}: line {number}: no record of a kind that is known")
    if found is None:
        raise SettingsError(f"{path}: holds no records")
    return found


def is_a_run(path: Path) -> bool:
    """Whether a file is empty, or begins as records do."""
    with open(path, "rb") as file:
        begin = file.read(len(_BEGIN))
    return _BEGIN.startswith(begin) if len(begin) < len(_BEGIN) else begin == _BEGIN


def _checked(record: dict[str, Any], path: Path, number: int) -> dict[str, Any]:
    """A record that has what its kind has; what else it has is passed over.

    Raises:
        SettingsError: It has not.
    """
    for name, kind in _FIELDS[record["kind"]].items():
        value = record.get(name)
        if not isinstance(value, kind) or (kind is list and not value):
            told = one_line(repr(value))
            raise SettingsError(f"{path}: line {number}: {name} is {told}; see docs/bench.md")
    return record


class RecordFile:
    """A file that records are appended to, each of them safe before the next is measured.

    Args:
        path: Where it is.
        head: The record that an empty file begins with; None writes none.

    Attributes:
        failed: Whether something could not be written.

    Raises:
        CannotRun: As a context, where the file cannot be opened or made.
    """

    def __init__(self, path: Path, head: dict[str, Any] | None = None) -> None:
        self._path = path
        self._head = head
        self.failed = False

    def __enter__(self) -> Self:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self._path, "ab", buffering=0)
            self._cut_torn_line()
            empty = not self._path.stat().st_size
        except OSError as error:
            raise self._unusable(error) from error
        if self._head is not None and empty:
            self.write(self._head)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def write(self, record: dict[str, Any]) -> None:
        """Appends a record.

        Raises:
            CannotRun: It cannot be written; those before it are kept.
        """
        line = memoryview(json.dumps(record, allow_nan=False).encode() + b"\n")
        try:
            while line:
                line = line[self._file.write(line) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> CannotRun:
        self.failed = True
        told = (
            f"cannot be written: {error.strerror}; the records that it has are kept, and the same"
        )
        return CannotRun(str(self._path), f"{told} command goes on once there is room")

    def _cut_torn_line(self) -> None:
        """What a run that was killed had begun to write."""
        content = self._path.read_bytes()
        if content and not content.endswith(b"\n"):
            self._file.truncate(content.rfind(b"\n") + 1)


def json_lines(path: Path, advice: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Objects of a file with their lines, from 1 on; a last one that was cut off is passed over.

    Args:
        path: The file.
        advice: What to do where it cannot be read.

    Raises:
        SettingsError: It cannot be read, or a line is something else.
    """
    lines: Sequence[bytes] = read_file(path, advice).split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError:
            if number == len(lines):
                return
            raise SettingsError(f"{path}: line {number}: no JSON") from None
        if not isinstance(record, dict):
            raise SettingsError(f"{path}: line {number}: no JSON object")
        yield number, record
