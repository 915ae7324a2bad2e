"""What the ledger keeps of plans as JSON, as protobuf. Pure.

Rows of other versions lack what was not written then, and may say more; what cannot be read is left
out, since the JSON itself stands beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from quorate.v1 import plan_pb2

_MOST_CHARACTERS = 65_536
"""What is longer is not read: a page has up to a thousand of them."""

_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, RecursionError)

_FORECAST = (
    "time_ms",
    "time_q90_ms",
    "joules",
    "joules_q90",
    "usd",
    "usd_ceiling",
    "limited_by_tokens",
)


def considered(text: str) -> list[plan_pb2.Candidate]:
    """The candidates of a charge."""
    try:
        return [_candidate(entry) for entry in _read(text)]
    except _UNREADABLE:
        return []


def decided(text: str) -> plan_pb2.Plan | None:
    """The plan of a charge; None where a remote was asked."""
    plan = plan_pb2.Plan()
    try:
        entry = _read(text)
        if "stages" in entry:
            for stage in entry["stages"]:
                _fill_vote(plan.cascade.stages.add(confidence=stage["confidence"]), stage)
        elif "answers" in entry:
            _fill_answers(plan.answers, entry)
        elif "members" in entry:
            _fill_vote(plan, entry)
    except _UNREADABLE:
        return None
    return plan if plan.WhichOneof("kind") else None


def _read(text: str) -> Any:
    if len(text) > _MOST_CHARACTERS:
        raise ValueError("too long")
    return json.loads(text)


def _candidate(entry: Mapping[str, Any]) -> plan_pb2.Candidate:
    forecast = entry.get("forecast", {})
    return plan_pb2.Candidate(
        name=entry.get("name", ""),
        kind=_number(plan_pb2.PlanKind, "PLAN_KIND", entry.get("kind")),
        models=entry.get("models", ()),
        quality=entry.get("quality"),
        cost=entry.get("cost"),
        chosen=bool(entry.get("chosen")),
        cold=bool(forecast.get("cold")),
        **{name: forecast.get(name) for name in _FORECAST},
        rejections=[
            plan_pb2.Rejection(
                clause=_number(plan_pb2.Clause, "CLAUSE", one.get("clause")),
                message=one.get("message", ""),
                predicted=one.get("predicted"),
                limit=one.get("limit"),
            )
            for one in entry.get("rejections", ())
        ],
    )


def _fill_vote(target: plan_pb2.Plan | plan_pb2.CascadeStage, entry: Mapping[str, Any]) -> None:
    members = entry["members"]
    if len(members) == 1:
        target.single.model = next(iter(members))
        return
    ensemble = target.ensemble
    for model, weight in members.items():
        ensemble.members.add(model=model, weight=weight)
    rule, alignment, weighting = plan_pb2.CombinationRule, plan_pb2.Alignment, plan_pb2.Weighting
    ensemble.rule = _number(rule, "COMBINATION_RULE", entry.get("rule"))
    ensemble.alignment = _number(alignment, "ALIGNMENT", entry.get("alignment"))
    ensemble.weighting = _number(weighting, "WEIGHTING", entry.get("weighting"))


def _fill_answers(target: plan_pb2.AnswersPlan, entry: Mapping[str, Any]) -> None:
    for model, weight in entry["answers"].items():
        target.members.add(model=model, weight=weight)
    target.samples = entry.get("samples", 1)
    target.select = _number(plan_pb2.Selection, "SELECTION", entry.get("select"))
    target.compare = _number(plan_pb2.Comparison, "COMPARISON", entry.get("compare"))
    target.weighting = _number(plan_pb2.Weighting, "WEIGHTING", entry.get("weighting"))


def _number(kind: Any, prefix: str, value: Any) -> Any:
    """The number of a value that is written in lower case; 0 where this version has none such."""
    try:
        return kind.Value(f"{prefix}_{value}".upper())
    except ValueError:
        return 0
