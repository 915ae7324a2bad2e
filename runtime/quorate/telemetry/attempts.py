"""What there is to tell of an attempt once it is settled. No text of a prompt or an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from quorate.request import (
    Decision,
    FinishReason,
    ModelUsage,
    NoticeKind,
    SamplingOptions,
    StepTimes,
    Usage,
)


@dataclass(frozen=True, slots=True)
class SettledRun:
    """One vote of an attempt: all of it, or a stage of its cascade. Moments are UTC epoch seconds.

    Attributes:
        first_token_at: When its first token was decided; None where there was none.
        ended_at: When its last one was; for one that never ended, when the attempt did.
        waited_seconds: What it waited for sessions.
        stalled_seconds: What it waited for a slow reader.
        reason: Why its answer ended; None where it did not.
        models: What its members took, without energy, which is metered for the attempt as a whole.
        drafted: Symbols guessed ahead of the choice, by members or from what was said before:
            bytes where those are voted on, and tokens elsewhere.
        accepted: Those of them that were chosen.
        times: Where the time of its steps went.
    """

    decision: Decision
    began_at: float
    first_token_at: float | None
    ended_at: float
    waited_seconds: float = 0.0
    stalled_seconds: float = 0.0
    reason: FinishReason | None = None
    models: tuple[ModelUsage, ...] = ()
    drafted: int = 0
    accepted: int = 0
    times: StepTimes = field(default_factory=StepTimes)


@dataclass(frozen=True, slots=True)
class SettledCall:
    """One call of a remote. Moments are UTC epoch seconds.

    Attributes:
        ended_at: When it ended; for one that was cut short, when the attempt did.
        problem: What it failed of; "" where it did not.
    """

    began_at: float
    ended_at: float
    problem: str = ""


@dataclass(frozen=True, slots=True)
class SettledAttempt:
    """One attempt at a request. Moments are UTC epoch seconds.

    Attributes:
        operation: ``generate`` or ``score``.
        trace_parent: The caller's trace, as W3C writes it, or "".
        outcome: ``finished``, ``failed``, ``cancelled`` or ``probe``.
        error: Name of the error it failed of, or "".
        arrived_at: When the request arrived.
        began_at: When it had its turn.
        sampling: As it was asked for; None for a score.
        max_tokens: As it was asked for; None where it was not.
        runs: Its votes; none where a remote answers.
        calls: Calls of the remote that left this machine, those that were tried again included.
        notices: How many notices of each kind its reader was given.
    """

    operation: str
    request_id: str
    decision: Decision
    outcome: str
    arrived_at: float
    began_at: float
    ended_at: float
    usage: Usage
    error: str = ""
    reason: FinishReason | None = None
    trace_parent: str = ""
    sampling: SamplingOptions | None = None
    max_tokens: int | None = None
    runs: tuple[SettledRun, ...] = ()
    calls: tuple[SettledCall, ...] = ()
    notices: Mapping[NoticeKind, int] = field(default_factory=dict)


class AttemptObserver(Protocol):
    """Takes note of attempts. Called on the event loop: it returns at once and raises nothing."""

    def settled(self, attempt: SettledAttempt) -> None:
        """An attempt was settled."""
        ...
