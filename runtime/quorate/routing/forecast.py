"""What a candidate will take for one request, from what such votes took on this machine before."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from quorate.costs.cost_model import CostModel
from quorate.costs.prediction import EnergyPrediction, RunShape
from quorate.costs.prompts import PromptSizeModel
from quorate.fleet.status import ModelStatus
from quorate.request import DecidedAnswers, Decision, EnergyTier, Forecast, lowest_tier
from quorate.routing.request import RoutingRequest
from quorate.routing.snapshot import RemoteStatus, ResolvedPlan, Snapshot

_ASSUMED_ESCALATIONS = 0.5
# Where fewer requests of a cascade go on than this, nine of ten end with the first stage.
_RARE = 0.1


def vote_key(decision: Decision) -> str:
    """Key of what a vote costs: members and manner, whatever the request and the weights."""
    models = "+".join(member.model for member in decision.members)
    if len(decision.members) == 1:
        return f"single:{models}"
    manner = f"{decision.alignment.value}:{decision.weighting.value}"
    if (gate := decision.gate) is not None:
        share = "" if gate.share is None else f":{gate.share:g}"
        manner += f":{gate.leader}:{gate.threshold:g}{share}"
    return f"ensemble:{models}:{manner}"


def forecast_local(
    plan: ResolvedPlan,
    request: RoutingRequest,
    snapshot: Snapshot,
    known: dict[str, Forecast] | None = None,
) -> Forecast:
    """What a local plan will take, waiting for its turn included.

    A cascade takes its first stage, and each further one as often as it was asked for; whole
    answers that vote take all of them. ``known``
    are votes that were forecast for this choice already, by key, and grows: several plans may share
    a vote, which is worked out once.
    """
    if not plan.stages:
        return Forecast()
    votes = {} if known is None else known
    for key, stage in zip(plan.keys, plan.stages, strict=True):
        if key not in votes:
            votes[key] = _vote(key, stage.decision, request, snapshot)
    if plan.answers is not None:
        return _waiting(_of_answers(plan.answers, [votes[key] for key in plan.keys]), snapshot)
    total = votes[plan.keys[0]]
    share = snapshot.escalations.get(plan.name, _ASSUMED_ESCALATIONS)
    reached = 1.0
    for key in plan.keys[1:]:
        reached *= share
        total = _then(total, votes[key], reached)
    return _waiting(total, snapshot)


def _waiting(total: Forecast, snapshot: Snapshot) -> Forecast:
    wait = snapshot.queue.wait_ms
    if not wait:
        return total
    return replace(
        total, time_ms=_sum(total.time_ms, wait), time_q90_ms=_sum(total.time_q90_ms, wait)
    )


def _of_answers(answers: DecidedAnswers, alone: Sequence[Forecast]) -> Forecast:
    """Whole answers of members, each as what it takes alone.

    All of them, one after the other: members that answer at once share the cores, and that the
    outcome is often settled before the last answer is not counted on. Where they are scored every
    member reads every answer, which takes no more than to make it.
    """
    each = 1 if answers.judge is None else 1 + len(alone)

    def all_of(values: Sequence[float | None]) -> float | None:
        return _scaled(_where_known(sum, values), answers.samples * each)

    limits = (one.limited_by_tokens for one in alone)
    return Forecast(
        time_ms=all_of([one.time_ms for one in alone]),
        time_q90_ms=all_of([one.time_q90_ms for one in alone]),
        joules=all_of([one.joules for one in alone]),
        joules_q90=all_of([one.joules_q90 for one in alone]),
        tier=lowest_tier([one.tier for one in alone]),
        prompt_tokens=max(one.prompt_tokens for one in alone),
        generated_tokens=max(one.generated_tokens for one in alone),
        cold=any(one.cold for one in alone),
        limited_by_tokens=next((one for one in limits if one is not None), None),
    )


def forecast_remote(remote: RemoteStatus, request: RoutingRequest, snapshot: Snapshot) -> Forecast:
    """What a remote will take: measured where it was asked before, else as the operator expects."""
    known = snapshot.costs.get(f"remote:{remote.name}")
    prompt = PromptSizeModel().tokens(request.prompt_bytes)
    generated = float(request.max_tokens)
    time, likely, cold = _expected_remote(remote, generated)
    limited = None if time is None else request.max_tokens
    if known is not None and not known.run.cold:
        prompt = known.prompt_tokens(request.prompt_bytes, request.chat)
        lengths = known.lengths(request.task)
        generated = lengths.expected(request.max_tokens)
        shape = RunShape(prompt, generated)
        long_tokens = lengths.quantile(0.9, request.max_tokens)
        longest = RunShape(prompt, long_tokens)
        time = known.run.time(shape).mean_ms
        likely, cold = known.run.time(longest).q90_ms, False
        limited = _limited(long_tokens, request.max_tokens, time, known.run.time(longest).mean_ms)
    usd = ceiling = None
    if remote.price is not None:
        usd = float(remote.price.cost(math.ceil(prompt), 0, math.ceil(generated)))
        ceiling = float(remote.price.ceiling(request.prompt_token_bound, request.max_tokens))
    return Forecast(
        time_ms=time,
        time_q90_ms=likely,
        usd=usd,
        usd_ceiling=ceiling,
        prompt_tokens=prompt,
        generated_tokens=generated,
        cold=cold,
        limited_by_tokens=limited,
    )


def _vote(key: str, decision: Decision, request: RoutingRequest, snapshot: Snapshot) -> Forecast:
    known = snapshot.costs.get(key)
    if known is None or known.run.cold:
        return _from_members(decision, request, snapshot)
    batch, queue = 1, 0.0
    for member in decision.members:
        active = snapshot.active.get(member.model, 0)
        batch = max(batch, 1 + active)
        queue = max(queue, _full_rounds(snapshot.models.get(member.model), active))
    return _measured(known, request, batch, queue)


def _measured(known: CostModel, request: RoutingRequest, batch: int, queue: float) -> Forecast:
    """One vote: the time of an answer of median length, and the energy of one of mean length.

    Half of the answers shall take no longer than the time says, but joules add up. Its busiest
    member answers ``batch`` requests at once, this one included, and it waits ``queue`` times its
    own length for sessions.
    """
    model, lengths = known.run, known.lengths(request.task)
    prompt = known.prompt_tokens(request.prompt_bytes, request.chat)
    expected = lengths.expected(request.max_tokens)
    usual = known.shape(prompt, expected, batch, request.task)
    typical = known.shape(prompt, lengths.quantile(0.5, request.max_tokens), batch, request.task)
    long_tokens = lengths.quantile(0.9, request.max_tokens)
    long = known.shape(prompt, long_tokens, batch, request.task)
    time, energy, much = model.time(typical), model.energy(usual), model.energy(long)
    long_ms = model.time(long).mean_ms
    return Forecast(
        time_ms=time.mean_ms * (1.0 + queue),
        time_q90_ms=_likely(time.mean_ms, time.q90_ms, long_ms) * (1.0 + queue),
        joules=None if energy is None else energy.joules,
        joules_q90=_likely_joules(energy, much),
        tier=EnergyTier.UNAVAILABLE if energy is None else energy.tier,
        prompt_tokens=prompt,
        generated_tokens=expected,
        cold=False,
        limited_by_tokens=_limited(long_tokens, request.max_tokens, time.q90_ms, long_ms),
    )


def _limited(tokens: float, most: int, spread_ms: float, long_ms: float) -> int | None:
    """The limit on tokens, where it and nothing else is what nine answers of ten are held by.

    Args:
        tokens: What nine answers of ten do not exceed.
        most: The limit.
        spread_ms: What nine of ten answers of usual length do not exceed.
        long_ms: What one of ``tokens`` takes.
    """
    return most if tokens >= most and long_ms >= spread_ms else None


def _likely(usual: float, spread: float, long: float) -> float:
    """What nine of ten do not exceed, where both the answer's length and its cost vary.

    The two are taken for independent and log-normal: their deviations add up as squares of logs.

    Args:
        usual: For an answer of usual length.
        spread: What nine of ten answers of that length do not exceed.
        long: For an answer longer than nine of ten.
    """
    if usual <= 0:
        return max(spread, long)
    return usual * math.exp(
        math.hypot(*(math.log(max(1.0, one / usual)) for one in (spread, long)))
    )


def _likely_joules(usual: EnergyPrediction | None, long: EnergyPrediction | None) -> float | None:
    if usual is None or long is None:
        return None
    return _likely(usual.joules, usual.q90_joules, long.joules)


def _from_members(decision: Decision, request: RoutingRequest, snapshot: Snapshot) -> Forecast:
    """A vote that was never measured, by what its members take alone, as far as they are known.

    It is as slow as its slowest member and takes the energy of all. What the vote itself adds, and
    members that were never measured either, are left out: that is optimistic, so that it gets a
    chance to be measured, and rules out what cannot be in time whatever they take.
    """
    alone = [_alone(member.model, request, snapshot) for member in decision.members]
    known = [one for one in alone if not one.cold]
    prompt = max((one.prompt_tokens for one in alone), default=0.0)
    if not known:
        return Forecast(prompt_tokens=prompt, generated_tokens=float(request.max_tokens))
    return Forecast(
        time_ms=_where_known(max, [one.time_ms for one in known]),
        time_q90_ms=_where_known(max, [one.time_q90_ms for one in known]),
        joules=_where_known(sum, [one.joules for one in known]),
        joules_q90=_where_known(sum, [one.joules_q90 for one in known]),
        tier=lowest_tier([one.tier for one in known]),
        prompt_tokens=prompt,
        generated_tokens=max(one.generated_tokens for one in known),
        cold=True,
        limited_by_tokens=max(known, key=lambda one: one.time_q90_ms or 0.0).limited_by_tokens,
    )


def _alone(model: str, request: RoutingRequest, snapshot: Snapshot) -> Forecast:
    known = snapshot.costs.get(f"single:{model}")
    if known is None or known.run.cold:
        return Forecast(prompt_tokens=PromptSizeModel().tokens(request.prompt_bytes))
    active = snapshot.active.get(model, 0)
    queue = _full_rounds(snapshot.models.get(model), active)
    return _measured(known, request, 1 + active, queue)


def _expected_remote(
    remote: RemoteStatus, generated: float
) -> tuple[float | None, float | None, bool]:
    if not remote.tokens_per_second:
        return None, None, True
    time = remote.first_token_ms + generated / remote.tokens_per_second * 1000.0
    return time, time, True


def _full_rounds(model: ModelStatus | None, active: int) -> float:
    """How many times its own length a request waits for a session of a model."""
    if model is None or not model.sessions or active < model.sessions:
        return 0.0
    return (active + 1 - model.sessions) / model.sessions


def _then(first: Forecast, second: Forecast, share: float) -> Forecast:
    """A stage that follows another for a share of the requests."""
    likely = share >= _RARE
    q90 = _sum(first.time_q90_ms, second.time_q90_ms) if likely else first.time_q90_ms
    joules_q90 = _sum(first.joules_q90, second.joules_q90) if likely else first.joules_q90
    return Forecast(
        time_ms=_sum(first.time_ms, _scaled(second.time_ms, share)),
        time_q90_ms=q90,
        joules=_sum(first.joules, _scaled(second.joules, share)),
        joules_q90=joules_q90,
        tier=lowest_tier([first.tier, second.tier]),
        prompt_tokens=max(first.prompt_tokens, second.prompt_tokens),
        generated_tokens=max(first.generated_tokens, second.generated_tokens),
        cold=first.cold or second.cold,
        limited_by_tokens=first.limited_by_tokens or (second.limited_by_tokens if likely else None),
    )


def _sum(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first + second


def _scaled(value: float | None, share: float) -> float | None:
    return None if value is None else value * share


def _where_known(
    combine: Callable[[Sequence[float]], float], values: Sequence[float | None]
) -> float | None:
    known = [value for value in values if value is not None]
    return combine(known) if len(known) == len(values) else None
