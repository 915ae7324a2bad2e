"""``--json`` of every command has the shape that ``docs/command_line.md`` promises."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from quorate.cli.program import run
from quorate.v1 import accounting_pb2, inference_pb2, models_pb2, plan_pb2, server_pb2
from support.command_line import TWO_MODELS, Serving, serving
from support.repository import ROOT
from support.terminal import Capture
from support.tiny_gguf import tiny_model

# A blank in brackets: this one is not waited for.
CONFIG = f"""{TWO_MODELS}
[[ models ]]
id = "gamma"
engine = "scripted"
load = false

[profiles.both]
members = ["alpha", "beta"]

[budgets]
joules_per_hour = 1e9
""".replace("[server]", '[server]\ndefault_profile = "both"')

MODULES = (accounting_pb2, inference_pb2, models_pb2, plan_pb2, server_pb2)


def documented() -> dict[tuple[str, str], set[str]]:
    """The keys that each event of each command has at least."""
    found = {}
    for line in (ROOT / "docs" / "command_line.md").read_text().splitlines():
        if not line.startswith("| `"):
            continue
        commands, [event], keys = (re.findall(r"`([^`]+)`", cell) for cell in line.split("|")[1:4])
        if "| as `" in line:
            message, *others = keys
            kind = next(getattr(one, message) for one in MODULES if hasattr(one, message))
            fields = {field.name for field in kind.DESCRIPTOR.fields}
            keys = fields - set(others) if "without" in line else fields | set(others)
        for command in commands:
            found[command, event] = set(keys) - {"ensemble", "warnings"}
    return found


DOCUMENTED = documented()
OPEN_ENDED = {"facts"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Serving]:
    with serving(home, CONFIG) as running:
        yield running


@dataclass
class Done:
    """What became of a command: as of a process, but within this one, which takes a tenth."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture
