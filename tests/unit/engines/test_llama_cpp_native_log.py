"""What becomes of the lines of llama.cpp's log."""

from __future__ import annotations

import pytest

from quorate.engines.llama_cpp.native_log import NativeLog
from quorate.engines.worker_log import warning_in

INFO, WARNING, ERROR, CONTINUED = 2, 3, 4, 5


def told(log: NativeLog, *lines: tuple[int, str]) -> None:
    for level, text in lines:
        log._receive(level, text.encode(), None)


def test_the_warnings_of_a_load_come_once_each_without_frames_and_functions() -> None:
    log = NativeLog()
    told(log, (WARNING, "load: before the load\n"))
    log.begin_load()
    told(
        log,
        (INFO, "load: as usual\n"),
        (WARNING, "load: \n"),
        (WARNING, "load: ************\n"),
        (WARNING, "load: special_eos_id is not in special_eog_ids\n"),
        (WARNING, "load: named \x1b[2J\n"),
        (WARNING, "load: special_eos_id is not in special_eog_ids\n"),
        (WARNING, "failed to mlock "),
        (CONTINUED, "1024 bytes\nTry more\n"),
        (ERROR, "load: no warning\n"),
    )
    assert log.end_load() == (
        "llama.cpp warns: special_eos_id is not in special_eog_ids",
        "llama.cpp warns: named \N{MIDDLE DOT}[2J",
        "llama.cpp warns: failed to mlock 1024 bytes",
        "llama.cpp warns: Try more",
    )


def test_what_options_bring_about_is_no_warning() -> None:
    log = NativeLog()
    log.begin_load()
    line = "ctx: n_ctx_seq (1) < n_ctx_train (2) -- the full capacity of the model will not be "
    told(log, (WARNING, line + "utilized\n"))
    assert log.end_load() == ()


def test_more_warnings_than_anybody_reads_are_counted() -> None:
    log = NativeLog()
    log.begin_load()
    told(log, *((WARNING, f"load: number {number}\n") for number in range(20)))
    *shown, last = log.end_load()
    assert len(shown) == 8
    assert last == "llama.cpp has 12 further warnings"


def test_later_warnings_go_to_the_coordinators_log_once_and_not_without_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = NativeLog()
    log.begin_load()
    told(log, (WARNING, "load: known\n"))
    log.end_load()
    told(log, (WARNING, "load: known\n"), (WARNING, "decode: new\n"), (WARNING, "decode: new\n"))
    told(log, *((WARNING, f"decode: number {number}\n") for number in range(1000)))
    lines = capsys.readouterr().err.splitlines()
    assert warning_in(lines[0]) == "llama.cpp warns: new"
    assert len(lines) == 63


def test_a_line_without_end_is_not_collected_for_ever() -> None:
    log = NativeLog()
    log.begin_load()
    told(log, (WARNING, "x"), *((CONTINUED, "y" * 1000) for _ in range(100)), (CONTINUED, "\n"))
    (warning,) = log.end_load()
    assert len(warning) < 400
