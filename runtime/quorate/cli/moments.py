"""Moments as they are named on the command line: a span ago, or a date."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from quorate.errors import SettingsError

_AGO = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def parse_moment(text: str, option: str, now: float) -> float:
    """Reads ``7d``, ``12h`` and the like as so long ago, and dates and times of ISO 8601.

    A date is its beginning; without an offset a time is one of UTC.

    Args:
        text: What was given.
        option: The option it was given with, for messages.
        now: The present, in seconds since 1970.

    Returns:
        The moment in seconds since 1970.

    Raises:
        SettingsError: Neither of them.
    """
    ago = _AGO.fullmatch(text)
    if ago:
        return max(0.0, now - float(ago[1]) * _SECONDS[ago[2]])
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(
            f"{option}: must be so long ago, such as 7d or 12h, or a date, such as 2026-11-01, "
            f"not {text!r}"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
