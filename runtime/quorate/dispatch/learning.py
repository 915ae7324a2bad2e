"""What finished attempts teach about the cost of plans."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from quorate.costs.cost_model import MAX_PLANS, CostModels, FinishedRun
from quorate.costs.prediction import RunShape
from quorate.dispatch.attempt import Attempt, RemoteCall, Run
from quorate.request import ChatPrompt, Energy, FinishReason, total_energy
from quorate.routing.forecast import vote_key

_CUT_OFF = frozenset(
    {
        FinishReason.MAX_TOKENS,
        FinishReason.MAX_BYTES,
        FinishReason.CONTEXT_FULL,
        FinishReason.CONTENT_FILTER,
    }
)
# A reader that held a stream up for more than this share of it says nothing of the model's speed.
_MAX_STALLED = 0.2
_SMOOTHING = 0.05
_ALL_OF = 128
_PAUSE_SECONDS = 0.05
_FIRST_RATE = 0.5
# Callers may spell out any cascade, so there is a limit to those that are remembered.
_MAX_CASCADES = 512


class Lessons:
    """Which runs are learned from: every one of a plan that ran seldom, else some in a second.

    What a run teaches takes as long to work out as all else of a short request, and of a plan that
    answers hundreds in a second each says what the last one said.

    Args:
        clock: Seconds that never run backwards; tests inject their own.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # Runs of each plan that were learned from, and when the next one will be.
        self._learned: dict[str, tuple[int, float]] = {}

    def wanted(self, plan: str) -> bool:
        """Whether a run of this plan, which ends now, is one of them."""
        now = self._clock()
        count, due = self._learned.pop(plan, (0, now))
        wanted = count < _ALL_OF or now >= due
        self._learned[plan] = (count + 1, now + _PAUSE_SECONDS) if wanted else (count, due)
        if len(self._learned) > MAX_PLANS:
            del self._learned[next(iter(self._learned))]
        return wanted


class Escalations:
    """How often each cascade asks its next stage: a mean in which the latest counts most."""

    def __init__(self) -> None:
        self._rates: dict[str, float] = {}

    @property
    def rates(self) -> Mapping[str, float]:
        """Share of the requests that went on, by name of the cascade's candidate."""
        return self._rates

    def observe(self, name: str, went_on: bool) -> None:
        """Learns one request."""
        rate = self._rates.pop(name, _FIRST_RATE)
        self._rates[name] = rate + _SMOOTHING * (float(went_on) - rate)
        if len(self._rates) > _MAX_CASCADES:
            del self._rates[next(iter(self._rates))]


def learn(
    costs: CostModels,
    lessons: Lessons,
    attempt: Attempt,
    batch: float,
    energies: Mapping[str, Energy],
) -> None:
    """Teaches the cost models what each vote of an attempt took, or its remote.

    The attempt ended with an answer; ``batch`` requests, on average, used its busiest model.
    """
    if attempt.remote is not None:
        _learn_remote(costs, attempt, attempt.remote)
        return
    if attempt.outcome is not None:
        # Answers that were made beside each other took longer than alone.
        return
    models = [model for run in attempt.runs for model in run.ensemble.work()]
    for run in attempt.runs:
        told = energies if len(models) == len(set(models)) else {}
        if lessons.wanted(key := vote_key(run.decision)):
            _learn_run(costs, key, attempt, run, batch, told)


def _learn_run(
    costs: CostModels,
    key: str,
    attempt: Attempt,
    run: Run,
    batch: float,
    energies: Mapping[str, Energy],
) -> None:
    if run.ended_at is None or run.reason is None:
        return
    seconds = run.ended_at - run.started_at - run.waited_seconds
    if run.stalled_seconds > _MAX_STALLED * seconds or run.ensemble.was_disturbed:
        return
    usages = run.ensemble.usage()
    longest = max(usages, key=lambda usage: usage.prompt_tokens)
    cached = longest.cached_prompt_tokens
    energy = total_energy([energies.get(usage.model, Energy()) for usage in usages])
    first = None
    if run.first_token_at is not None:
        first = (run.first_token_at - run.started_at - run.waited_seconds) * 1000.0
    costs.observe(
        key,
        FinishedRun(
            shape=RunShape(longest.prompt_tokens - cached, run.length, batch, cached),
            duration_ms=seconds * 1000.0,
            first_token_ms=first,
            joules=energy.joules,
            tier=energy.tier,
            complete=run.reason not in _CUT_OFF,
            task=attempt.decision.route.task,
            prompt_bytes=attempt.request.prompt.size_bytes,
            chat=isinstance(attempt.request.prompt, ChatPrompt),
        ),
    )


def _learn_remote(costs: CostModels, attempt: Attempt, call: RemoteCall) -> None:
    if not call.complete or call.prompt_tokens is None:
        return
    cached = min(call.cached_prompt_tokens, call.prompt_tokens)
    costs.observe(
        f"remote:{call.name}",
        FinishedRun(
            shape=RunShape(call.prompt_tokens - cached, call.generated_tokens, 1.0, cached),
            duration_ms=attempt.stopwatch.duration_ms,
            first_token_ms=attempt.stopwatch.time_to_first_token_ms,
            complete=True,
            task=attempt.decision.route.task,
            prompt_bytes=attempt.request.prompt.size_bytes,
            chat=isinstance(attempt.request.prompt, ChatPrompt),
        ),
    )
