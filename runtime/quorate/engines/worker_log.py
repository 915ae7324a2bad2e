"""How a worker says something that the people at the coordinator's log should read.

A marked line on standard error: libraries print there too, and theirs is for debugging.
"""

from __future__ import annotations

import sys

_MARK = "quorate warns: "


def warn(text: str) -> None:
    """Has the coordinator log one line, under the name of this worker's model."""
    print(f"{_MARK}{' '.join(text.split())}", file=sys.stderr, flush=True)


def warning_in(line: str) -> str | None:
    """The warning that a line of a worker's standard error is, or None."""
    return line.removeprefix(_MARK) if line.startswith(_MARK) else None
