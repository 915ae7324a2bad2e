"""The one shape of what programs read: an object a line, whose first key names its kind."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def event_line(event: str, fields: Mapping[str, Any]) -> str:
    """One JSON object without its line end: its kind under ``event``, then the fields.

    Numbers that are not finite become null, which every reader of JSON takes.
    """
    return json.dumps({"event": event, **_plain(fields)}, allow_nan=False)


def print_event(event: str, fields: Mapping[str, Any]) -> None:
    """Prints such a line at once, so that whoever reads a pipe has it when it happens."""
    print(event_line(event, fields), flush=True)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
