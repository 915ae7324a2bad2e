"""Attempts and the decisions behind them, made without a dispatcher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quorate.dispatch.attempt import Attempt
from quorate.dispatch.stopwatch import Stopwatch
from quorate.ledger.budgets import Budgets
from quorate.ledger.settings import BudgetSettings
from quorate.request import (
    Alignment,
    CombinationRule,
    Decision,
    FailurePolicy,
    Request,
    TextPrompt,
    WeightedModel,
    Weighting,
)
from quorate.routing.choose import choose_plan
from quorate.routing.request import RoutingRequest
from support.routing_cases import service, vote

ASKED = Request(TextPrompt("four"), request_id="r", key="alice")


def decision(*models: str, **rest: Any) -> Decision:
    """The choice of a vote of these models, which are all there is; ``rest`` is asked with it."""
    return choose_plan(RoutingRequest(vote(*models), **rest), service(*models))


def vote_decision(weights: Mapping[str, float], **facts: Any) -> Decision:
    """A linear vote by these weights that nobody chose, with a context of 512 and a seed of 7."""
    known = {
        "rule": CombinationRule.LINEAR,
        "alignment": Alignment.SAME_VOCABULARY,
        "weighting": Weighting.STATIC,
        "on_failure": FailurePolicy.AUTO,
        "context_tokens": 512,
        "seed": 7,
        **facts,
    }
    return Decision(tuple(map(WeightedModel, weights, weights.values())), **known)


def attempt(decided: Decision | None = None, **known: Any) -> Attempt:
    """An attempt of which nothing is held, at a vote of model ``a`` unless the test says else."""
    fields = {
        "attempt_id": "i",
        "request": ASKED,
        "decision": decided or decision("a"),
        "started_at": 0.0,
        "stopwatch": Stopwatch(),
        "hold": Budgets(BudgetSettings()).hold("", None, None),
    }
    return Attempt(**{**fields, **known})
