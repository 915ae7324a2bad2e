"""The side of systemd that a service notifies: a datagram socket, and what came in on it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

DEADLINE_SECONDS = 60.0


class Notified:
    """Notifications in the order in which they came, each as its variables.

    Attributes:
        address: What ``NOTIFY_SOCKET`` is set to.
    """

    def __init__(self, address: str, receiver: socket.socket) -> None:
        self.address = address
        self._receiver = receiver

    def next(self) -> dict[str, str]:
        """Waits for the next one."""
        lines = self._receiver.recv(4096).decode().splitlines()
        return {name: value for name, _, value in (line.partition("=") for line in lines)}

    def until(self, name: str) -> list[dict[str, str]]:
        """Waits for one with this variable; returns all up to it."""
        seen = [self.next()]
        while name not in seen[-1]:
            seen.append(self.next())
        return seen

    def nothing_waits(self) -> bool:
        """Whether all that was sent has been taken."""
        self._receiver.setblocking(False)
        try:
            self._receiver.recv(4096, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        finally:
            self._receiver.settimeout(DEADLINE_SECONDS)
        return False


@contextmanager
def notified(address: str) -> Iterator[Notified]:
    """Listens at a path, or at an abstract name that begins with ``@``, until the block ends."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        receiver.settimeout(DEADLINE_SECONDS)
        yield Notified(address, receiver)
