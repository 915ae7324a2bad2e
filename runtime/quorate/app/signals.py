"""What signals ask of a service: to end, to end at once, or to read its configuration anew."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

_TERMINAL = "/dev/tty"


class Signals:
    """Events of SIGTERM and SIGINT, and of SIGHUP.

    SIGHUP also comes when the terminal that a server runs in is closed. Then it ends like the
    others, unless it was told to outlive its terminal (``nohup``).

    Attributes:
        first: Set by the first signal that asks to end.
        second: Set by a further one.
        hangup: Set by SIGHUP; whoever waits for it clears it.
    """

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        self.hangup = asyncio.Event()
        ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        self._ends_with_terminal = not ignored and _has_terminal()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)

    def _end(self) -> None:
        (self.second if self.first.is_set() else self.first).set()

    def _hang_up(self) -> None:
        if self._ends_with_terminal and not _has_terminal():
            self._end()
        else:
            self.hangup.set()


def _has_terminal() -> bool:
    """Whether this process has a terminal that is still there."""
    with contextlib.suppress(OSError):
        os.close(os.open(_TERMINAL, os.O_RDWR | os.O_NOCTTY))
        return True
    return False
