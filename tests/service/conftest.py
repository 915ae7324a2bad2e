"""What the tests over real servers share."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from quorate.cli.program import run
from quorate.client import Client
from support.command_line import Ask, Serving, complaint, environment, serving
from support.hosted_engines import children, shared_memories
from support.remotes import Hours
from support.service import Service, scripted_service


@pytest.fixture(scope="module")
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Serving]:
    """``quorate serve`` with the ``CONFIG`` of the tests' module."""
    with serving(tmp_path_factory.mktemp("server"), request.module.CONFIG) as running:
        yield running


@pytest.fixture
def ask(server: Serving, tmp_path: Path) -> Ask:
    """Runs a command that asks the module's server, in the folder of the test."""
    return partial(server.asked, tmp_path)


@pytest.fixture
def misused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """The one line that a command written wrongly is answered with, before it asks or starts any.

    It runs in this process, though in the folder and the environment of one of its own: a table of
    mistakes would take half a second for each.
    """
    monkeypatch.chdir(tmp_path)
    for name in os.environ.keys() - environment(tmp_path).keys():
        monkeypatch.delenv(name)
    monkeypatch.setenv("QUORATE_HOME", environment(tmp_path)["QUORATE_HOME"])

    def answer(*arguments: str) -> str:
        done = run(arguments)
        return complaint(subprocess.CompletedProcess(arguments, done, *capsys.readouterr()), 2)

    return answer


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """A server over two scripted models, ``alpha`` and ``beta``."""
    async with scripted_service() as running:
        yield running


@pytest.fixture
async def client(service: Service) -> AsyncIterator[Client]:
    """A client of that server."""
    async with service.client() as connected:
        yield connected


@pytest.fixture
async def nothing_is_left() -> AsyncIterator[None]:
    """No test leaves a process or shared memory behind."""
    before = children(), shared_memories()
    yield
    assert (children(), shared_memories()) == before


@pytest.fixture
def hours() -> Hours:
    """Time of a remote that is opened with it."""
    return Hours()
