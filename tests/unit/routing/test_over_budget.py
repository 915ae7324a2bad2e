"""Every clause of "over budget": each asks a remote, and nothing else does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from quorate.costs.prompts import PromptSizeModel
from quorate.errors import ModelUnusable, OverBudget, QuorateError, Unavailable
from quorate.fleet.status import ModelState
from quorate.request import AutoPlan, Budget, Clause, PlanKind, ProfilePlan
from quorate.routing.choose import choose_plan
from quorate.routing.request import RoutingRequest
from quorate.routing.settings import RoutingSettings
from quorate.routing.snapshot import QueueState, Remaining, RemoteStatus, Snapshot
from support.routing_cases import (
    clauses,
    figures,
    remotes,
    service,
    status,
    took,
    usd_per_mtok,
    vote,
)

LONG_BYTES = 100_000
LONG_TOKENS = PromptSizeModel().tokens(LONG_BYTES)
BUSY = QueueState(running=1, waiting=1, max_running=1, max_waiting=4, typical_ms=100.0)
FULL = QueueState(running=1, waiting=2, max_running=1, max_waiting=2)
NOT_READY = [state for state in ModelState if state is not ModelState.READY]


def lone(state: ModelState = ModelState.READY, *, model: Any = None, **rest: Any) -> Snapshot:
    """One model, which takes 100 ms and 10 J, and a remote that takes anything."""
    known = {"costs": {"single:a": took(100.0, 10.0)}, "remotes": remotes(), **rest}
    return service(model or status("a", state), **known)


def too_slow(predicted: float, limit: float, *, elapsed_ms: float = 0.0, **rest: Any) -> Any:
    asked = RoutingRequest(budget=Budget(latency_ms=limit), elapsed_ms=elapsed_ms)
    return asked, lone(**rest), (Clause.LATENCY, predicted, limit)


def window(left: float, predicted: float | None = 20.0, **rest: Any) -> Any:
    """A window of so many joules, which nine of ten answers do not fit."""
    snapshot = lone(remaining=Remaining(joules=left), **rest)
    return RoutingRequest(), snapshot, (Clause.ENERGY_WINDOW, predicted, left)


def down(snapshot: Snapshot, clause: Clause = Clause.HEALTH, **rest: Any) -> Any:
    return RoutingRequest(**rest), snapshot, (clause, None, None)


OVER = {
    "nine of ten are too slow": too_slow(200.0, 150.0),
    "time that has passed counts": too_slow(300.0, 250.0, elapsed_ms=100.0),
    "the queue counts": too_slow(400.0, 399.0, queue=BUSY),
    "busy sessions count": too_slow(400.0, 399.0, model=status("a", sessions=2), active={"a": 3}),
    "too many joules": (
        RoutingRequest(budget=Budget(energy_joules=9.5)),
        lone(),
        (Clause.ENERGY, 10.0, 9.5),
    ),
    "nine of ten do not fit the window": window(19.0),
    "the window is spent": window(0.0),
    "the window is spent and nothing was measured": window(0.0, predicted=None, costs={}),
    "the queue is full": (RoutingRequest(), lone(queue=FULL), (Clause.CAPACITY, 3.0, 2.0)),
    "the context is too small": (
        RoutingRequest(prompt_bytes=LONG_BYTES),
        lone(),
        (Clause.CONTEXT, LONG_TOKENS, 512.0),
    ),
    "no progress": down(lone(wedged=frozenset("a"))),
    "it failed for this request": down(
        lone(), Clause.FAILED_BEFORE, failed=frozenset({"single:a"})
    ),
    "there is no model": down(service(remotes=remotes())),
    **{f"it is {state.value}": down(lone(state)) for state in NOT_READY},
}
# What speaks against every model at once; where anything else does, another may do.
OF_ALL = ("the queue", "the window is spent", "there is no model")
OF_ONE = [name for name in OVER if not name.startswith(OF_ALL)]
CANNOT_RUN = ("no progress", "it failed", "there is no", "it is ")


@pytest.mark.parametrize("case", OVER)
def test_what_is_over_budget_asks_a_remote_and_says_why(case: str) -> None:
    asked, snapshot, expected = OVER[case]
    decision = choose_plan(asked, snapshot)
    assert decision.route.name == "remote:far"
    assert decision.route.kind is PlanKind.REMOTE
    assert decision.route.remote == "far"
    assert decision.members == ()
    assert figures(decision.route.over_budget) == expected
    own = [expected[0]] if snapshot.models else []
    assert clauses(decision).get("single:a", []) == own
    assert clauses(decision)["remote:far"] == []


@pytest.mark.parametrize("case", OF_ONE)
def test_another_local_plan_goes_before_any_remote(case: str) -> None:
    asked, one, (clause, _, _) = OVER[case]
    both = service(
        *one.models.values(),
        status("b", context_length=1_000_000),
        profiles={"b": vote("b")},
        costs={**one.costs, "single:b": took(10.0, 1.0)},
        active=one.active,
        wedged=one.wedged,
        remaining=one.remaining,
        remotes=one.remotes,
    )
    decision = choose_plan(asked, both)
    assert decision.route.name == "single:b"
    assert decision.route.over_budget is None
    assert clauses(decision) == {
        "single:a": [clause],
        "single:b": [],
        "profile:b": [],
        "remote:far": [Clause.WITHIN_BUDGET],
    }


@pytest.mark.parametrize("case", OVER)
@pytest.mark.parametrize("whose", ["request", "server"])
def test_nothing_leaves_the_machine_where_that_is_forbidden(case: str, whose: str) -> None:
    asked, snapshot, expected = OVER[case]
    if whose == "request":
        asked = replace(asked, local_only=True)
    else:
        snapshot = replace(snapshot, settings=RoutingSettings(local_only=True))
    try:
        decision = choose_plan(asked, snapshot)
    except QuorateError as error:
        assert case.startswith(CANNOT_RUN)
        assert isinstance(error, Unavailable | ModelUnusable)
        return
    assert not case.startswith(CANNOT_RUN)
    assert [one.name for one in decision.route.candidates] == ["single:a"]
    assert figures(decision.route.over_budget) == expected


@pytest.mark.parametrize("case", [name for name in OVER if not name.startswith(CANNOT_RUN)])
def test_without_a_remote_the_plan_runs_all_the_same_and_says_what_it_exceeds(case: str) -> None:
    asked, snapshot, expected = OVER[case]
    decision = choose_plan(asked, replace(snapshot, remotes={}))
    assert decision.route.name == "single:a"
    assert [member.model for member in decision.members] == ["a"]
    assert figures(decision.route.over_budget) == expected


@pytest.mark.parametrize("case", OVER)
def test_the_policy_to_reject_refuses_what_a_request_limits_and_nothing_else(case: str) -> None:
    asked, snapshot, (clause, _, _) = OVER[case]
    alone = replace(snapshot, remotes={}, settings=RoutingSettings(policy="reject"))
    # A window that is spent refuses by itself, and says when to try again.
    limits = {Clause.LATENCY, Clause.ENERGY}
    if clause in limits:
        with pytest.raises(OverBudget) as refusal:
            choose_plan(asked, alone)
        assert refusal.value.metadata == {"clause": clause.value}
    elif case.startswith(CANNOT_RUN):
        with pytest.raises((Unavailable, ModelUnusable)):
            choose_plan(asked, alone)
    else:
        assert choose_plan(asked, alone).route.name == "single:a"


@pytest.mark.parametrize("case", OVER)
def test_the_policy_to_reject_does_not_keep_a_request_from_a_remote(case: str) -> None:
    asked, snapshot, expected = OVER[case]
    rejecting = replace(snapshot, settings=RoutingSettings(policy="reject"))
    decision = choose_plan(asked, rejecting)
    assert decision.route.remote == "far"
    assert figures(decision.route.over_budget) == expected


@pytest.mark.parametrize(
    ("asked", "rest"),
    [
        (RoutingRequest(), {}),
        (RoutingRequest(AutoPlan()), {}),
        (RoutingRequest(budget=Budget(latency_ms=200.0, energy_joules=10.0, usd=0.0)), {}),
        (RoutingRequest(), {"remaining": Remaining(joules=20.0, usd=0.0)}),
        (RoutingRequest(budget=Budget(latency_ms=1.0, energy_joules=0.1)), {"costs": {}}),
        (RoutingRequest(task="law"), {}),
        (RoutingRequest(draw=0.0), {}),
        (
            RoutingRequest(),
            {"queue": QueueState(running=1, max_running=1, max_waiting=2, typical_ms=1e6)},
        ),
        (RoutingRequest(), {"settings": RoutingSettings(joule_weight=1e6, usd_weight=0.0)}),
        (RoutingRequest(), {"settings": RoutingSettings(policy="reject")}),
        (RoutingRequest(ProfilePlan("p")), {"profiles": {"p": vote("a")}}),
        (RoutingRequest(), {"profiles": {"p": vote("a")}, "default_profile": "p"}),
        (RoutingRequest(vote("a"), budget=Budget(latency_ms=1.0)), {"queue": FULL}),
    ],
)
def test_nothing_else_reaches_a_remote(asked: RoutingRequest, rest: dict[str, Any]) -> None:
    snapshot = lone(
        **{**rest, "remotes": remotes(RemoteStatus("far", usd_per_mtok(0, 0), quality=1.0))}
    )
    decision = choose_plan(asked, snapshot)
    assert not decision.route.remote
    assert [member.model for member in decision.members] == ["a"]
