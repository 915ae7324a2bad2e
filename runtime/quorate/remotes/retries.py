"""When a call is tried again. Pure decisions: no clock, no sleeping."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from email.utils import parsedate_to_datetime

from quorate.remotes.failures import Failure

_FIRST_SECONDS = 0.5
_LONGEST_SECONDS = 8.0
_LONGEST_WAIT_SECONDS = 60.0
_DAY_SECONDS = 86400.0


def wait_seconds(
    failure: Failure, retry: int, remaining_seconds: float | None, draw: Callable[[], float]
) -> float | None:
    """How long to wait before the next try, or None for no further try.

    Exponential backoff with full jitter: uniform between 0 and 0.5 s doubled with each retry, up
    to 8 s (Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015). What the remote
    names in ``Retry-After`` is waited out first and the jitter comes on top. Nobody is kept waiting
    for more than a minute, nor past the deadline.

    Args:
        failure: What happened.
        retry: Retries before this one.
        remaining_seconds: Time left of the caller's deadline; None is no deadline.
        draw: A number from [0, 1).
    """
    if not failure.retryable:
        return None
    jitter = draw() * min(_LONGEST_SECONDS, _FIRST_SECONDS * 2.0 ** min(retry, 30))
    wait = (failure.retry_after_seconds or 0.0) + jitter
    if remaining_seconds is not None and wait >= remaining_seconds:
        return None
    return wait if wait <= _LONGEST_WAIT_SECONDS else None


def retry_after_seconds(value: str | None, now: float) -> float | None:
    """Reads a ``Retry-After`` header (RFC 9110, section 10.2.3): seconds or a date.

    Args:
        value: The header, or None.
        now: Seconds since the epoch.

    Returns:
        Seconds from now, from 0 to a day; None for what cannot be read.
    """
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.replace(".", "", 1).isdigit():
        return min(float(value), _DAY_SECONDS)
    try:
        moment = parsedate_to_datetime(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.UTC)
        return min(max(moment.timestamp() - now, 0.0), _DAY_SECONDS)
    except (ValueError, OverflowError):
        return None
