"""What finished attempts teach about the cost of plans."""

from __future__ import annotations

from collections.abc import Mapping

from quorate.costs.cost_model import CostModels, FinishedRun
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
_FIRST_RATE = 0.5
# Callers may spell out any cascade, so there is a limit to those that are remembered.
_MAX_CASCADES = 512


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
    costs: CostModels, attempt: Attempt, batch: float, energies: Mapping[str, Energy]
) -> None:
    """Teaches the cost models what each vote of an attempt took, or its remote.

    The attempt ended with an answer; ``batch`` requests, on average, used its busiest model.
    """
    if attempt.remote is not None:
        _learn_remote(costs, attempt, attempt.remote)
        return
    models = [model for run in attempt.runs for model in run.ensemble.work()]
    for run in attempt.runs:
        told = energies if len(models) == len(set(models)) else {}
        _learn_run(costs, attempt, run, batch, told)


def _learn_run(
    costs: CostModels, attempt: Attempt, run: Run, batch: float, energies: Mapping[str, Energy]
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
        vote_key(run.decision),
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
