"""How far a build is, told of what pip, ninja and make print."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from contextlib import suppress
from pathlib import Path

from support.repository import ROOT

BUILDING = ROOT / "scripts" / "building"


def building(log: Path, output: str, stderr: int = subprocess.PIPE) -> str:
    ran = subprocess.run(
        [BUILDING, "setup: llama.cpp", log], input=output, stderr=stderr, text=True, check=True
    )
    return re.sub(r"\(\d+ s\)", "(0 s)", ran.stderr or "")


def test_a_pipe_is_told_ten_times_whatever_the_number_of_steps(tmp_path):
    steps = "".join(f"  [{step}/200] /usr/bin/c++ -c {step}.cpp\n" for step in range(1, 201))
    told = building(tmp_path / "log", f"Collecting llama_cpp_python\n{steps}Successfully built\n")
    lines = told.splitlines()
    assert lines[0] == "setup: llama.cpp: compiled 1 of 200 (0 s)"
    assert lines[1] == "setup: llama.cpp: compiled 20 of 200 (0 s)"
    assert lines[-1] == "setup: llama.cpp: compiled 200 of 200 (0 s)"
    assert len(lines) == 11


def test_percents_of_make_are_told_as_well(tmp_path):
    told = building(tmp_path / "log", "[  8%] Building C\n[ 55%] Building C\n[100%] Built\n")
    assert [line.split(" compiled ")[1] for line in told.splitlines()] == [
        "8 % (0 s)",
        "55 % (0 s)",
        "100 % (0 s)",
    ]


def test_everything_is_kept_and_what_counts_no_steps_is_not_told(tmp_path):
    output = "Using cached wheel\n[notice] a new release\n[0/0] nothing\nthe end, without a newline"
    assert building(tmp_path / "log", output) == ""
    assert (tmp_path / "log").read_text() == output + "\n"


def test_a_terminal_sees_every_step_in_one_line(tmp_path):
    ours, theirs = pty.openpty()
    building(tmp_path / "log", "[1/3] a\n[2/3] b\n[3/3] c\n", theirs)
    os.close(theirs)
    shown = ""
    # A terminal that nobody writes to any more ends with an error.
    with open(ours, encoding="utf-8", newline="") as terminal, suppress(OSError):
        while read := terminal.read(1):
            shown += read
    assert shown.count("\r") == 4
    assert shown.count("\n") == 1
    for step in ("1 of 3", "2 of 3", "3 of 3"):
        assert f"compiled {step}" in shown
