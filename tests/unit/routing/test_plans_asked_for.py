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
from support.routing_cases import clauses, figures, name_of, remotes, service, status, took, vote

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


NAMED = [ProfilePlan("p"), None, vote("a")]
"""By its profile, as the default profile, spelled out: all of them name one plan."""

OVER = [
    (Budget(latency_ms=1.0), {}, Clause.LATENCY),
    (Budget(energy_joules=0.1), {}, Clause.ENERGY),
    (Budget(), {"remaining": Remaining(joules=0.0)}, Clause.ENERGY_WINDOW),
    (Budget(), {"queue": QueueState(1, 1, 1, 1)}, Clause.CAPACITY),
    (Budget(), {"wedged": frozenset("a")}, Clause.HEALTH),
]


def with_another(model: Any = "a", **rest: Any) -> Snapshot:
    """The profile p of one model, which is the default, another model that fits, and a remote."""
    known = {
        "costs": {"single:a": took(100.0, 10.0), "single:b": took(0.1, 0.01)},
        "remotes": remotes(),
        "profiles": {"p": vote("a")},
        "default_profile": "p",
    }
    return service(model, "b", **{**known, **rest})


@pytest.mark.parametrize("asked", NAMED)
@pytest.mark.parametrize(("budget", "rest", "clause"), OVER)
def test_a_named_plan_is_never_replaced_without_leave(
    asked: Any, budget: Budget, rest: Any, clause: Clause
) -> None:
    decision = choose_plan(RoutingRequest(asked, budget=budget), with_another(**rest))
    assert [member.model for member in decision.members] == ["a"]
    assert [list(against) for against in clauses(decision).values()] == [[clause]]
    assert decision.route.over_budget is not None
    assert not decision.route.instead_of
    assert not decision.route.replaceable


DOWN = [
    (ModelState.LOADING, Unavailable, "model a is loading", 2.0),
    (ModelState.RESTARTING, Unavailable, "model a is restarting", 1.0),
    (ModelState.DOWNLOADING, Unavailable, "model a is downloading", 30.0),
    (
        ModelState.UNLOADED,
        ModelUnusable,
        "a: is not loaded; load it first (quorate load a, or LoadModel)",
        None,
    ),
    (ModelState.FAILED, ModelUnusable, "a: could not be loaded", None),
]


@pytest.mark.parametrize("asked", NAMED)
@pytest.mark.parametrize(("state", "error", "words", "seconds"), DOWN)
def test_a_named_plan_that_is_down_says_so_itself_whatever_else_could_answer(
    asked: Any, state: ModelState, error: type[QuorateError], words: str, seconds: float | None
) -> None:
    with pytest.raises(error) as refusal:
        choose_plan(RoutingRequest(asked), with_another(status("a", state)))
    assert refusal.value.message == words
    assert getattr(refusal.value, "retry_after_seconds", None) == seconds


@pytest.mark.parametrize("asked", NAMED)
@pytest.mark.parametrize("who", ["request", "configuration"])
@pytest.mark.parametrize(
    ("model", "budget", "clause"),
    [
        *[(status("a", state), Budget(), Clause.HEALTH) for state, *_ in DOWN],
        ("a", Budget(latency_ms=1.0), Clause.LATENCY),
        ("a", Budget(energy_joules=0.1), Clause.ENERGY),
    ],
)
def test_with_leave_a_local_plan_stands_in_before_any_remote(
    asked: Any, who: str, model: Any, budget: Budget, clause: Clause
) -> None:
    settings = RoutingSettings(allow_substitution=who == "configuration")
    leave = True if who == "request" else None
    snapshot = with_another(model, settings=settings)
    decision = choose_plan(RoutingRequest(asked, budget=budget, allow_substitution=leave), snapshot)
    name = "single:a" if isinstance(asked, Plan) else "profile:p"
    assert decision.route.name == "single:b"
    assert decision.route.instead_of == name
    assert decision.route.replaceable
    assert clauses(decision)[name] == [clause]
    assert clauses(decision)["remote:far"] == [Clause.WITHIN_BUDGET]


@pytest.mark.parametrize("asked", NAMED)
def test_a_request_may_forbid_what_the_configuration_allows(asked: Any) -> None:
    settings = RoutingSettings(allow_substitution=True)
    snapshot = with_another(status("a", ModelState.FAILED), settings=settings)
    with pytest.raises(ModelUnusable):
        choose_plan(RoutingRequest(asked, allow_substitution=False), snapshot)


@pytest.mark.parametrize("asked", NAMED)
def test_with_leave_a_remote_stands_in_where_no_local_plan_can(asked: Any) -> None:
    snapshot = service(
        status("a", ModelState.FAILED),
        profiles={"p": vote("a")},
        default_profile="p",
        remotes=remotes(),
    )
    decision = choose_plan(RoutingRequest(asked, allow_substitution=True), snapshot)
    assert decision.route.remote == "far"
    assert decision.route.instead_of == ("single:a" if isinstance(asked, Plan) else "profile:p")
    assert figures(decision.route.over_budget) == (Clause.HEALTH, None, None)


@pytest.mark.parametrize("asked", NAMED)
def test_with_leave_the_named_plan_runs_all_the_same_where_nothing_else_keeps_the_limits(
    asked: Any,
) -> None:
    costs = {"single:a": took(100.0), "single:b": took(50.0)}
    request = RoutingRequest(asked, budget=Budget(latency_ms=1.0), allow_substitution=True)
    decision = choose_plan(request, with_another(costs=costs, remotes={}))
    assert [member.model for member in decision.members] == ["a"]
    assert not decision.route.instead_of
    assert figures(decision.route.over_budget) == (Clause.LATENCY, 200.0, 1.0)


@pytest.mark.parametrize("asked", NAMED)
def test_leave_takes_no_plan_away_whose_joules_nobody_knows(asked: Any) -> None:
    """It is stuck and may come back, and what could stand in is refused for what it takes."""
    snapshot = with_another(
        costs={"single:b": took(1.0, 0.001)},
        remotes={},
        wedged=frozenset("a"),
        settings=RoutingSettings(policy="reject"),
    )
    for leave in (False, True):
        budget = Budget(energy_joules=0.0)
        request = RoutingRequest(asked, budget=budget, allow_substitution=leave)
        decision = choose_plan(request, snapshot)
        assert [member.model for member in decision.members] == ["a"]


@pytest.mark.parametrize("asked", NAMED)
def test_with_leave_a_plan_that_failed_for_the_request_gives_way(asked: Any) -> None:
    failed = frozenset({"profile:p", "single:a"})
    request = RoutingRequest(asked, failed=failed, allow_substitution=True)
    assert choose_plan(request, with_another()).route.name == "single:b"


ODD_PAIR = Plan((WeightedModel("a"), WeightedModel("odd")), alignment=Alignment.SAME_VOCABULARY)


@pytest.mark.parametrize("asked", [ProfilePlan("p"), None, ODD_PAIR])
@pytest.mark.parametrize("far", [{}, remotes()])
@pytest.mark.parametrize("leave", [False, True])
def test_a_named_plan_that_could_never_run_says_so_itself_even_with_leave(
    asked: Any, far: Any, leave: bool
) -> None:
    odd = status("odd", vocabulary_fingerprint="other")
    snapshot = service("a", odd, default_profile="p", remotes=far, profiles={"p": ODD_PAIR})
    with pytest.raises(UnsupportedPlan, match="a, odd: their vocabularies differ"):
        choose_plan(RoutingRequest(asked, allow_substitution=leave), snapshot)


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
