"""How a line of the log is written; where it goes is for ``logs``."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any


def log_formatter(name: str) -> logging.Formatter:
    """The formatter for ``text`` or ``json``."""
    if name == "json":
        return JsonFormatter()
    return logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")


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
            told["message"] = record.getMessage()
        else:
            told.update(fields)
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json.dumps(told, default=str)
