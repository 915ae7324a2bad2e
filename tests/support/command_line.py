"""The command line as a user runs it: processes, their output and their exit codes."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from quorate.cli.program import run
from support.hosted_engines import children_of

DEADLINE_SECONDS = 60.0
COMMAND = (sys.executable, "-m", "quorate")

_WAITING = re.compile(r"^[^ ]+: (downloading|loading|restarting)\b|^\d+ of \d+ bytes scored$")

Ask = Callable[..., subprocess.CompletedProcess[str]]
"""Runs a command, given the words after ``quorate``; ``stdin`` and further variables by name."""

TWO_MODELS = """
[server]
listen = "127.0.0.1:0"

[[models]]
id = "alpha"
engine = "scripted"
options = { say = "yes indeed", seed = 1 }

[[models]]
id = "beta"
engine = "scripted"
options = { say = "yet another", seed = 2, confidence = 0.5 }
"""


def environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of a command that touches nothing of the user's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("QUORATE_")}
    return {**kept, "QUORATE_HOME": str(home / "home"), **more}


def quorate(
    home: Path,
    *arguments: str,
    stdin: str = "",
    timeout: float = DEADLINE_SECONDS,
    **more: str,
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end in the folder ``home``.

    Args:
        stdin: What it reads.
        timeout: Seconds it may take.
        **more: Further environment variables.
    """
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=home,
        env=environment(home, **more),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def commands_here(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Ask:
    """Runs commands as ``quorate`` does in a folder, but within this process: half a second less.

    Not for what serves or is to be interrupted.
    """

    def answer(*arguments: str, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        before, wanted = dict(os.environ), environment(home, **more)
        with monkeypatch.context() as patch:
            patch.chdir(home)
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), "utf-8"))
            capsys.readouterr()
            try:
                _set_environment(wanted)
                code = run(arguments)
            finally:
                # What a command sets for its own process must not stay in this one.
                _set_environment(before)
            return subprocess.CompletedProcess(arguments, code, *capsys.readouterr())

    return answer


def _set_environment(variables: Mapping[str, str]) -> None:
    for name in os.environ.keys() - variables.keys():
        del os.environ[name]
    os.environ.update(variables)


def started(home: Path, *arguments: str) -> subprocess.Popen[str]:
    """A command that runs in the folder ``home``, with its outputs in pipes."""
    return subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=home,
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def complaint(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The one line on standard error of a command that failed and printed nothing else."""
    assert (done.returncode, done.stdout) == (code, "")
    # With --json it is an object.
    assert done.stderr.startswith(("quorate: ", '{"error": '))
    assert done.stderr.count("\n") == 1
    return done.stderr


def remarks(stderr: str) -> list[str]:
    """What a command with ``--json`` says beside its output, and of what it failed."""
    told = [json.loads(line) for line in stderr.splitlines()]
    return [one["error"]["message"] if "error" in one else one["message"] for one in told]


def said(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines on standard error but those that tell how far it is.

    Whether there are any of those depends on how fast this machine is today.
    """
    lines = done.stderr.splitlines()
    if done.stderr.startswith("{"):
        lines = remarks(done.stderr)
    return [line for line in lines if not _WAITING.search(line)]


@dataclass
class Serving:
    """``quorate serve --json`` with its models ready."""

    process: subprocess.Popen[str]
    address: str
    events: list[dict[str, Any]]

    def asked(
        self, home: Path, *arguments: str, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command that asks this server; arguments as for ``quorate``."""
        return quorate(home, *arguments, "--target", self.address, **options)

    def workers(self) -> list[int]:
        """Ids of the processes it started."""
        return children_of(self.process.pid)

    def end(self) -> int:
        """Waits for the end and returns the exit code; reads what is still printed."""
        self.process.communicate(timeout=DEADLINE_SECONDS)
        return self.process.returncode


@contextmanager
def listening(home: Path, *arguments: str) -> Iterator[Serving]:
    """Runs ``quorate serve`` until the block ends; its models may still be loading."""
    with started(home, *arguments, "--json") as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            event = json.loads(line)
            yield Serving(process, event["address"], [event])
        finally:
            process.kill()
            process.communicate()


@contextmanager
def serving(home: Path, config: str = TWO_MODELS) -> Iterator[Serving]:
    """Serves a configuration until the block ends."""
    (home / "served.toml").write_text(config)
    wanted = config.count("[[models]]")
    with listening(home, "serve", "--config", "served.toml") as server:
        process = server.process
        assert process.stdout is not None
        while sum(event.get("state") == "ready" for event in server.events) < wanted:
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            server.events.append(json.loads(line))
        yield server
