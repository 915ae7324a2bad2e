"""Answers go to readers that may stop reading.

A write ends when the transport has taken the message, which it does while the reader's windows are
open: one that does not end is of a reader that has stopped. It would hold sessions, memory and a
place for as long as it likes, so that a write has a limit.
"""

from __future__ import annotations

import asyncio
from typing import Any, TypeAlias

import grpc

from quorate.errors import PeerStalled

_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class PatientContext:
    """The context of a call, whose writes wait for its reader for so long and no longer.

    Args:
        context: What the transport gave.
        stall_seconds: Longest time that one message waits to be taken.
    """

    def __init__(self, context: _Context, stall_seconds: float) -> None:
        self._context = context
        self._stall_seconds = stall_seconds
        self._begun = False

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
            await self._context.send_initial_metadata(())
            self._begun = True
        try:
            async with asyncio.timeout(self._stall_seconds) as limit:
                await self._context.write(message)
        except TimeoutError:
            if not limit.expired():
                raise
            raise PeerStalled(
                f"the answer was given up: its reader took nothing of it for "
                f"{self._stall_seconds:g} s"
            ) from None
