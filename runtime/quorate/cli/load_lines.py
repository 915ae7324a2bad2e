"""What is said in one line about a service and its models."""

from __future__ import annotations

from collections.abc import Sequence

from quorate.fleet.status import ModelState, ModelStatus

_BUSY = (ModelState.DOWNLOADING, ModelState.LOADING, ModelState.RESTARTING)


def listening_line(address: str, models: Sequence[str]) -> str:
    """What is said when a service listens."""
    return f"listening on {address}, models: {', '.join(models) or 'none'}"


def status_line(status: ModelStatus) -> str:
    """A model's state, without its progress."""
    line = f"{status.id}: {status.state.value}"
    if status.message and status.message != status.state.value:
        return f"{line}: {status.message}"
    if status.state is ModelState.READY and status.context_length:
        return f"{line}, context {status.context_length}, {status.description or status.engine}"
    return line


def is_busy(status: ModelStatus) -> bool:
    """Whether a model is on its way to being ready."""
    return status.state in _BUSY
