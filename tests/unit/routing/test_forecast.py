"""What plans are expected to take, by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from quorate.costs.cost_model import CostModel
from quorate.costs.lengths import LengthModel
from quorate.costs.prediction import EnergyModel, RunModel
from quorate.costs.prompts import PromptSizeModel
from quorate.request import Budget, CascadePlan, EnergyTier, Forecast, Plan, Stage
from quorate.routing.candidates import asked_plan
from quorate.routing.choose import choose_plan
from quorate.routing.forecast import forecast_local, forecast_remote, vote_key
from quorate.routing.request import RoutingRequest
from quorate.routing.resolve import resolve
from quorate.routing.snapshot import QueueState, RemoteStatus, Snapshot
from support.routing_cases import service, status, took, usd_per_mtok, vote

PAIR = "ensemble:a+b:same_vocabulary:static"


def forecast(plan: Plan | CascadePlan, snapshot: Snapshot, **rest: Any) -> Forecast:
    request = RoutingRequest(plan, **rest)
    resolved = asked_plan(request, snapshot)
    assert resolved is not None
    return forecast_local(resolved, request, snapshot)


def times(told: Forecast) -> tuple[float | None, float | None]:
    return told.time_ms, told.time_q90_ms


def energies(told: Forecast) -> tuple[float | None, float | None]:
    return told.joules, told.joules_q90


@pytest.mark.parametrize(
    ("plan", "key"),
    [
        (vote("a"), "single:a"),
        (vote("a", "b"), PAIR),
        (vote("b", "a"), "ensemble:b+a:same_vocabulary:static"),
        (vote("a", "x"), "ensemble:a+x:byte_exact:bayesian"),
    ],
)
def test_the_key_of_a_vote_names_members_and_manner(plan: Plan, key: str) -> None:
    models = service("a", "b", status("x", vocabulary_fingerprint="other"))
    assert vote_key(resolve(plan, models, 0)) == key


def test_every_part_of_a_request_adds_to_the_time_and_energy_of_one_model() -> None:
    """10 tokens expected of at most 40, half of the answers up to 5, nine of ten to 20; batch 3."""
    costs = RunModel(
        9,
        (50.0, 1.0, 4.0, 2.0, 0.01),
        1.5,
        energy_model=EnergyModel((1.0, 0.1, 0.5, 0.0, 0.0, 0.6), 1.25, EnergyTier.ESTIMATED),
    )
    lengths = LengthModel(20, (5.0, 20.0), (0.5, 1.0), (0.5, 0.0), (5.0, 10.0))
    known = CostModel(costs, all_lengths=lengths)
    snapshot = service(status("a", sessions=8), costs={"single:a": known}, active={"a": 2})
    size = 1000
    prompt = PromptSizeModel().tokens(size)
    told = forecast(vote("a"), snapshot, prompt_bytes=size, max_tokens=40)
    median = 50.0 + prompt + 5.0 * (4.0 + 2.0 * 3 + 0.01 * (prompt + 2.5))
    long = 50.0 + prompt + 20.0 * (4.0 + 2.0 * 3 + 0.01 * (prompt + 10.0))
    likely = median * math.exp(math.hypot(math.log(1.5), math.log(long / median)))
    assert times(told) == (pytest.approx(median), pytest.approx(likely))
    usual, most = 1.0 + 0.1 * prompt + 10 * 0.7, 1.0 + 0.1 * prompt + 20 * 0.7
    likely = usual * math.exp(math.hypot(math.log(1.25), math.log(most / usual)))
    assert energies(told) == (pytest.approx(usual), pytest.approx(likely))
    assert (told.tier, told.cold) == (EnergyTier.ESTIMATED, False)
    assert (told.prompt_tokens, told.generated_tokens) == (prompt, 10.0)


@pytest.mark.parametrize(("active", "factor"), [(0, 1.0), (1, 1.0), (2, 1.5), (3, 2.0), (7, 4.0)])
def test_a_request_waits_its_own_length_for_every_round_of_busy_sessions(
    active: int, factor: float
) -> None:
    snapshot = service(
        status("a", sessions=2), costs={"single:a": took(100.0, 5.0)}, active={"a": active}
    )
    told = forecast(vote("a"), snapshot)
    assert times(told) == (100.0 * factor, 200.0 * factor)
    assert energies(told) == (5.0, 10.0)


@pytest.mark.parametrize(
    ("queue", "wait_ms"),
    [
        (QueueState(3, 0, 4, 8, 100.0), 0.0),
        (QueueState(4, 0, 4, 8, 100.0), 25.0),
        (QueueState(4, 7, 4, 8, 100.0), 200.0),
    ],
)
def test_the_queue_is_waited_for_once_however_many_stages_there_are(
    queue: QueueState, wait_ms: float
) -> None:
    costs = {"single:a": took(10.0), "single:b": took(20.0)}
    snapshot = service("a", "b", costs=costs, queue=queue)
    assert times(forecast(vote("a"), snapshot)) == (10.0 + wait_ms, 20.0 + wait_ms)
    steps = CascadePlan((Stage(vote("a")), Stage(vote("b"))))
    assert times(forecast(steps, snapshot)) == (20.0 + wait_ms, 60.0 + wait_ms)


@pytest.mark.parametrize(
    ("escalations", "mean", "q90", "joules", "joules_q90"),
    [
        ({}, 10 + 0.5 * 100, 220.0, 1 + 0.5 * 8, 18.0),
        ({"cascade:a>b": 0.2}, 10 + 0.2 * 100, 220.0, 1 + 0.2 * 8, 18.0),
        ({"cascade:a>b": 0.1}, 10 + 0.1 * 100, 220.0, 1 + 0.1 * 8, 18.0),
        ({"cascade:a>b": 0.09}, 10 + 0.09 * 100, 20.0, 1 + 0.09 * 8, 2.0),
        ({"cascade:b>a": 0.0}, 10 + 0.5 * 100, 220.0, 1 + 0.5 * 8, 18.0),
    ],
)
def test_a_cascade_takes_its_next_stage_as_often_as_it_is_asked(
    escalations: dict[str, float], mean: float, q90: float, joules: float, joules_q90: float
) -> None:
    costs = {"single:a": took(10.0, 1.0), "single:b": took(100.0, 8.0)}
    snapshot = service("a", "b", costs=costs, escalations=escalations)
    told = forecast(CascadePlan((Stage(vote("a")), Stage(vote("b")))), snapshot)
    assert times(told) == (pytest.approx(mean), q90)
    assert energies(told) == (pytest.approx(joules), joules_q90)
    assert not told.cold


def test_a_third_stage_is_reached_by_those_who_pass_the_second() -> None:
    costs = {"single:a": took(1.0, 1.0), "single:b": took(10.0, 2.0), "single:c": took(100.0, 4.0)}
    snapshot = service("a", "b", "c", costs=costs, escalations={"cascade:a>b>c": 0.2})
    told = forecast(CascadePlan(tuple(Stage(vote(one)) for one in "abc")), snapshot)
    assert times(told) == (pytest.approx(1 + 0.2 * 10 + 0.04 * 100), 22.0)
    assert energies(told) == (pytest.approx(1 + 0.2 * 2 + 0.04 * 4), 6.0)


def test_a_cascade_knows_no_more_than_its_stages() -> None:
    steps = CascadePlan((Stage(vote("a")), Stage(vote("b"))))
    half = forecast(steps, service("a", "b", costs={"single:a": took(10.0, 1.0)}))
    assert (times(half), energies(half), half.cold) == ((None, None), (None, None), True)
    unmetered = {"single:a": took(10.0, 1.0), "single:b": took(10.0)}
    told = forecast(steps, service("a", "b", costs=unmetered))
    assert (energies(told), told.tier) == ((None, None), EnergyTier.UNAVAILABLE)
    assert times(told) == (15.0, 40.0)


def test_a_vote_that_was_never_measured_is_its_slowest_member_and_the_energy_of_all() -> None:
    costs = {"single:a": took(10.0, 1.0), "single:b": took(30.0, 2.0)}
    told = forecast(vote("a", "b"), service("a", "b", costs=costs))
    assert (times(told), energies(told)) == ((30.0, 60.0), (3.0, 6.0))
    assert told.cold
    assert told.tier is EnergyTier.MEASURED


def test_the_queue_of_one_member_does_not_slow_the_other_down() -> None:
    costs = {"single:a": took(10.0), "single:b": took(30.0)}
    models = (status("a", sessions=1), status("b", sessions=8))
    told = forecast(vote("a", "b"), service(*models, costs=costs, active={"a": 1, "b": 1}))
    assert times(told) == (30.0, 60.0)
    told = forecast(vote("a", "b"), service(*models, costs=costs, active={"a": 4, "b": 4}))
    assert times(told) == (50.0, 100.0)


def test_the_busiest_member_of_a_measured_vote_slows_all_of_it_down() -> None:
    snapshot = service("a", status("b", sessions=2), costs={PAIR: took(10.0)}, active={"b": 2})
    assert times(forecast(vote("a", "b"), snapshot)) == (15.0, 30.0)


def test_of_a_vote_of_cold_members_nothing_is_known() -> None:
    told = forecast(vote("a", "b"), service("a", "b"), max_tokens=7)
    assert told.cold
    assert (times(told), energies(told)) == ((None, None), (None, None))
    assert told.generated_tokens == 7.0


def test_a_vote_takes_at_least_what_its_known_members_take() -> None:
    costs = {"single:a": took(10.0, 1.0)}
    told = forecast(vote("a", "b"), service("a", "b", costs=costs))
    assert (times(told), energies(told), told.cold) == ((10.0, 20.0), (1.0, 2.0), True)


def test_a_vote_that_was_measured_is_known_by_itself() -> None:
    costs = {"single:a": took(10.0, 1.0), "single:b": took(30.0, 2.0), PAIR: took(50.0, 4.0)}
    told = forecast(vote("a", "b"), service("a", "b", costs=costs))
    assert (times(told), energies(told), told.cold) == ((50.0, 100.0), (4.0, 8.0), False)


def far(**known: Any) -> RemoteStatus:
    return RemoteStatus("far", **{"price": usd_per_mtok(1.0, 10.0), **known})


def test_a_remote_that_was_never_asked_is_what_the_operator_expects() -> None:
    request = RoutingRequest(prompt_bytes=0, prompt_token_bound=500, max_tokens=200)
    told = forecast_remote(far(first_token_ms=300.0, tokens_per_second=100.0), request, service())
    assert times(told) == (2300.0, 2300.0)
    assert told.cold
    assert told.usd_ceiling == pytest.approx(500e-6 + 2000e-6)
    assert times(forecast_remote(far(), request, service())) == (None, None)


def test_a_remote_that_was_asked_is_what_it_took_and_its_ceiling_stays() -> None:
    lengths = LengthModel(20, (50.0,), (1.0,), (0.0,), (50.0,))
    known = replace(took(400.0), all_lengths=lengths)
    request = RoutingRequest(prompt_bytes=0, prompt_token_bound=500, max_tokens=200)
    told = forecast_remote(
        far(tokens_per_second=1.0), request, service(costs={"remote:far": known})
    )
    assert times(told) == (400.0, 800.0)
    assert (told.generated_tokens, told.cold) == (50.0, False)
    assert told.usd == pytest.approx((PromptSizeModel().tokens(0) + 500) * 1e-6)
    assert told.usd_ceiling == pytest.approx(2500e-6)


def test_without_a_price_nobody_knows_what_a_remote_charges() -> None:
    told = forecast_remote(far(price=None), RoutingRequest(prompt_token_bound=9), service())
    assert (told.usd, told.usd_ceiling) == (None, None)


@pytest.mark.parametrize(
    ("most", "spread", "limited"), [(10, 1.01, 10), (40, 1.01, None), (10, 50.0, None)]
)
def test_a_forecast_that_a_limit_on_tokens_makes_says_so(
    most: int, spread: float, limited: int | None
) -> None:
    lengths = LengthModel(20, (5.0, 20.0), (0.5, 1.0), (0.5, 0.0), (5.0, 10.0))
    known = CostModel(RunModel(10, (5.0, 0, 10.0, 0, 0), spread), all_lengths=lengths)
    snapshot = service("a", "b", costs={"single:a": known, "single:b": took(1.0)})
    assert forecast(vote("a"), snapshot, max_tokens=most).limited_by_tokens == limited
    assert forecast(vote("a", "b"), snapshot, max_tokens=most).limited_by_tokens == limited
    steps = CascadePlan((Stage(vote("a")), Stage(vote("b"))))
    assert forecast(steps, snapshot, max_tokens=most).limited_by_tokens == limited


def test_who_is_too_slow_for_many_tokens_is_told_why() -> None:
    lengths = LengthModel(20, (5.0, 20.0), (0.5, 1.0), (0.5, 0.0), (5.0, 10.0))
    known = CostModel(RunModel(10, (5.0, 0, 10.0, 0, 0), 1.01), all_lengths=lengths)
    snapshot = service("a", costs={"single:a": known})
    for most, told in ((10, ", because up to 10 tokens are allowed"), (40, "")):
        asked = RoutingRequest(asked=vote("a"), max_tokens=most, budget=Budget(latency_ms=20.0))
        [candidate] = choose_plan(asked, snapshot).route.candidates
        [slow] = candidate.rejections
        assert slow.message.endswith(f" ms of 20 ms allowed{told}")


@pytest.mark.parametrize(("limit", "told"), [(0.001, "0.001"), (2.5, "2.5"), (1234.4, "1234")])
def test_a_limit_is_told_as_it_was_set(limit: float, told: str) -> None:
    snapshot = service("a", costs={"single:a": took(5000.0)})
    asked = RoutingRequest(asked=vote("a"), max_tokens=9, budget=Budget(latency_ms=limit))
    [candidate] = choose_plan(asked, snapshot).route.candidates
    assert f" of {told} ms allowed" in candidate.rejections[0].message
