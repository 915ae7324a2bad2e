"""Connections that do nothing make room before there are too many.

gRPC closes a connection that has had no call for long, refuses new ones above a limit, and can do
nothing in between: who opens many would keep everybody else out until they have aged. It cannot
reset a stream either, so that one whose reader has stopped would keep its connection for ever. Here
the sockets themselves are shut down; gRPC then sees the end of the connection.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from quorate.threads import beside_loop

_LOOK_SECONDS = 0.1
_FRESH_SECONDS = 0.5
_MAPPED = "::ffff:"


class Connections:
    """Which connections have calls that get on, and since when the others have had none.

    Args:
        most: How many there may be; a quarter of them are let be, idle or not.
        linger_seconds: How long a connection may hold nothing but calls that were given up.
        clock: Seconds that never run backwards; tests inject their own.
    """

    def __init__(
        self, most: int, linger_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._enough = max(1, most // 4)
        self._linger_seconds = linger_seconds
        self._clock = clock
        self._working: Counter[str] = Counter()
        self._given_up: Counter[str] = Counter()
        self._idle_since: dict[str, float] = {}

    @contextmanager
    def call(self, peer: str) -> Iterator[None]:
        """A call of a connection gets on for as long as the context lasts."""
        self._working[peer] += 1
        self._idle_since.pop(peer, None)
        try:
            yield
        finally:
            self._count_down(self._working, peer)
            if peer not in self._working:
                self._idle_since[peer] = self._clock()

    @contextmanager
    def given_up(self, peer: str) -> Iterator[None]:
        """A call has ended for us, and its caller has not taken the end yet."""
        self._given_up[peer] += 1
        try:
            yield
        finally:
            self._count_down(self._given_up, peer)

    async def watch(self, port: int) -> None:
        """Looks after the connections to this port of this machine, for ever."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            # Connections that are closed are forgotten by looking at those that there are.
            if self._given_up or max(open_descriptors(), len(self._idle_since)) > self._enough:
                found = await beside_loop(_connected, port)
                for peer in self.to_close(found):
                    _shut_down(found[peer], peer)

    def to_close(self, found: Mapping[str, int]) -> list[str]:
        """Those of the connections that are to be closed now, the longest idle ones first."""
        now = self._clock()
        if self._working and not self._working.keys() & found.keys():
            # Their names are not what they should be, so that nothing is known of any.
            return []
        since = {peer: self._idle_since.get(peer, now) for peer in found}
        self._idle_since = {
            peer: moment for peer, moment in since.items() if peer not in self._working
        }
        lingering = [
            peer
            for peer in self._given_up
            if now - self._idle_since.get(peer, now) >= self._linger_seconds
        ]
        idle = sorted(
            (
                peer
                for peer, moment in self._idle_since.items()
                if now - moment >= _FRESH_SECONDS and peer not in lingering
            ),
            key=self._idle_since.__getitem__,
        )
        return [*lingering, *idle[: max(0, len(found) - len(lingering) - self._enough)]]

    @staticmethod
    def _count_down(counter: Counter[str], peer: str) -> None:
        counter[peer] -= 1
        if not counter[peer]:
            del counter[peer]


def open_descriptors() -> int:
    """How many descriptors this process has open; 0 where the system does not tell."""
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0


def _connected(port: int) -> dict[str, int]:
    """The descriptors of what is connected to a port of ours, by the name gRPC has for the peer."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError), _socket(int(name)) as one:
            if (peer := _peer_of(one, port)) is not None:
                found[peer] = int(name)
    return found


def _shut_down(descriptor: int, peer: str) -> None:
    # The number may be another's by now: what it stands for is looked at through a copy.
    with suppress(OSError), _socket(descriptor) as one:
        if _peer_of(one, one.getsockname()[1]) == peer:
            one.shutdown(socket.SHUT_RDWR)


def _socket(descriptor: int) -> socket.socket:
    copy = os.dup(descriptor)
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise


def _peer_of(one: socket.socket, port: int) -> str | None:
    """What gRPC calls the peer of a socket that is connected to this port of ours."""
    if one.family not in (socket.AF_INET, socket.AF_INET6) or one.getsockname()[1] != port:
        return None
    host, peer_port = one.getpeername()[:2]
    if ":" not in host or host.startswith(_MAPPED):
        return f"ipv4:{host.removeprefix(_MAPPED)}:{peer_port}"
    return f"ipv6:%5B{host}%5D:{peer_port}"
