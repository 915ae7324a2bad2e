"""What becomes of a plan or profile that a request names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from quorate.errors import ModelUnusable, OverBudget, QuorateError, Unavailable, UnsupportedPlan
from quorate.fleet.status import ModelState
from quorate.request import (
    Alignment,
    AutoPlan,
    Budget,
    CascadePlan,
    Clause,
    Plan,
    ProfilePlan,
    Stage,
    WeightedModel,
)
from quorate.routing.choose import choose_plan
from quorate.routing.quality import QualityTable
from quorate.routing.request import RoutingRequest
from quorate.routing.settings import RoutingSettings
from quorate.routing.snapshot import QueueState, Remaining, Snapshot
from support.routing_cases import clauses, name_of, remotes, service, status, took, vote

AUTO = AutoPlan()
QUALITY = QualityTable(declared={"a": 0.6, "b": 0.7})


def with_a_dear_profile(**rest: Any) -> Snapshot:
    """The default profile takes 900 ms and 900 J, the other model 1 ms and 1 J."""
    costs = {"single:a": took(900.0, 900.0), "single:b": took(1.0, 1.0)}
    profiles = {"dear": vote("a")}
    return service("a", "b", profiles=profiles, default_profile="dear", costs=costs, **rest)


@pytest.mark.parametrize("asked", [ProfilePlan("dear"), None])
def test_a_profile_that_fits_runs_although_another_plan_is_cheaper(asked: Any) -> None:
    snapshot = with_a_dear_profile(quality=QUALITY)
    decision = choose_plan(RoutingRequest(asked, budget=Budget(latency_ms=1800.0)), snapshot)
    assert decision.route.name == "profile:dear"
    assert decision.profile == "dear"
    assert [one.name for one in decision.route.candidates] == ["profile:dear"]
    assert name_of(AUTO, snapshot) != "profile:dear"


@pytest.mark.parametrize("asked", [ProfilePlan("dear"), None])
@pytest.mark.parametrize(
    ("budget", "clause"),
    [(Budget(latency_ms=1799.0), Clause.LATENCY), (Budget(energy_joules=899.0), Clause.ENERGY)],
)
def test_a_profile_over_budget_gives_way_to_a_local_plan_before_any_remote(
    asked: Any, budget: Budget, clause: Clause
) -> None:
    snapshot = with_a_dear_profile(remotes=remotes())
    decision = choose_plan(RoutingRequest(asked, budget=budget), snapshot)
    assert decision.route.name == "single:b"
    assert clauses(decision)["profile:dear"] == [clause]
    assert clauses(decision)["remote:far"] == [Clause.WITHIN_BUDGET]


DOWN = [
    (status("a", ModelState.LOADING), {}),
    (status("a", ModelState.RESTARTING), {}),
    (status("a", ModelState.FAILED), {}),
    (status("a", ModelState.UNLOADED), {}),
    (status("a"), {"wedged": frozenset("a")}),
]


@pytest.mark.parametrize("asked", [ProfilePlan("p"), None])
@pytest.mark.parametrize(("model", "rest"), DOWN)
@pytest.mark.parametrize("far", [{}, remotes()])
def test_a_profile_that_is_down_gives_way_to_another_local_plan(
    asked: Any, model: Any, rest: Any, far: Any
) -> None:
    profiles = {"p": vote("a")}
    snapshot = service(model, "b", profiles=profiles, default_profile="p", remotes=far, **rest)
    decision = choose_plan(RoutingRequest(asked), snapshot)
    assert decision.route.name == "single:b"
    assert clauses(decision)["profile:p"] == [Clause.HEALTH]


@pytest.mark.parametrize("asked", [ProfilePlan("p"), None])
def test_a_profile_that_failed_for_the_request_gives_way_to_another_local_plan(asked: Any) -> None:
    snapshot = service("a", "b", profiles={"p": vote("a")}, default_profile="p")
    request = RoutingRequest(asked, failed=frozenset({"profile:p", "single:a"}))
    assert choose_plan(request, snapshot).route.name == "single:b"


@pytest.mark.parametrize("asked", [ProfilePlan("p"), None])
@pytest.mark.parametrize(
    ("state", "error", "words"),
    [
        (ModelState.LOADING, Unavailable, "model a is loading"),
        (ModelState.UNLOADED, ModelUnusable, "a: is not loaded; call LoadModel first"),
    ],
)
def test_a_profile_that_is_down_says_so_itself_where_nothing_may_stand_in(
    asked: Any, state: ModelState, error: type[QuorateError], words: str
) -> None:
    snapshot = service(status("a", state), profiles={"p": vote("a")}, default_profile="p")
    with pytest.raises(error) as refusal:
        choose_plan(RoutingRequest(asked), snapshot)
    assert refusal.value.message == words


ODD_PAIR = Plan((WeightedModel("a"), WeightedModel("odd")), alignment=Alignment.SAME_VOCABULARY)


@pytest.mark.parametrize("far", [{}, remotes()])
def test_a_profile_that_could_never_run_says_so_itself_where_the_request_names_it(far: Any) -> None:
    odd = status("odd", vocabulary_fingerprint="other")
    snapshot = service("a", odd, default_profile="p", remotes=far, profiles={"p": ODD_PAIR})
    with pytest.raises(UnsupportedPlan, match="a, odd: their vocabularies differ"):
        choose_plan(RoutingRequest(ProfilePlan("p")), snapshot)
    decision = choose_plan(RoutingRequest(), snapshot)
    assert decision.route.name == "single:a"
    assert clauses(decision)["profile:p"] == [Clause.UNSUPPORTED]


@pytest.mark.parametrize(
    ("budget", "rest"),
    [
        (Budget(latency_ms=1.0), {}),
        (Budget(energy_joules=0.1), {}),
        (Budget(), {"remaining": Remaining(joules=0.0)}),
        (Budget(), {"queue": QueueState(1, 1, 1, 1)}),
        (Budget(), {"wedged": frozenset("a")}),
    ],
)
def test_a_plan_that_is_spelled_out_is_never_replaced(budget: Budget, rest: Any) -> None:
    costs = {"single:a": took(100.0, 10.0), "single:b": took(0.1, 0.01)}
    snapshot = service("a", "b", costs=costs, remotes=remotes(), **rest)
    decision = choose_plan(RoutingRequest(vote("a"), budget=budget), snapshot)
    assert [member.model for member in decision.members] == ["a"]
    assert [one.name for one in decision.route.candidates] == ["single:a"]
    assert decision.route.over_budget is not None


@pytest.mark.parametrize("state", [ModelState.LOADING, ModelState.FAILED, ModelState.UNLOADED])
def test_a_plan_that_is_spelled_out_and_cannot_run_is_refused(state: ModelState) -> None:
    snapshot = service(status("a", state), "b", remotes=remotes())
    with pytest.raises((Unavailable, ModelUnusable)):
        choose_plan(RoutingRequest(vote("a")), snapshot)


@pytest.mark.parametrize("asked", [vote("a"), CascadePlan((Stage(vote("a")), Stage(vote("b"))))])
def test_the_policy_to_reject_refuses_a_plan_that_is_spelled_out_as_well(asked: Any) -> None:
    costs = {"single:a": took(100.0, 10.0), "single:b": took(0.1, 0.01)}
    settings = RoutingSettings(policy="reject")
    snapshot = service("a", "b", costs=costs, remotes=remotes(), settings=settings)
    request = RoutingRequest(asked, budget=Budget(latency_ms=150.0))
    with pytest.raises(OverBudget) as refusal:
        choose_plan(request, snapshot)
    assert refusal.value.metadata == {"clause": "latency"}
    full = replace(snapshot, queue=QueueState(1, 1, 1, 1))
    assert choose_plan(request, full).route.over_budget
