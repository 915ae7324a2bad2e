"""Attempts and the decisions behind them, made without a dispatcher."""

from __future__ import annotations

from typing import Any

from quorate.dispatch.attempt import Attempt
from quorate.dispatch.stopwatch import Stopwatch
from quorate.ledger.budgets import Budgets
from quorate.ledger.settings import BudgetSettings
from quorate.request import Decision, Request, TextPrompt
from quorate.routing.choose import choose_plan
from quorate.routing.request import RoutingRequest
from support.routing_cases import service, vote

ASKED = Request(TextPrompt("four"), request_id="r", key="alice")


def decision(*models: str, **rest: Any) -> Decision:
    """A vote of these models, which are all there is; further facts are those of the request."""
    return choose_plan(RoutingRequest(vote(*models), **rest), service(*models))


def attempt(decided: Decision | None = None, **known: Any) -> Attempt:
    """An attempt of which nothing is held, at a vote of model ``a`` unless the test says else."""
    fields = {
        "attempt_id": "i",
        "request": ASKED,
        "decision": decided or decision("a"),
        "started_at": 0.0,
        "stopwatch": Stopwatch(),
        "hold": Budgets(BudgetSettings()).reserve("", None, None),
    }
    return Attempt(**{**fields, **known})
