"""What speaks against a remote, although no local plan is good enough."""

from __future__ import annotations

import pytest

from quorate.costs.prompts import PromptSizeModel
from quorate.errors import OverBudget
from quorate.request import Budget, Clause
from quorate.routing.choose import choose_plan
from quorate.routing.request import RoutingRequest
from quorate.routing.settings import RoutingSettings
from quorate.routing.snapshot import Remaining, RemoteStatus, Snapshot
from support.routing_cases import chosen, clauses, figures, remotes, service, took, usd_per_mtok

PRICE = usd_per_mtok(1.0, 2.0)
TOO_FAST = 1.0
"""Milliseconds that no plan of these tests takes."""


def asking(budget: Budget | None = None, **rest: object) -> RoutingRequest:
    """A request that costs at most 0.002 USD, and that the local model would take too long for."""
    known = {"prompt_token_bound": 1000, "max_tokens": 500, **rest}
    return RoutingRequest(budget=budget or Budget(latency_ms=150.0), **known)  # type: ignore[arg-type]


def slow_local(*several: RemoteStatus, **rest: object) -> Snapshot:
    costs = {"single:a": took(100.0, 10.0)}
    return service("a", costs=costs, remotes=remotes(*several), **rest)


RULED_OUT = {
    "nobody knows its price": (
        asking(),
        slow_local(RemoteStatus("far")),
        [(Clause.PRICE_UNKNOWN, None, None)],
    ),
    "its breaker is open": (
        asking(),
        slow_local(RemoteStatus("far", PRICE, unavailable="its circuit breaker is open")),
        [(Clause.HEALTH, None, None)],
    ),
    "it lacks what the request sets": (
        asking(unsupported={"far": ("sampling.min_p",)}),
        slow_local(RemoteStatus("far", PRICE)),
        [(Clause.UNSUPPORTED, None, None)],
    ),
    "it may cost more than the request allows": (
        asking(Budget(latency_ms=150.0, usd=0.0019)),
        slow_local(RemoteStatus("far", PRICE)),
        [(Clause.USD, 0.002, 0.0019)],
    ),
    "it may cost more than the window has left": (
        asking(),
        slow_local(RemoteStatus("far", PRICE), remaining=Remaining(usd=0.0019)),
        [(Clause.USD_WINDOW, 0.002, 0.0019)],
    ),
    "it is for other tasks": (
        asking(task="code"),
        slow_local(RemoteStatus("far", PRICE, tasks=("law", "tax"))),
        [(Clause.TASK, None, None)],
    ),
    "it failed for this request": (
        asking(failed=frozenset({"remote:far"})),
        slow_local(RemoteStatus("far", PRICE)),
        [(Clause.FAILED_BEFORE, None, None)],
    ),
    "the operator expects it to be slow": (
        asking(elapsed_ms=50.0),
        slow_local(RemoteStatus("far", PRICE, first_token_ms=1000.0, tokens_per_second=500.0)),
        [(Clause.LATENCY, 2050.0, 150.0)],
    ),
    "its context is too small": (
        asking(prompt_bytes=1000),
        slow_local(RemoteStatus("far", PRICE, context_length=64)),
        [(Clause.CONTEXT, PromptSizeModel().tokens(1000), 64.0)],
    ),
    "everything at once": (
        asking(
            Budget(latency_ms=TOO_FAST, usd=0.0),
            unsupported={"far": ("stopping.max_bytes",)},
            failed=frozenset({"remote:far"}),
        ),
        slow_local(
            RemoteStatus("far", PRICE, "down", 1, 0.9, ("law",), 10.0, 1000.0),
            remaining=Remaining(usd=0.001),
        ),
        [
            (Clause.FAILED_BEFORE, None, None),
            (Clause.HEALTH, None, None),
            (Clause.UNSUPPORTED, None, None),
            (Clause.TASK, None, None),
            (Clause.CONTEXT, PromptSizeModel().tokens(0), 1.0),
            (Clause.USD, 0.002, 0.0),
            (Clause.USD_WINDOW, 0.002, 0.001),
            (Clause.LATENCY, 510.0, 1.0),
        ],
    ),
}


@pytest.mark.parametrize("case", RULED_OUT)
def test_a_remote_that_is_ruled_out_is_not_asked_and_says_why(case: str) -> None:
    request, snapshot, expected = RULED_OUT[case]
    decision = choose_plan(request, snapshot)
    assert decision.route.name == "single:a"
    assert decision.route.over_budget is not None
    assert decision.route.over_budget.clause is Clause.LATENCY
    far = decision.route.candidates[-1]
    assert far.name == "remote:far"
    assert [figures(one) for one in far.rejections] == expected


def test_what_costs_just_what_is_allowed_is_asked() -> None:
    request = asking(Budget(latency_ms=150.0, usd=0.002))
    decision = choose_plan(
        request, slow_local(RemoteStatus("far", PRICE), remaining=Remaining(usd=0.002))
    )
    assert decision.route.remote == "far"
    assert chosen(decision).forecast.usd_ceiling == 0.002


def test_the_ceiling_goes_by_the_most_tokens_and_the_expected_price_by_the_likely_ones() -> None:
    request = asking(prompt_bytes=400)
    forecast = chosen(choose_plan(request, slow_local(RemoteStatus("far", PRICE)))).forecast
    tokens = PromptSizeModel().tokens(400)
    assert forecast.usd_ceiling == 0.002
    assert forecast.usd == pytest.approx((-(-tokens // 1) + 500 * 2) / 1e6)


def test_the_price_of_a_remote_weighs_against_its_quality() -> None:
    cheap = RemoteStatus("cheap", usd_per_mtok(1.0, 2.0), quality=0.7)
    good = RemoteStatus("good", usd_per_mtok(10.0, 20.0), quality=0.9)
    for usd_weight, name in ((0.0, "good"), (1.0, "good"), (100.0, "cheap")):
        snapshot = slow_local(cheap, good, settings=RoutingSettings(usd_weight=usd_weight))
        assert choose_plan(asking(), snapshot).route.remote == name


def test_a_remote_of_which_one_is_down_gives_way_to_another() -> None:
    snapshot = slow_local(
        RemoteStatus("far", PRICE, "down", quality=1.0), RemoteStatus("near", PRICE)
    )
    decision = choose_plan(asking(), snapshot)
    assert decision.route.remote == "near"
    assert clauses(decision) == {
        "single:a": [Clause.LATENCY],
        "remote:far": [Clause.HEALTH],
        "remote:near": [],
    }


def test_a_remote_is_never_asked_in_order_to_learn_what_it_takes() -> None:
    cold, warm = RemoteStatus("cold", PRICE, quality=0.8), RemoteStatus("warm", PRICE, quality=0.9)
    snapshot = slow_local(cold, warm, remaining=Remaining(joules=1.0))
    snapshot = service(
        "a",
        costs={**snapshot.costs, "remote:warm": took(50.0)},
        remotes=snapshot.remotes,
        remaining=Remaining(joules=1.0),
    )
    decision = choose_plan(asking(Budget(), draw=0.0), snapshot)
    assert (decision.route.remote, decision.route.explored) == ("warm", False)


def test_a_refusal_tells_why_no_remote_could_be_asked() -> None:
    snapshot = slow_local(RemoteStatus("far"), settings=RoutingSettings(policy="reject"))
    with pytest.raises(OverBudget) as refusal:
        choose_plan(asking(), snapshot)
    assert refusal.value.message == (
        "no plan meets the budget: nine answers of ten take up to 200 ms of 150 ms allowed; "
        "remote:far: nobody knows what it charges"
    )
