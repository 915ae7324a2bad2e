"""Answers go to readers that may stop reading.

A write ends when the transport has taken the message, which it does while the reader's windows are
open: one that does not end is of a reader that has stopped. It would hold sessions, memory and a
place for as long as it likes, so that a write has a limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias

import grpc

from quorate.errors import PeerStalled

_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class PatientContext:
    """The context of a call, whose writes wait for its reader for so long and no longer.

    Args:
        context: What the transport gave.
        stall_seconds: Longest time that one message waits to be taken.
        headers: Those of the answer, sent before its first message and not earlier: a call whose
            headers have come is never tried again by its client.
    """

    def __init__(
        self,
        context: _Context,
        stall_seconds: float,
        headers: Callable[[], tuple[tuple[str, str], ...]] = tuple,
    ) -> None:
        self._context = context
        self._stall_seconds = stall_seconds
        self._headers = headers
        self._loop = asyncio.get_running_loop()
        self._begun = False
        # One timer for all writes of a call: there is one for each token.
        self._writing_since: float | None = None
        self._look: asyncio.TimerHandle | None = None
        self._writer: asyncio.Task[Any] | None = None
        self._stalled = False

    def close(self) -> None:
        """Nothing is written any more."""
        if self._look is not None:
            self._look.cancel()

    def __getattr__(self, name: str) -> Any:
        """All else is as the transport has it."""
        return getattr(self._context, name)

    async def write(self, message: Any) -> None:
        """Writes a message of the answer.

        Raises:
            PeerStalled: The reader took nothing for too long.
        """
        if not self._begun:
            # Headers need no window. Apart from them, a first message that is stuck would keep the
            # error from being sent after it.
            await self._context.send_initial_metadata(self._headers())
            self._begun = True
            self._writer = asyncio.current_task()
            self._look = self._loop.call_later(self._stall_seconds, self._look_at_reader)
        self._writing_since = self._loop.time()
        try:
            await self._context.write(message)
        except asyncio.CancelledError:
            if not self._stalled:
                raise
            self._stalled = False
            if self._writer is not None and self._writer.uncancel():
                # Somebody else wants its end as well.
                raise
            raise PeerStalled(
                f"the answer was given up: its reader took nothing of it for "
                f"{self._stall_seconds:g} s"
            ) from None
        finally:
            self._writing_since = None

    def _look_at_reader(self) -> None:
        now = self._loop.time()
        since = now if self._writing_since is None else self._writing_since
        if now - since < self._stall_seconds:
            self._look = self._loop.call_at(since + self._stall_seconds, self._look_at_reader)
        elif self._writer is not None:
            self._stalled = True
            self._writer.cancel()
