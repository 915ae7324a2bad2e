"""How a line of the log is written; where it goes is for ``logs``."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

from quorate.foreign_text import one_line

_TRACEBACK_LINES = 200


def log_formatter(name: str) -> logging.Formatter:
    """The formatter for ``text`` or ``json``."""
    if name == "json":
        return JsonFormatter()
    return CleanFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s")


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


class JsonFormatter(logging.Formatter):
    """An object a line: time, level, logger, message; of a call its fields instead of that."""

    def format(self, record: logging.LogRecord) -> str:
        """Writes a record, with its traceback where it has one."""
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        fields = getattr(record, "fields", None)
        if fields is None:
            told["message"] = one_line(record.getMessage())
        else:
            told.update(fields)
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json.dumps(told, default=str)
