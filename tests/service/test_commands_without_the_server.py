"""Commands that ask a server, where nothing is installed that only a server needs."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from support.command_line import TWO_MODELS, Serving, complaint, environment
from support.repository import ROOT

CONFIG = TWO_MODELS
RUN_SECONDS = 60.0

WITHOUT = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

HIDDEN = set(sys.argv.pop(1).split(","))
sys.meta_path.insert(0, Hidden())
from quorate.cli import main
main()
"""


def only_of_the_server() -> set[str]:
    """Top-level modules of what an extra brings that the program itself does without."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    names = {
        wanted.split("[")[0].split(">")[0].split("=")[0].replace("-", "_")
        for extra in ("server", "remote", "vllm", "metrics", "traces")
        for wanted in extras[extra]
        if not wanted.startswith("quorate[")
    }
    modules = {"grpcio_channelz": "grpc_channelz", "grpcio_reflection": "grpc_reflection"}
    modules |= {"llama_cpp_python": "llama_cpp"}
    return {modules.get(name, name) for name in names} | {"opentelemetry"}


def without(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a command where those modules cannot be found."""
    hidden = ",".join(sorted(only_of_the_server()))
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, hidden, *arguments],
        cwd=home,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )


def test_numpy_and_llama_cpp_are_among_what_is_hidden() -> None:
    assert {"numpy", "llama_cpp", "jinja2", "huggingface_hub", "openai"} <= only_of_the_server()


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("generate", "hi", "--model", "alpha", "--max-tokens", "3"), "yes"),
        (("generate", "hi", "--model", "alpha", "--model", "beta", "--json"), '"finished"'),
        (("explain", "hi", "--model", "alpha"), "alpha"),
        (("score", "text.txt", "--model", "alpha"), "alpha"),
        (("ps",), "alpha"),
        (("status",), "alpha"),
        (("load", "alpha"), "alpha"),
        (("spend",), ""),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_command_asks_a_server(
    server: Serving, tmp_path: Path, command: tuple[str, ...], told: str
) -> None:
    (tmp_path / "text.txt").write_text("yes indeed")
    done = without(tmp_path, *command, "--target", server.address)
    assert (done.returncode, done.stderr) == (0, "")
    assert told in done.stdout


@pytest.mark.parametrize("command", [("generate", "hi"), ("serve", "--demo"), ("check",)])
def test_what_needs_the_server_says_how_to_get_it(tmp_path: Path, command: tuple[str, ...]) -> None:
    told = complaint(without(tmp_path, *command), 1)
    assert " is not installed, " in told
    assert told.endswith("pip install 'quorate[server]'\n")
