"""One guide process, as the coordinator sees it."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from typing import cast

from quorate.engines.confinement.environment import inherited
from quorate.engines.confinement.plan import VARIABLE, Confinement, Isolation
from quorate.engines.worker.transport.process import WorkerProcess
from quorate.guides.frames import LONGEST_ANSWER, Frame, FrameBuffer

COMMAND = (sys.executable, "-P", "-m", "quorate.guides.main")
_TITLE = "guide"
_FILE_BYTES = 1 << 20
_OOM_SCORE = 600


class GuideProcess(asyncio.Protocol):
    """A process and the socket to it.

    Args:
        on_frame: Told what it says, in order; raises ``ValueError`` for what it may not say.
        on_lost: Told why it is of no more use, once, behind its last frame.
    """

    def __init__(self, on_frame: Callable[[Frame], None], on_lost: Callable[[str], None]) -> None:
        self._on_frame = on_frame
        self._on_lost: Callable[[str], None] | None = on_lost
        self._frames = FrameBuffer(LONGEST_ANSWER)
        self._process: WorkerProcess | None = None
        self._transport: asyncio.Transport | None = None
        self._unsent: list[bytes] = []

    async def start(self, isolation: Isolation) -> None:
        """Starts the process.

        Raises:
            OSError: It cannot be started; nothing is left behind.
        """
        ours, theirs = socket.socketpair()
        confinement = Confinement(
            _TITLE, isolation.sandbox, file_bytes=_FILE_BYTES, oom_score=_OOM_SCORE
        )
        environment = inherited(os.environ, isolation.secrets) | {VARIABLE: confinement.to_text()}
        try:
            descriptor = theirs.fileno()
            self._process = WorkerProcess(
                [*COMMAND, str(descriptor), str(os.getpid())], environment, (descriptor,), _TITLE
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._process.exited.add_done_callback(lambda exited: self._lose(exited.result()))
        await asyncio.get_running_loop().create_connection(lambda: self, sock=ours)

    @property
    def pid(self) -> int | None:
        """Its id, or None where it has ended."""
        ended = self._process is None or self._process.exited.done()
        return None if ended else cast(WorkerProcess, self._process).pid

    def send(self, frame: bytes) -> None:
        """Sends a frame soon, in order; dropped where the process is gone.

        What is sent within one turn of the event loop leaves in one piece at its end.
        """
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unsent.append(frame)

    def kill(self, cause: str) -> None:
        """Kills it, and counts it as lost now for this cause."""
        if self._process is not None:
            self._process.kill()
        self._lose(cause)

    async def ended(self) -> None:
        """Waits for the end of a process that was killed."""
        if self._process is not None:
            await self._process.exited

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See ``asyncio.Protocol``."""
        self._transport = cast(asyncio.Transport, transport)
        if self._on_lost is None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """See ``asyncio.Protocol``."""
        try:
            for frame in self._frames.push(data):
                self._on_frame(frame)
        except ValueError as error:
            self.kill(f"said what no guide says: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        """See ``asyncio.Protocol``; why is told by the end of the process."""
        self._transport = None

    def _flush(self) -> None:
        frames, self._unsent = self._unsent, []
        if self._transport is not None:
            self._transport.writelines(frames)

    def _lose(self, cause: str) -> None:
        on_lost, self._on_lost = self._on_lost, None
        if self._transport is not None:
            self._transport.abort()
        if on_lost is not None:
            on_lost(cause)
