"""What a run keeps: whole lines, whatever ends it."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest
from quorate_bench.records import SCHEMA, RecordFile, is_a_run, read_records

from quorate.errors import CannotRun, SettingsError

RUN = {"kind": "run", "schema": SCHEMA, "machine": {}, "models": {}, "sweep": {}, "versions": {},
       "commit": ""}  # fmt: skip
CASE = {"plan": "p", "cores": 1, "context_length": 0, "quantisation": "", "concurrency": 1,
        "prompt_tokens": 1, "answer_tokens": 2}  # fmt: skip
MEASURED = {"kind": "measurement", **CASE, "repetition": 0, "first_ms": [1.0], "gaps_ms": [1],
            "tokens": 2, "tokens_per_second": 1.0, "waited_share": 0, "tier": "estimated",
            "drafted": 0, "accepted": 0}  # fmt: skip
SERVER = {"kind": "server", "quantisation": "", "load_seconds": {}, "file_bytes": {}}


def test_records_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "records.jsonl"
    with RecordFile(path) as file:
        for record in (RUN, SERVER, {**MEASURED, "n": 1}, {"kind": "end"}):
            file.write(record)
    found = read_records(path)
    assert (found.run, found.servers) == (RUN, [SERVER])
    assert found.measurements == [{**MEASURED, "n": 1}]
    assert found.ended


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_line_that_was_cut_off_is_passed_over_and_written_over(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "records.jsonl"
    line = json.dumps({**MEASURED, "n": 1})
    path.write_text(json.dumps(RUN) + "\n" + line[: min(cut, len(line) - 1)])
    assert read_records(path).measurements == []
    with RecordFile(path) as file:
        file.write({**MEASURED, "n": 2})
    assert [one["n"] for one in read_records(path).measurements] == [2]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "holds no records"),
        (b"\n\n", "holds no records"),
        (b"{}\n", "line 1: no record of a run"),
        (b"nonsense\n{}\n", "line 1: no JSON"),
        (b"[1]\n", "line 1: no JSON object"),
        (b'{"kind": "run", "schema": 99}\n', "is of schema 99, and this version reads 1"),
        (b'{"kind": "run", "schema": 1}\n', "line 1: machine is None; see docs/bench.md"),
        (json.dumps(RUN).encode() + b'\n{"kind": "secret"}\n', "line 2: no record of a kind"),
        (
            f"{json.dumps(RUN)}\n{json.dumps({**MEASURED, 'gaps_ms': []})}\n".encode(),
            r"line 2: gaps_ms is \[\]",
        ),
    ],
)
def test_what_is_no_file_of_records_is_told_so(
    tmp_path: Path, content: bytes, complaint: str
) -> None:
    path = tmp_path / "records.jsonl"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=complaint):
        read_records(path)


def test_a_record_without_room_leaves_those_before_it_and_a_place_to_go_on_from(
    tmp_path: Path,
) -> None:
    path = tmp_path / "records.jsonl"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with RecordFile(path) as file:
        file.write(RUN)
        file.write({**MEASURED, "n": 1})
        # The next line finds room for its first bytes only, as on a disk that is full.
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, hard))
        try:
            with pytest.raises(CannotRun, match=r"records\.jsonl: cannot be written: .*are kept"):
                file.write({**MEASURED, "n": 2})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert file.failed
    assert [one["n"] for one in read_records(path).measurements] == [1]
    with RecordFile(path) as file:
        file.write({**MEASURED, "n": 3})
    assert [one["n"] for one in read_records(path).measurements] == [1, 3]


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"", True), (b'{"kind": "ru', True), (json.dumps(RUN).encode() + b"\n", True),
     (b"a letter", False), (b"{}\n", False)],
)  # fmt: skip
def test_only_records_are_begun_anew(tmp_path: Path, content: bytes, told: bool) -> None:
    path = tmp_path / "records.jsonl"
    path.write_bytes(content)
    assert is_a_run(path) is told
