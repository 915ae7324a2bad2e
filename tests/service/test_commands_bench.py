"""``quorate bench`` as a user runs it: real servers, real small models."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from quorate_bench.processes import process_tree
from quorate_bench.records import Records, read_records

from support.command_line import (
    COMMAND,
    DEADLINE_SECONDS,
    Ask,
    complaint,
    environment,
    quorate,
)
from support.gguf_files import stories260k

SWEEP = """
[models]
one = "{path}"
two = "{path}"

[[plans]]
name = "one"
model = "one"

[[plans]]
name = "vote"
models = ["one", "two"]

[[plans]]
name = "cascade"
stages = [["one", 0.1], "two"]

[axes]
concurrency = [1, 2]
prompt_tokens = [16]
answer_tokens = [12]
context_length = [256]

[measure]
repetitions = {repetitions}
minutes = 3
"""


def written(home: Path, repetitions: int) -> Path:
    sweep = home / "sweep.toml"
    sweep.write_text(SWEEP.format(path=stories260k(), repetitions=repetitions))
    return sweep


def kinds(records: Records) -> set[tuple[str, int, int]]:
    return {(one["plan"], one["concurrency"], one["repetition"]) for one in records.measurements}


def wait_for(met: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not met():
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None
        time.sleep(0.02)


def measured(records: Path) -> int:
    return records.read_bytes().count(b'"gaps_ms"') if records.exists() else 0


@pytest.mark.timeout(240)
def test_a_run_that_is_killed_goes_on_and_its_report_and_comparison_can_be_made(
    here: Ask, tmp_path: Path
) -> None:
    written(tmp_path, repetitions=3)
    records = tmp_path / "quorate-bench-sweep.jsonl"
    command = [*COMMAND, "bench", "sweep.toml"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(tmp_path), stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for(lambda: measured(records) >= 4, process)
        begun = process_tree(process.pid)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    wait_for(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() for pid in begun))
    before = kinds(read_records(records))
    assert 4 <= len(before) < 18

    again = quorate(tmp_path, "bench", "sweep.toml", "--json", timeout=180)
    assert again.returncode == 0, again.stderr
    assert "going on with quorate-bench-sweep.jsonl" in again.stderr
    found = read_records(records)
    plans = ("one", "vote", "cascade")
    assert kinds(found) == {(p, n, k) for p in plans for n in (1, 2) for k in range(3)}
    # Nothing was measured twice.
    assert len(found.measurements) == 18
    assert found.ended
    assert {one["plan"] for one in found.qualities} == set(plans)

    cases = [json.loads(line) for line in again.stdout.splitlines()]
    assert [one["event"] for one in cases] == ["case"] * 6 + ["bench"]
    for one in cases[:-1]:
        assert one["repetitions"] == 3
        assert 0 < one["token_ms_low"] <= one["token_ms"] <= one["token_ms_high"]
        assert one["first_ms"] > 0
        assert one["tokens_per_second"] > 0
        assert one["parts_ms"]["decode"] > 0
    vote, alone, cascade = cases[1], cases[0], cases[2]
    # It is withheld until it is settled: its tokens share all of its time.
    assert cascade["token_ms"] * 12 > 0.9 * cascade["first_ms"]
    # Two equal models say what one of them says, and batches of other shapes as good as that.
    assert vote["bits_per_byte"] == pytest.approx(alone["bits_per_byte"], rel=0.02)

    page = tmp_path / "page.html"
    made = here(
        "bench", "report", records.name, "--output", "page.html", "--png", "pictures",
        "--write-config", "profiles.toml",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert len(list((tmp_path / "pictures").glob("*.png"))) >= 4
    assert "http" not in page.read_text().replace("http-equiv", "")

    same = here("bench", "compare", records.name, records.name, "--fail-above", "1.01")
    assert same.returncode == 0, same.stderr
    assert same.stdout.count("no difference") >= 6 * 2

    slower = tmp_path / "slower.jsonl"
    lines = [json.loads(line) for line in records.read_text().splitlines()]
    for line in lines:
        if "gaps_ms" in line:
            line["gaps_ms"] = [100 * gap for gap in line["gaps_ms"]]
    slower.write_text("".join(json.dumps(line) + "\n" for line in lines))
    grown = here("bench", "compare", records.name, slower.name, "--fail-above", "1.01")
    assert (grown.returncode, grown.stderr) == (1, "")

    written(tmp_path, repetitions=2)
    told = complaint(here("bench", "sweep.toml"), 2)
    assert "holds records of another sweep; give another --output, or --restart" in told


@pytest.mark.timeout(240)
def test_a_worker_that_dies_costs_no_case(tmp_path: Path) -> None:
    written(tmp_path, repetitions=2)
    records = tmp_path / "out.jsonl"
    command = [*COMMAND, "bench", "sweep.toml", "--output", "out.jsonl", "--json"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(tmp_path), stdout=subprocess.PIPE, text=True
    ) as process:
        wait_for(lambda: measured(records) >= 1, process)
        os.kill(worker_of(process.pid, "one"), signal.SIGKILL)
        process.communicate(timeout=180)
    assert process.returncode == 0
    found = read_records(records)
    assert len(kinds(found)) == 3 * 2 * 2
    assert not found.left_out


def worker_of(pid: int, model: str) -> int:
    """The worker of a model somewhere below a process; its encoder has a name of its own."""
    names: dict[int, Any] = {}
    for one in process_tree(pid):
        names[one] = Path(f"/proc/{one}/comm").read_text().strip()
    (worker,) = [one for one, name in names.items() if name.endswith(f":{model}")]
    return worker


@pytest.mark.parametrize(
    ("arguments", "told", "code"),
    [
        (("quik",), "quik: no such sweep; give quick, standard or full, or a TOML file", 2),
        (("report", "sweep.toml"), "sweep.toml: line 2: no JSON", 2),
        (("show", "nothing.jsonl"), "nothing.jsonl: cannot be read", 2),
        (("sweep.toml", "--model", "x"), "--model: the models of sweep.toml stand in", 2),
        (("--model", "no-such-model"), "no-such-model", 1),
        (("sweep.toml", "--minutes", "0"), "--minutes", 2),
        (
            ("sweep.toml", "--restart", "--output", "sweep.toml"),
            "sweep.toml: holds no records of a",
            2,
        ),
        (("sweep.toml", "--output", "."), ".: is a folder, not a file; give another --output", 2),
        (("sweep.toml", "--output", "/proc/x/a.jsonl"), "/proc/x/a.jsonl: cannot be made", 2),
    ],
)
def test_what_cannot_be_measured_is_told_in_one_line(
    here: Ask, tmp_path: Path, arguments: tuple[str, ...], told: str, code: int
) -> None:
    written(tmp_path, repetitions=1)
    assert told in complaint(here("bench", *arguments), code)
