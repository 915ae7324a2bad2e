"""What observers are told of an attempt that was settled."""

from __future__ import annotations

import time
from collections.abc import Sequence

from quorate.dispatch.attempt import Attempt, Run, WireCall
from quorate.request import Request, Usage
from quorate.telemetry.attempts import SettledAttempt, SettledCall, SettledRun


def settled(attempt: Attempt, usage: Usage, outcome: str, now: float) -> SettledAttempt:
    """The attempt in plain values; ``now`` is UTC epoch seconds."""
    request = attempt.request
    # Runs were timed by a clock of their own.
    offset = now - time.perf_counter()
    began_at = min(attempt.started_at, now)
    asked = request if isinstance(request, Request) else None
    return SettledAttempt(
        operation="score" if asked is None else "generate",
        request_id=request.request_id,
        decision=attempt.decision,
        outcome=outcome,
        arrived_at=min(began_at, now - usage.duration_ms / 1000.0),
        began_at=began_at,
        ended_at=now,
        usage=usage,
        error=attempt.error,
        reason=attempt.reason,
        trace_parent=request.trace_parent,
        sampling=None if asked is None else asked.sampling,
        max_tokens=None if asked is None else asked.stopping.max_tokens,
        runs=tuple(_run(run, offset, now) for run in attempt.runs),
        calls=() if attempt.remote is None else _calls(attempt.remote.wire, offset, now),
        notices=attempt.notices,
    )


def _calls(wire: Sequence[WireCall], offset: float, now: float) -> tuple[SettledCall, ...]:
    return tuple(
        SettledCall(
            began_at=call.sent_at + offset,
            ended_at=now if call.ended_at is None else call.ended_at + offset,
            problem=call.problem,
        )
        for call in wire
    )


def _run(run: Run, offset: float, now: float) -> SettledRun:
    first, ended = run.first_token_at, run.ended_at
    return SettledRun(
        decision=run.decision,
        began_at=run.started_at + offset,
        first_token_at=None if first is None else first + offset,
        ended_at=now if ended is None else ended + offset,
        waited_seconds=run.waited_seconds,
        stalled_seconds=run.stalled_seconds,
        reason=run.reason,
        models=tuple(run.ensemble.usage()),
        drafted=run.ensemble.drafted,
        accepted=run.ensemble.accepted,
        times=run.ensemble.clock.times,
    )
