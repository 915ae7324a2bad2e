"""Where the log goes."""

from __future__ import annotations

import logging
import sys
from typing import Any

from quorate.foreign_text import one_line

_TRACEBACK_LINES = 200


class _Stderr(logging.Handler):
    """Writes to whatever ``sys.stderr`` is at the time, so that progress bars can step aside.

    A server has that of ``unblocked_streams``, which neither waits nor fails.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one line."""
        try:
            # In one piece, so that lines of several threads do not mix.
            sys.stderr.write(f"{self.format(record)}\n")
            sys.stderr.flush()
        except OSError:
            self.handleError(record)


class CleanFormatter(logging.Formatter):
    """Formats records so that nothing foreign in them forges lines or acts on a terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        """The record on one line of bounded length."""
        record.message = one_line(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - the name is logging's
        """The last lines of a traceback; each is kept to itself."""
        lines = super().formatException(ei).splitlines()[-_TRACEBACK_LINES:]
        return "\n".join(_indented(line) for line in lines)


def _indented(line: str) -> str:
    """A line of a traceback, which nobody can take for the beginning of a record."""
    text = line.lstrip(" ")
    return " " * (2 + len(line) - len(text)) + one_line(text)


def log_to_stderr(level: int = logging.INFO) -> None:
    """Sends this process's log to standard error."""
    handler = _Stderr()
    handler.setFormatter(CleanFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])


def keep_log_quiet() -> None:
    """Drops the log of a command that tells its failures in its own line."""
    logging.basicConfig(level=logging.CRITICAL + 1, handlers=[logging.NullHandler()])