def command(home: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command without a server."""
    monkeypatch.chdir(home)
    monkeypatch.setenv("QUORATE_HOME", str(home / "home"))
    monkeypatch.delenv("QUORATE_TARGET", raising=False)
    # What serve sets for its own process must not stay in this one.
    monkeypatch.setenv("GRPC_TRACE", "")

    def run_here(*words: str) -> Done:
        capsys.readouterr()
        code = run(words)
        return Done(code, *capsys.readouterr())

    return run_here


@pytest.fixture
def asked(server: Serving, command: Run) -> Run:
    """Runs a command that asks the server."""
    return lambda *words: command(*words, "--target", server.address)


def checked(name: str, text: str) -> list[dict[str, Any]]:
    """The lines of a command, each with the keys that are documented."""
    lines: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
    assert lines
    for line in lines:
        assert next(iter(line)) == "event"
        keys = DOCUMENTED[name, line["event"]]
        told = set(line) - {"event", "warnings"}
        assert keys <= told if line["event"] in OPEN_ENDED else keys == told, line
    return lines


@pytest.mark.parametrize(
    ("words", "events"),
    [
        (("generate", "hi", "--max-tokens", "2"), {"accepted", "delta", "finished"}),
        (("explain", "hi"), {"candidate", "decision"}),
        (("ps",), {"model"}),
        (("load", "gamma"), {"model"}),
        (("unload", "gamma"), {"model"}),
        (("status",), {"server", "model", "profile", "budget"}),
        (("spend",), {"spend", "budget", "machine"}),
        (("spend", "--charges"), {"charge"}),
    ],
)
def test_what_a_server_answers_has_the_documented_keys(
    asked: Run, words: tuple[str, ...], events: set[str]
) -> None:
    done = asked(*words, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    name = "spend --charges" if "--charges" in words else words[0]
    assert {line["event"] for line in checked(name, done.stdout)} == events


def test_scores_and_calibrations_have_the_documented_keys(asked: Run, home: Path) -> None:
    (home / "text").write_text("hello")
    [alpha, ensemble] = checked(
        "score", asked("score", "text", "--model", "alpha", "--json").stdout
    )
    assert (alpha["name"], ensemble["name"]) == ("alpha", "ensemble")
    (home / "q.jsonl").write_text('{"prompt": "x", "answer": "yes", "match": "contains"}\n' * 2)
    words = ("calibrate", "q.jsonl", "--model", "alpha", "--max-tokens", "4", "--output", "c.json")
    done = asked(*words, "--json")
    assert done.returncode == 0, done.stderr
    kinds = {line["event"] for line in checked("calibrate", done.stdout)}
    assert {"accuracy", "cost", "written"} <= kinds
    # What is said on the way is for programs too.
    assert {json.loads(line)["event"] for line in done.stderr.splitlines()} == {"note"}


def test_a_charge_has_no_json_within_texts(asked: Run, home: Path) -> None:
    asked("generate", "hi", "--max-tokens", "2")
    done = asked("spend", "--charges", "--limit", "1", "--json")
    [charge] = checked("spend --charges", done.stdout)
    assert charge["plan"]["members"] == {"alpha": 0.5, "beta": 0.5}
    assert charge["candidates"][0]["name"] == "profile:both"


def test_what_needs_no_server_has_the_documented_keys(
    server: Serving, command: Run, home: Path
) -> None:
    tiny_model(home / "tiny.gguf")
    for words, name in (
        (("models", "list"), "models list"),
        (("models", "inspect", "tiny.gguf"), "models inspect"),
        (("models", "verify", "./tiny.gguf"), "models verify"),
        (("check", "served.toml"), "check"),
        (("spend", "--backup", "copy.sqlite3"), "spend --backup"),
    ):
        done = command(*words, "--json")
        assert (done.returncode, done.stderr) == (0, "")
        checked(name, done.stdout)
    events = "".join(f"{json.dumps(event)}\n" for event in server.events)
    assert {line["event"] for line in checked("serve", events)} >= {"listening", "model"}


@pytest.mark.parametrize(
    ("words", "code", "reason", "field", "status"),
    [
        (
            ("generate", "hi", "--top-p", "7"),
            "INVALID_ARGUMENT",
            "INVALID_FIELD",
            "sampling.top_p",
            1,
        ),
        (("generate", "hi", "--model", "nobody"), "NOT_FOUND", "NOT_FOUND", None, 1),
        (("generate", "x" * 2000), "INVALID_ARGUMENT", "PROMPT_TOO_LONG", "chat", 1),
        (("generate", "hi", "--modle", "a"), "INVALID_ARGUMENT", "USAGE", None, 2),
        (("generate", "hi", "--auto", "--model", "a"), "INVALID_ARGUMENT", "SETTINGS", None, 2),
        (("spend", "--since", "yesterday"), "INVALID_ARGUMENT", "SETTINGS", None, 2),
        (("unload", "nobody"), "NOT_FOUND", "NOT_FOUND", None, 1),
    ],
)
def test_an_error_is_one_object_on_standard_error(
    asked: Run,
    words: tuple[str, ...],
    code: str,
    reason: str,
    field: str | None,
    status: int,
) -> None:
    done = asked(*words, "--json")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (status, "", 1)
    error = json.loads(done.stderr)["error"]
    assert list(error) == [
        *("code", "reason", "message", "field", "violations", "retry_after_seconds")
    ]
    assert (error["code"], error["reason"], error["field"]) == (code, reason, field)
    assert error["violations"] == [] if field is None else error["violations"][0]["field"] == field
    plain = asked(*words)
    assert (plain.returncode, plain.stderr) == (status, f"quorate: {error['message']}\n")


def test_errors_without_a_server_are_objects_too(command: Run, home: Path) -> None:
    (home / "wrong.toml").write_text("[server]\nlisten = 3\nmax_running = 'many'\n")
    for words, status, reason in (
        (("serve", "--config", "wrong.toml"), 2, "SETTINGS"),
        (("check", "nowhere.toml"), 2, "SETTINGS"),
        (("models", "pull", "nobody"), 1, "UNKNOWN_MODEL"),
        (("status", "--target", "127.0.0.1:1"), 1, "UNAVAILABLE"),
    ):
        done = command(*words, "--json")
        assert (done.returncode, done.stdout) == (status, "")
        assert json.loads(done.stderr)["error"]["reason"] == reason


def test_whoever_typed_an_option_hears_of_it(asked: Run, home: Path) -> None:
    members = ("--model", "alpha", "--model", "beta:0.5", "--beam-width", "64", "--stop", "")
    done = asked("generate", "hi", "--top-p", "7", "--min-p", "3", *members)
    told = done.stderr
    assert "--top-p: is 7.0" in told
    assert "--min-p: is 3.0" in told
    assert "sampling" not in told
