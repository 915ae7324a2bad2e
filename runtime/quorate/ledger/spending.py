"""Questions to the ledger and its answers."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

from quorate.request import EnergyTier


class Dimension(Enum):
    """What spending can be summed by. A day is one of UTC, such as ``2026-11-24``."""

    MODEL = "model"
    PROFILE = "profile"
    KEY = "key"
    DAY = "day"
    PLAN_KIND = "plan_kind"
    TASK = "task"


@dataclass(frozen=True, slots=True)
class SpendFilter:
    """Which spending counts; None counts all, and "" that without such a name."""

    key: str | None = None
    profile: str | None = None
    model: str | None = None
    task: str | None = None
    plan_kind: str | None = None


@dataclass(frozen=True, slots=True)
class ChargeFilter:
    """Which charges are listed; None lists all.

    Attributes:
        model: Those in which this model had a part.
        since: Those that ended then or later, in UTC epoch seconds.
        until: Those that ended before.
    """

    key: str | None = None
    profile: str | None = None
    model: str | None = None
    task: str | None = None
    plan_kind: str | None = None
    outcome: str | None = None
    request_id: str | None = None
    since: float | None = None
    until: float | None = None


@dataclass(frozen=True, slots=True)
class SpendRow:
    """Sums of one group.

    By model, attempts and tokens are those the model had a part in: an ensemble of two counts in
    two rows. Joules and dollars are divided among the models and add up to the whole; what belongs
    to no model stands in the row of the model "".

    Attributes:
        group: Value of each dimension that was asked for.
        attempts: Charges; a request that fell back counts for each attempt.
        joules: Sum over the attempts whose energy is known; None where none is.
        attempts_without_joules: Attempts whose energy is not known.
        tier: The less certain way in which a part of ``joules`` is known.
        usd: Sum over the attempts that have a price; None where none has.
    """

    group: dict[Dimension, str]
    attempts: int
    prompt_tokens: int
    cached_prompt_tokens: int
    generated_tokens: int
    joules: float | None
    attempts_without_joules: int
    tier: EnergyTier
    usd: Decimal | None


@dataclass(frozen=True, slots=True)
class SpendEvent:
    """Something spent in the past, to fill the windows of a budget with.

    Attributes:
        at: When, in UTC epoch seconds.
        key: Name of the caller's key, or "".
    """

    at: float
    key: str
    joules: float | None
    usd: Decimal | None
