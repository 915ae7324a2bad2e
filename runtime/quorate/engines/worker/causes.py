"""Says in a few words why a worker process ended."""

from __future__ import annotations

import signal
from collections.abc import Sequence

_EXPLANATIONS = ("GGML_ASSERT", "GGML_ABORT", "CUDA error", "what():", "Assertion", "Fatal Python")


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
    lines = [line.strip() for line in stderr_lines if line.strip()]
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
