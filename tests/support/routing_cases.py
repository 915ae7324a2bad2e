"""Services and requests for tests of the router, in which every figure is chosen by the test."""

from __future__ import annotations

from typing import Any

from quorate.costs.cost_model import CostModel
from quorate.costs.prediction import EnergyModel, RunModel
from quorate.fleet.status import ModelState, ModelStatus
from quorate.ledger.price_book import PriceBook, PriceOverride
from quorate.ledger.prices import Price
from quorate.request import (
    Candidate,
    Clause,
    Decision,
    EnergyTier,
    Plan,
    PlanChoice,
    Rejection,
    WeightedModel,
)
from quorate.routing.choose import choose_plan
from quorate.routing.request import RoutingRequest
from quorate.routing.snapshot import RemoteStatus, Snapshot

SPREAD = 2.0
"""Nine answers of ten take no more than twice what is expected, in time and energy."""


def status(model: str, state: ModelState = ModelState.READY, **known: Any) -> ModelStatus:
    """A model that shares its vocabulary with all others, unless the test says otherwise."""
    facts = {
        "vocabulary_fingerprint": "same",
        "context_length": 512,
        "sessions": 32,
        "has_bytes": True,
        **known,
    }
    return ModelStatus(model, state, "scripted", **facts)


def took(time_ms: float, joules: float | None = None) -> CostModel:
    """What is known of a plan that takes the same for every request."""
    energy = None
    if joules is not None:
        energy = EnergyModel((joules, 0, 0, 0, 0, 0), SPREAD, EnergyTier.MEASURED)
    return CostModel(RunModel(10, (time_ms, 0, 0, 0, 0), SPREAD, energy_model=energy))


def service(*models: ModelStatus | str, **rest: Any) -> Snapshot:
    """A snapshot of these models; a name stands for one that is ready."""
    statuses = [status(model) if isinstance(model, str) else model for model in models]
    return Snapshot({model.id: model for model in statuses}, **rest)


def vote(*models: str) -> Plan:
    """An equal vote."""
    return Plan(tuple(map(WeightedModel, models)))


def usd_per_mtok(prompt: float, generated: float) -> Price:
    """A price that the operator set."""
    price = PriceBook(None).price("big", override=PriceOverride(prompt, generated))
    assert price is not None
    return price


def remotes(*several: RemoteStatus) -> dict[str, RemoteStatus]:
    """Remotes by name; without any, one that is free and knows no limits."""
    return {one.name: one for one in several or (RemoteStatus("far", usd_per_mtok(0.0, 0.0)),)}


def name_of(asked: PlanChoice | None, snapshot: Snapshot, **rest: Any) -> str:
    """Name of the candidate that is chosen for a request."""
    return choose_plan(RoutingRequest(asked, **rest), snapshot).route.name


def chosen(decision: Decision) -> Candidate:
    """The one candidate that was chosen."""
    [one] = [candidate for candidate in decision.route.candidates if candidate.chosen]
    assert one.name == decision.route.name
    return one


def clauses(decision: Decision) -> dict[str, list[Clause]]:
    """What speaks against each candidate."""
    return {
        one.name: [rejection.clause for rejection in one.rejections]
        for one in decision.route.candidates
    }


def figures(rejection: Rejection | None) -> tuple[Clause, float | None, float | None]:
    """Clause, predicted and limit."""
    assert rejection is not None
    assert rejection.message
    return rejection.clause, rejection.predicted, rejection.limit
