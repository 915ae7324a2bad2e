"""``quorate tune`` as a user runs it: real servers, models whose speed is known."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from quorate_bench.tuning.records import read_tune_records

from quorate.cli.program import run
from support.bench_records import records_of_a_run
from support.command_line import COMMAND, DEADLINE_SECONDS, complaint, environment, quorate, remarks

# Its batches of four tokens make a prompt of 64 take sixteen decode calls of 8 ms.
CONFIG = """\
[server]
default_profile = "toy"  # ours

[[models]]
id = "toy"
engine = "scripted"
# Read slowly.
options = { batch_tokens = 4, context_length = 256, step_delay_ms = 8.0, seed = 3, generate = true }

[profiles.toy]
members = ["toy"]

[fleet]
# Nothing waits for cores to be free.
pin_cores = false
"""
WORK = ("--setting", "batch_tokens", "--prompt-tokens", "64", "--answer-tokens", "6")


def written(home: Path, config: str = CONFIG) -> None:
    (home / "mine.toml").write_text(config)


def blocks(path: Path) -> int:
    return path.read_bytes().count(b'"kind": "repetition"') if path.exists() else 0


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_tuning_that_is_killed_goes_on_finds_what_is_slow_and_writes_it(tmp_path: Path) -> None:
    written(tmp_path)
    records = tmp_path / "quorate-tune-mine.jsonl"
    with subprocess.Popen(
        [*COMMAND, "tune", "mine.toml", *WORK], cwd=tmp_path, env=environment(tmp_path),
        stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        deadline = time.monotonic() + DEADLINE_SECONDS
        while blocks(records) < 2:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    before = read_tune_records(records).blocks
    assert len(before) >= 2

    arguments = ("tune", "mine.toml", *WORK, "--write-config", "better.toml", "--json")
    again = quorate(tmp_path, *arguments, timeout=200)
    assert again.returncode == 0, again.stderr
    # Nothing but what is meant for whoever asked: each line is an object.
    assert any("going on with quorate-tune-mine.jsonl" in one for one in remarks(again.stderr))
    # What was measured before is a part of it, and was not measured again.
    after = read_tune_records(records).blocks
    assert [(one.race, one.values) for one in after[: len(before)]] == [
        (one.race, one.values) for one in before
    ]

    events = [json.loads(line) for line in again.stdout.splitlines()]
    proposal = next(one for one in events if one["event"] == "proposal")
    found = {one["key"]: one["value"] for one in proposal["changes"]}
    assert found["models.toy.options.batch_tokens"] == 128
    # Sixteen steps and one for each token become one and those.
    assert proposal["ratio_high"] < 0.8
    (gain,) = [one for one in events if one["event"] == "gain"]
    assert gain["case"] == "toy, 1 at once"
    assert gain["before"] > gain["after"] > 0
    tried = [one for one in events if one["event"] == "tried"]
    assert {"taken", "no better"} >= {one["verdict"] for one in tried} - {"worse"}
    assert events[-1] == {"event": "written", "path": "better.toml"}

    text = (tmp_path / "better.toml").read_text()
    assert "# ours" in text
    assert "# Read slowly." in text
    assert tomllib.loads(text)["models"][0]["options"]["batch_tokens"] == 128
    assert quorate(tmp_path, "check", "better.toml").returncode == 0
    assert (tmp_path / "mine.toml").read_text() == CONFIG

    # All is there: the same command tells it again and starts nothing. Nothing is overwritten.
    shown = quorate(tmp_path, "tune", "mine.toml", *WORK)
    assert shown.returncode == 0
    assert "less time" in shown.stdout
    assert "[models.options]\nbatch_tokens = 128\n" in shown.stdout
    refused = quorate(tmp_path, *arguments)
    assert "--write-config: better.toml is there already" in complaint(refused, 2)
    other = quorate(tmp_path, "tune", "mine.toml", *WORK[:2])
    assert "holds records of other prompts, answers or callers" in complaint(other, 2)


def test_what_records_of_a_bench_speak_for_is_told_and_written_without_measuring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QUORATE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GRPC_ENABLE_FORK_SUPPORT", "0")
    records = records_of_a_run()
    for one in records.measurements:
        if one["cores"] == 1:
            one["gaps_ms"] = [0.2 * gap for gap in one["gaps_ms"]]
            one["first_ms"] = [0.2 * first for first in one["first_ms"]]
    lines = [
        records.run, *records.measurements,
        *({"kind": "quality", **one} for one in records.qualities),
    ]  # fmt: skip
    Path("bench.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    models = "".join(
        f'[[models]]  # {name}\nid = "{name}"\nengine = "scripted"\n' for name in ("large", "small")
    )
    written(tmp_path, models)
    asked = ("tune", "mine.toml", "--from", "bench.jsonl")
    assert run(asked) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert "1 of 2 cores  0.400 [" in told.out
    assert "# in [[models]], large:\ncores = 1\n" in told.out

    assert run([*asked, "--json", "--write-config", "better.toml"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["event"] for one in events] == ["recorded", "proposal", "written"]
    assert events[0]["ratio"] == pytest.approx(0.4)
    better = tomllib.loads(Path("better.toml").read_text())
    assert [one["cores"] for one in better["models"]] == [1, 1]
    assert better["profiles"]["large-small"]["members"] == ["large", "small"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("", "quorate.toml: cannot be read"),
        ("mine.toml --profile tox", "--profile: "),
        ("mine.toml --setting core", "--setting: "),
        ("mine.toml --goal money", "--goal: must be one of time, energy, not 'money'"),
        ("broken.toml", "broken.toml: models[0].id: is missing"),
        ("absent.toml", "absent.toml: models[0].model: "),
        ("mine.toml --minutes 0", "--minutes"),
        ("mine.toml --from mine.toml", "mine.toml: line 1: no JSON"),
        ("mine.toml --output mine.toml", "mine.toml: line 1: no JSON"),
        ("mine.toml --output mine.toml --restart", "mine.toml: holds no records of a tuning"),
        ("mine.toml --write-config mine.toml", "mine.toml is there already; name another, or"),
    ],
)
def test_what_cannot_be_tuned_is_told_in_one_line(
    tmp_path: Path,
    misused: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: str,
    told: str,
) -> None:
    # What tune sets for its own process must not stay in this one.
    monkeypatch.setenv("GRPC_ENABLE_FORK_SUPPORT", "0")
    written(tmp_path)
    (tmp_path / "broken.toml").write_text('[[models]]\nengine = "scripted"\n')
    (tmp_path / "absent.toml").write_text('[[models]]\nmodel = "./absent.gguf"\n')
    assert told in misused("tune", *arguments.split())
    assert (tmp_path / "mine.toml").read_text() == CONFIG
