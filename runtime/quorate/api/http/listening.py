"""Connections are taken in a few at a time, and counted from then on.

asyncio's own servers take in as many in one iteration of the event loop as may wait, and tell of
one that is secured once its handshake is over: those that never end theirs would not be counted.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from typing import TypeAlias

from quorate.api.http.settings import HttpSettings
from quorate.errors import SettingsError

_BACKLOG = 1024
_AT_ONCE = 16
_HANDSHAKE_SECONDS = 10.0
# Until what the machine is short of may be free again.
_RETRY_SECONDS = 0.5
_SHORT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

OnLost: TypeAlias = Callable[[], None]

_log = logging.getLogger(__name__)


class Listening:
    """Takes in connections at an address.

    Args:
        settings: Where, and how many.
        protocol: Makes what a connection speaks to, which calls what it is given once it is lost.
        tls: How connections are secured, if so.

    Attributes:
        port: Where it listens.

    Raises:
        SettingsError: The address cannot be bound.
    """

    def __init__(
        self,
        settings: HttpSettings,
        protocol: Callable[[OnLost], asyncio.Protocol],
        tls: ssl.SSLContext | None,
    ) -> None:
        self._most = settings.max_connections
        self._shutdown_seconds = settings.stall_seconds
        self._protocol = protocol
        self._tls = tls
        self._sockets = list(_bound(settings))
        self.port: int = self._sockets[0].getsockname()[1]
        self._open: set[socket.socket] = set()
        self._securing: set[asyncio.Task[None]] = set()
        self._accepting = [asyncio.create_task(self._accept(one)) for one in self._sockets]

    @property
    def connections(self) -> int:
        """How many are open, those in a handshake included."""
        return len(self._open)

    async def close(self) -> None:
        """Takes in no more."""
        await _end(self._accepting)
        for one in self._sockets:
            one.close()

    async def give_up(self) -> None:
        """Ends the handshakes that last."""
        await _end(list(self._securing))

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        for number in count(1):
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as error:
                short = error.errno in _SHORT
                if short:
                    _log.warning("cannot take in a connection: %s", os.strerror(error.errno or 0))
                await asyncio.sleep(_RETRY_SECONDS if short else 0)
                continue
            if len(self._open) >= self._most:
                connection.close()
            else:
                self._open.add(connection)
                task = asyncio.create_task(self._begin(connection))
                self._securing.add(task)
                task.add_done_callback(self._securing.discard)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _begin(self, connection: socket.socket) -> None:
        lost = partial(self._open.discard, connection)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: self._protocol(lost),
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=_HANDSHAKE_SECONDS if self._tls else None,
                ssl_shutdown_timeout=self._shutdown_seconds if self._tls else None,
            )
        except OSError:
            # A peer that ends its handshake otherwise, or not at all, is told so by the transport.
            lost()
        except BaseException:
            lost()
            raise


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _bound(settings: HttpSettings) -> Iterator[socket.socket]:
    """A listening socket for each address that the name stands for, as far as this machine has it.

    Raises:
        SettingsError: There is none, or another program has one of them.
    """
    host, port = settings.address
    made: list[socket.socket] = []
    failed: OSError | None = None
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, address in dict.fromkeys(found):
            # Where the system chose a port it is one for all addresses.
            taken = made[0].getsockname()[1] if made else port
            try:
                made.append(_listening(family, (address[0], taken, *address[2:]), len(found) > 1))
            except OSError as error:
                failed = failed or error
                if error.errno == errno.EADDRINUSE:
                    raise
        if not made:
            raise failed or OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    except OSError as error:
        for one in made:
            one.close()
        raise _cannot_listen(settings, error) from None
    yield from made


def _listening(family: int, address: tuple[object, ...], one_of_many: bool) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6 and one_of_many:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
        made.listen(_BACKLOG)
    except OSError:
        made.close()
        raise
    return made


def _cannot_listen(settings: HttpSettings, error: OSError) -> SettingsError:
    if error.errno == errno.EADDRINUSE:
        cause = "the port is in use; stop what listens there or choose another"
    else:
        cause = error.strerror or os.strerror(error.errno or 0)
    return SettingsError(f"http.listen: cannot listen on {settings.listen}: {cause}")
