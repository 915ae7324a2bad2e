"""At which addresses connections are taken in, and how many."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from itertools import pairwise

import pytest

from quorate.api.http import listening
from quorate.api.http.listening import Listening, OnLost
from quorate.api.http.settings import HttpSettings
from quorate.errors import SettingsError

DEADLINE_SECONDS = 30.0


class Silent(asyncio.Protocol):
    def __init__(self, lost: OnLost) -> None:
        self._lost = lost

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not holds():
            await asyncio.sleep(0)


async def test_a_name_is_listened_on_at_all_its_addresses() -> None:
    found = Listening(HttpSettings(listen="localhost:0"), Silent, None)
    try:
        known = socket.getaddrinfo("localhost", found.port, type=socket.SOCK_STREAM)
        for address in {one[4][0] for one in known}:
            _, writer = await asyncio.open_connection(address, found.port)
            writer.close()
    finally:
        await found.close()


async def test_a_port_that_another_program_has_is_told() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        settings = HttpSettings(listen=f"127.0.0.1:{other.getsockname()[1]}")
        with pytest.raises(
            SettingsError, match=r"http.listen: cannot listen .* the port is in use"
        ):
            Listening(settings, Silent, None)


async def test_a_port_that_another_program_takes_meanwhile_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of two that may share an address, the second is refused when it listens."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        bind = socket.socket.bind

        def bound(self: socket.socket, address: tuple[str, int]) -> None:
            bind(self, address)
            other.listen()

        monkeypatch.setattr(socket.socket, "bind", bound)
        settings = HttpSettings(listen=f"127.0.0.1:{other.getsockname()[1]}")
        with pytest.raises(SettingsError, match="the port is in use"):
            Listening(settings, Silent, None)


async def test_a_few_connections_are_taken_in_at_once() -> None:
    seen: list[int] = []
    found = Listening(HttpSettings(listen="127.0.0.1:0"), Silent, None)
    peers = [socket.create_connection(("127.0.0.1", found.port)) for _ in range(100)]
    try:
        while found.connections < len(peers):
            seen.append(found.connections)
            await asyncio.sleep(0)
        steps = [after - before for before, after in pairwise(seen)]
        assert max(steps) <= listening._AT_ONCE
    finally:
        for peer in peers:
            peer.close()
        await until(lambda: not found.connections)
        await found.close()
