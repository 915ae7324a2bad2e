from __future__ import annotations

import json
from pathlib import Path

import pytest

from quorate.calibration.report import report_of
from quorate.cli.views.calibrate import json_lines, print_report
from support.calibrations import answer, cases_of, cheap_and_dear, outcome, plan
from support.terminal import Capture


def test_json_lines_can_all_be_written_as_json() -> None:
    _, report = cheap_and_dear()
    lines = [json.loads(line) for line in json_lines(report, Path("c.json"), Path("a.jsonl"))]
    assert [line["event"] for line in lines] == [
        *("accuracy", "cost", "confidence") * 2,
        "pair",
        "cascade",
        "written",
    ]
    assert lines[1]["joules"] == 1.0
    pair = lines[6]
    assert (pair["first"], pair["second"], pair["best"], pair["either"]) == ("large", "small", 1, 1)
    assert lines[-1] == {"event": "written", "path": "c.json", "answers": "a.jsonl"}


def test_a_terminal_gets_tables_and_no_control_characters_of_a_name(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = cases_of(3)
    report = report_of([outcome(plan("bad\x1b[2Jname"), cases, [answer(True)] * 3)], cases)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    print_report(report, Path("c.json"), Path("a.jsonl"), as_json=False)
    out = capsys.readouterr().out
    assert "bad\\x1b[2Jname" in out
    assert "\x1b[2J" not in out
    assert "43.9 - 100.0 %" in out
