"""The programs under ``clients/``, and a server for them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.foreign_clients import (
    BUILT,
    PROGRAMS,
    TOKENS,
    Answered,
    Ask,
    Begin,
    Guarded,
    ended,
    guarded_server,
)


@pytest.fixture(params=list(PROGRAMS))
def language(request: pytest.FixtureRequest) -> str:
    """Each client in turn, as far as ``scripts/test_clients`` has built it."""
    name: str = request.param
    if not BUILT[name].exists():
        pytest.skip(f"the client in {name} is not built: scripts/test_clients builds it")
    return name


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """``quorate serve`` with TLS, keys and scripted models that are all ready."""
    with guarded_server(tmp_path_factory.mktemp("guarded")) as running:
        yield running


@pytest.fixture
def begin(language: str, guarded: Guarded) -> Iterator[Begin]:
    """Starts a client and leaves it running."""
    running: list[subprocess.Popen[str]] = []

    def start(
        *arguments: str, token: str | None = TOKENS["reader"], ca: Path | None = guarded.ca
    ) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*PROGRAMS[language], *arguments],
            env=guarded.environment(token, ca),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture
def ask(begin: Begin) -> Ask:
    """Runs a client to its end."""

    def answer(*arguments: str, **identity: str | Path | None) -> Answered:
        return ended(begin(*arguments, **identity))

    return answer
