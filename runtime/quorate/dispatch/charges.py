"""From an attempt to its row in the ledger."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from quorate.dispatch.attempt import Attempt
from quorate.foreign_text import one_line
from quorate.ledger.charges import Charge, ModelCharge, Reservation
from quorate.ledger.money import from_float
from quorate.request import (
    Candidate,
    DecidedAnswers,
    Decision,
    EnergyTier,
    Forecast,
    ModelUsage,
    Rejection,
    Usage,
    total_energy,
)

MAX_TEXT_CHARACTERS = 16_384
"""Of the plan of a row, and of its candidates: a row is kept for years."""
_MESSAGE_CHARACTERS = 300
_OF_FORECASTS = tuple(field.name for field in fields(Forecast))


def reservation(attempt: Attempt, policy_version: str, prompt_hash: str) -> Reservation:
    """What is written down before an attempt begins."""
    decision, request = attempt.decision, attempt.request
    return Reservation(
        attempt_id=attempt.attempt_id,
        request_id=request.request_id,
        started_at=attempt.started_at,
        plan_kind=decision.route.kind.value,
        model=decision.route.remote,
        key=request.key,
        policy_version=policy_version,
        plan=plan_json(decision),
        profile=decision.profile,
        task=decision.route.task,
        candidates=candidates_json(decision),
        clause=_clause(decision),
        price_version="" if attempt.price is None else attempt.price.version,
        reserved_usd=attempt.reserved_usd,
        prompt_hash=prompt_hash,
    )


def charge(
    before: Reservation,
    attempt: Attempt,
    usage: Usage,
    outcome: str,
    finished_at: float,
) -> Charge:
    """The row of an attempt that ended, at a time in UTC epoch seconds."""
    energy = total_energy([model.energy for model in usage.models])
    return Charge(
        **before.entry(),
        finished_at=finished_at,
        outcome=outcome,
        finish_reason="" if attempt.reason is None else attempt.reason.value,
        prompt_tokens=usage.prompt_tokens,
        cached_prompt_tokens=usage.cached_prompt_tokens,
        generated_tokens=usage.generated_tokens,
        time_to_first_token_ms=usage.time_to_first_token_ms,
        time_per_token_ms=usage.time_per_token_ms,
        duration_ms=usage.duration_ms,
        joules=energy.joules,
        tier=energy.tier,
        idle_joules=None if attempt.job is None else attempt.job.idle_joules,
        usd=attempt.usd(),
        models=tuple(_part(model) for model in usage.models),
    )


def plan_json(decision: Decision) -> str:
    """The plan that runs, as JSON; of a plan too large for a row only how large it is."""
    route = decision.route
    if route.remote:
        return _json({"remote": route.remote})
    if route.answers is not None:
        return _kept({"members": len(decision.members)}, _answers(decision, route.answers))
    if not route.stages:
        return _kept({"members": len(decision.members)}, _vote(decision))
    told = [{**_vote(one.decision), "confidence": one.confidence} for one in route.stages]
    return _kept({"stages": len(told)}, {"stages": told})


def candidates_json(decision: Decision) -> str:
    """Candidates with their predictions and what spoke against them, as JSON.

    Where they are too many for a row, some that were not chosen are left out.
    """
    # The chosen one first, so that it has its place; then in their own order again.
    by_choice = sorted(enumerate(decision.route.candidates), key=lambda one: not one[1].chosen)
    kept: list[tuple[int, str]] = []
    room = MAX_TEXT_CHARACTERS
    for index, candidate in by_choice:
        text = _json(_candidate(candidate))
        room -= len(text) + 1
        if room < 0:
            break
        kept.append((index, text))
    return f"[{','.join(text for _, text in sorted(kept))}]"


def _vote(decision: Decision) -> dict[str, Any]:
    return {
        "members": {member.model: member.weight for member in decision.members},
        "rule": decision.rule.value,
        "alignment": decision.alignment.value,
        "weighting": decision.weighting.value,
    }


def _answers(decision: Decision, answers: DecidedAnswers) -> dict[str, Any]:
    return {
        "answers": {member.model: member.weight for member in decision.members},
        "samples": answers.samples,
        "select": answers.select.value,
        "compare": answers.compare.value,
        "weighting": answers.weighting.value,
    }


def _candidate(candidate: Candidate) -> dict[str, Any]:
    known = ((name, getattr(candidate.forecast, name)) for name in _OF_FORECASTS)
    told = {
        name: value.value if isinstance(value, EnergyTier) else value
        for name, value in known
        if value is not None
    }
    return {
        "name": one_line(candidate.name, _MESSAGE_CHARACTERS),
        "kind": candidate.kind.value,
        "models": candidate.models,
        "chosen": candidate.chosen,
        "quality": candidate.quality,
        "cost": candidate.cost,
        "forecast": told,
        "rejections": [_rejection(one) for one in candidate.rejections],
    }


def _rejection(rejection: Rejection) -> dict[str, Any]:
    told = {"predicted": rejection.predicted, "limit": rejection.limit}
    known = {name: value for name, value in told.items() if value is not None}
    message = one_line(rejection.message, _MESSAGE_CHARACTERS)
    return {"clause": rejection.clause.value, "message": message, **known}


def _kept(size: dict[str, int], whole: dict[str, Any]) -> str:
    text = _json(whole)
    return text if len(text) <= MAX_TEXT_CHARACTERS else _json({"left_out": size})


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _clause(decision: Decision) -> str:
    over = decision.route.over_budget
    return "" if over is None else over.clause.value


def _part(usage: ModelUsage) -> ModelCharge:
    return ModelCharge(
        model=usage.model,
        prompt_tokens=usage.prompt_tokens,
        cached_prompt_tokens=usage.cached_prompt_tokens,
        generated_tokens=usage.generated_tokens,
        busy_ms=usage.busy_ms,
        joules=usage.energy.joules,
        tier=usage.energy.tier,
        usd=None if usage.usd is None else from_float(usage.usd),
    )
