"""Spawns a worker process, notices its end and says why, keeps its last words."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from quorate.engines.native_paths import without_build_paths
from quorate.engines.worker.claims import clean
from quorate.engines.worker_log import WarningFilter, warning_in

WORKER_COMMAND = (sys.executable, "-P", "-m", "quorate.engines.worker.worker")
_TAIL_LINES = 50
_READ_BYTES = 1 << 12
# A process that prints without end waits for us, and not the other way round.
_BYTES_BETWEEN_PAUSES = 1 << 16
_PAUSE_SECONDS = 0.05
_LINES_AT_ONCE = 64
_PIPE_BYTES = 1 << 16
_LONGEST_LINE = 2000
_SHARED_MEMORY = Path("/dev/shm")
_EXPLANATIONS = ("GGML_ASSERT", "GGML_ABORT", "CUDA error", "what():", "Assertion", "Fatal Python")

_log = logging.getLogger(__name__)


class WorkerProcess:
    """A child process. Must be created, and lives, on the event loop's thread.

    The end of the process is a readable pidfd, so that no thread waits for it, and it is killed
    through the same descriptor, so that no process that came after can be hit.

    Attributes:
        pid: Its process id.
        exited: Done when the process has ended and was reaped; its result is the cause.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        inherited: Sequence[int],
        name: str,
    ) -> None:
        """Spawns it with its whole environment; inherited descriptors keep their numbers.

        Raises:
            OSError: It cannot be started.
        """
        self._loop = asyncio.get_running_loop()
        self._name = name
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._unfinished = b""
        self._read_since_pause = 0
        self._warnings = WarningFilter()
        self._pause: asyncio.TimerHandle | None = None
        # A session of its own keeps a Ctrl-C or a hang-up of the terminal away from the worker.
        self._popen = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            env=environment,
            pass_fds=inherited,
            start_new_session=True,
        )
        self.pid = self._popen.pid
        self.exited: asyncio.Future[str] = self._loop.create_future()
        assert self._popen.stdout is not None
        self._output = self._popen.stdout
        with ExitStack() as undo:
            # Descriptors may run out between any two of these.
            undo.callback(self._output.close)
            undo.callback(self._popen.wait)
            undo.callback(self._popen.kill)
            self._pidfd = os.pidfd_open(self.pid)
            undo.callback(os.close, self._pidfd)
            os.set_blocking(self._output.fileno(), False)
            self._loop.add_reader(self._output.fileno(), self._read_output)
            undo.callback(self._loop.remove_reader, self._output.fileno())
            self._loop.add_reader(self._pidfd, self._reap)
            undo.pop_all()

    def kill(self) -> None:
        """Sends SIGKILL, unless the process has ended."""
        if not self.exited.done():
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    async def exits_within(self, seconds: float) -> bool:
        """Waits for the end of the process; False when it still runs after that time."""
        await asyncio.wait([self.exited], timeout=seconds)
        return self.exited.done()

    def _reap(self) -> None:
        return_code = self._popen.poll()
        if return_code is None:
            return
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        remove_leftovers(self.pid)
        if not self._output.closed:
            self._take_output(_PIPE_BYTES)
            self._close_output()
        self.exited.set_result(exit_cause(return_code, [*self._tail, self._text(self._unfinished)]))

    def _read_output(self) -> None:
        # A little at a time: a worker that never stops printing must not hold up the event loop.
        self._take_output(_READ_BYTES)
        if self._read_since_pause >= _BYTES_BETWEEN_PAUSES and not self._output.closed:
            self._loop.remove_reader(self._output.fileno())
            self._pause = self._loop.call_later(_PAUSE_SECONDS, self._go_on_reading)

    def _go_on_reading(self) -> None:
        self._read_since_pause = 0
        self._pause = None
        if not self._output.closed:
            self._loop.add_reader(self._output.fileno(), self._read_output)

    def _take_output(self, most: int) -> None:
        chunk = self._output.read(most)
        if chunk is None:
            return
        if not chunk:
            self._close_output()
            return
        self._read_since_pause += len(chunk)
        *lines, self._unfinished = (self._unfinished + chunk).split(b"\n")
        self._unfinished = self._unfinished[:_LONGEST_LINE]
        if len(lines) > _LINES_AT_ONCE:
            left_out = len(lines) - _LINES_AT_ONCE
            _log.debug("%s: %d lines that came at once are left out", self._name, left_out)
        for line in map(self._text, lines[-_LINES_AT_ONCE:]):
            if (warning := warning_in(line)) is not None:
                for told in self._warnings.let_through(warning):
                    _log.warning("model %s: %s", self._name, told)
                continue
            self._tail.append(line)
            _log.debug("%s: %s", self._name, line)

    def _close_output(self) -> None:
        if self._output.closed:
            return
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._output.fileno())
        self._output.close()

    @staticmethod
    def _text(line: bytes) -> str:
        return clean(line[:_LONGEST_LINE].decode("utf-8", errors="replace"))


def exit_cause(return_code: int, stderr_lines: Sequence[str]) -> str:
    """Puts an exit status and the last lines of standard error into one line.

    Args:
        return_code: As ``subprocess`` gives it: the negative signal number where one killed it.
        stderr_lines: Last lines of standard error, oldest first.

    Returns:
        Such as ``killed by SIGKILL``, ``aborted: GGML_ASSERT(n > 0) failed``,
        ``exited with status 3``, or ``exited with status 1: ValueError: no such thing`` where the
        last lines are a Python traceback.
    """
    lines = [without_build_paths(line.strip()) for line in stderr_lines if line.strip()]
    if return_code == -signal.SIGABRT and lines:
        return f"aborted: {_explanation(lines)}"
    if return_code < 0:
        return f"killed by {_signal_name(-return_code)}"
    cause = f"exited with status {return_code}"
    if any(line.startswith("Traceback (most recent call last)") for line in lines):
        return f"{cause}: {lines[-1]}"
    return cause


def _explanation(lines: Sequence[str]) -> str:
    for line in reversed(lines):
        if any(word in line for word in _EXPLANATIONS):
            return line
    return lines[-1]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def remove_leftovers(pid: int, folder: Path = _SHARED_MEMORY) -> None:
    """Removes what a process that is gone left in shared memory, though nothing of it is ours.

    Intel's OpenMP library registers itself in a small file under its process id, and removes that
    only where the process ends by itself. This one has been reaped; the folder may be absent.
    """
    for left in folder.glob(f"__KMP_REGISTERED_LIB_{pid}_*"):
        # Another process of the same number may have come and gone meanwhile.
        with suppress(OSError):
            left.unlink()
