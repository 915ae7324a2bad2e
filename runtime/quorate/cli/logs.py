"""Where the log goes."""

from __future__ import annotations

import logging
import sys

from quorate.cli.log_formats import log_formatter


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


def log_to_stderr(level: str = "info", style: str = "text") -> None:
    """Sends this process's log to standard error, from a level on, as text or as JSON."""
    handler = _Stderr()
    handler.setFormatter(log_formatter(style))
    logging.basicConfig(level=level.upper(), handlers=[handler])


def keep_log_quiet() -> None:
    """Drops the log of a command that tells its failures in its own line."""
    logging.basicConfig(level=logging.CRITICAL + 1, handlers=[logging.NullHandler()])
