"""Simulated compute and simulated failures of a scripted model."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import NoReturn

from quorate.engines.scripted.options import ScriptedOptions


class SimulatedFaults:
    """Lets decode calls take time and, in the step that the options name, fail.

    A crash and an abort end the whole process: they belong into a worker.
    """

    def __init__(self, options: ScriptedOptions) -> None:
        self._delay_seconds = options.step_delay_ms / 1000
        self._marker = Path(options.crash_marker) if options.crash_marker else None
        self._failures = {
            options.crash_after_steps: _crash,
            options.abort_after_steps: os.abort,
            options.hang_after_steps: _hang,
        }
        self._failures.pop(0, None)
        self._steps = 0

    def step(self) -> None:
        """To be called once by every decode call."""
        self._steps += 1
        failure = self._failures.get(self._steps)
        if failure is not None and self._is_due():
            failure()
        if self._delay_seconds:
            time.sleep(self._delay_seconds)

    def _is_due(self) -> bool:
        if self._marker is None:
            return True
        try:
            self._marker.touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


def _crash() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _hang() -> NoReturn:
    while True:
        threading.Event().wait()
