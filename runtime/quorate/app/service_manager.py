"""What the service manager that started this process is told: systemd's ``sd_notify``.

The protocol is one datagram to the socket that ``NOTIFY_SOCKET`` names (sd_notify(3)). Where nobody
asks nothing is sent, and a socket that takes nothing is told of in the log and stops nothing.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import MutableMapping

from quorate.foreign_text import one_line

_SOCKET, _WATCHDOG, _WATCHED = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"
# A manager that is busy is waited for, but not for long: whoever serves must not stand still.
_PATIENCE_SECONDS = 0.5
_MICROSECONDS = 1_000_000

_log = logging.getLogger(__name__)


class ServiceManager:
    """Tells the manager how far the service is.

    Args:
        address: Path of its socket, or ``@`` and an abstract name; "" where there is none.
        watchdog_seconds: A service that is silent for so long is taken for dead; 0 is never.
    """

    def __init__(self, address: str = "", watchdog_seconds: float = 0.0) -> None:
        self._address = address
        self._watchdog_seconds = watchdog_seconds
        self._ready = False

    @classmethod
    def of_environment(cls, environment: MutableMapping[str, str]) -> ServiceManager:
        """The manager that variables name; they are taken away, so that nobody inherits them."""
        address = environment.pop(_SOCKET, "")
        watched = environment.pop(_WATCHED, "")
        microseconds = environment.pop(_WATCHDOG, "")
        ours = watched in ("", str(os.getpid())) and microseconds.isdecimal()
        return cls(address, int(microseconds) / _MICROSECONDS if ours else 0.0)

    def status(self, line: str) -> None:
        """Tells people how far it is."""
        self._tell(STATUS=line)

    def ready(self, line: str) -> None:
        """Tells that the start is over."""
        self._ready = True
        self._tell(READY="1", STATUS=line)

    def reloading(self) -> None:
        """Tells that the configuration is being read anew; ``reloaded`` ends it."""
        # During the start nobody waits for it, and the word that ends it would end the start.
        if self._ready:
            self._tell(RELOADING="1", MONOTONIC_USEC=str(time.monotonic_ns() // 1000))

    def reloaded(self) -> None:
        """Tells that what was read anew, or refused, is settled."""
        if self._ready:
            self._tell(READY="1")

    def stopping(self, line: str, within_seconds: float) -> None:
        """Tells that the service ends, and how long that may take, whatever the unit says."""
        microseconds = int(within_seconds * _MICROSECONDS)
        self._tell(STOPPING="1", STATUS=line, EXTEND_TIMEOUT_USEC=str(microseconds))

    async def keep_alive(self) -> None:
        """Says from the event loop that it turns, for as long as somebody wants to know."""
        while self._watchdog_seconds:
            self._tell(WATCHDOG="1")
            await asyncio.sleep(self._watchdog_seconds / 2)

    def _tell(self, **values: str) -> None:
        if not self._address:
            return
        message = "\n".join(f"{name}={one_line(value)}" for name, value in values.items())
        try:
            _send(self._address, message.encode())
        except (OSError, ValueError) as error:
            _log.warning("the service manager at %s: %s", self._address, error)


def _send(address: str, message: bytes) -> None:
    # An abstract name begins with a zero byte, which no variable can hold.
    name = f"\0{address[1:]}" if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.settimeout(_PATIENCE_SECONDS)
        sender.sendto(message, name)
