"""What the tests over real servers share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from quorate.client import Client
from support.command_line import Ask, Serving, commands_here, complaint, serving
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
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Ask:
    """Runs a command in the folder of the test, within this process."""
    return commands_here(tmp_path, monkeypatch, capsys)


@pytest.fixture
def ask(server: Serving, here: Ask) -> Ask:
    """Runs a command that asks the module's server."""
    return lambda *words, **more: here(*words, "--target", server.address, **more)


@pytest.fixture
def misused(here: Ask) -> Callable[..., str]:
    """The one line that a command written wrongly is answered with."""
    return lambda *words: complaint(here(*words), 2)


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
