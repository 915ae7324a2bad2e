"""Limits of admission, of everybody together and of single callers."""

from __future__ import annotations

from dataclasses import dataclass

from quorate.options import option


@dataclass(frozen=True, slots=True)
class DispatchSettings:
    """How many requests run and wait, and how long an answer may be by default.

    Attributes:
        max_running: Most requests running at once.
        max_waiting: Most requests waiting for their turn; more are refused.
        default_max_tokens: Limit for requests that set none.
    """

    max_running: int = option(64, lowest=1, highest=100_000)
    max_waiting: int = option(256, lowest=0, highest=1_000_000)
    default_max_tokens: int = option(1024, lowest=1, highest=10_000_000)


@dataclass(frozen=True, slots=True)
class CallerLimits:
    """What the holder of one key may ask for; see ``access.keys.KeySettings``."""

    weight: float = 1.0
    max_requests: int = 0
    requests_per_minute: float = 0.0
    tokens_per_minute: float = 0.0
