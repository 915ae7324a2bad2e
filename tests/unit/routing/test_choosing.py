"""Which of several plans is chosen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from quorate.costs.cost_model import CostModel
from quorate.errors import ModelUnusable, Unavailable, UnsupportedPlan
from quorate.fleet.status import ModelState
from quorate.request import AutoPlan, Budget, CascadePlan, Clause, PlanKind, ProfilePlan, Stage
from quorate.routing.candidates import open_plans
from quorate.routing.choose import choose_plan
from quorate.routing.quality import QualityTable, Tally
from quorate.routing.request import RoutingRequest
from quorate.routing.settings import RoutingSettings
from quorate.routing.snapshot import Snapshot
from support.routing_cases import chosen, clauses, figures, name_of, service, status, took, vote

AUTO = AutoPlan()
QUALITY = QualityTable(declared={"a": 0.6, "b": 0.7, "c": 0.6})


def among(*models: str, **rest: Any) -> Snapshot:
    """These models, each of which may be chosen."""
    return service(*models, **{"settings": RoutingSettings(candidates=models), **rest})


def each(first: CostModel, second: CostModel) -> dict[str, CostModel]:
    """What the models a and b take."""
    return {"single:a": first, "single:b": second}


@pytest.mark.parametrize(
    ("joule_weight", "name"), [(0.0, "single:b"), (0.009, "single:b"), (0.011, "single:a")]
)
def test_quality_is_weighed_against_energy(joule_weight: float, name: str) -> None:
    settings = RoutingSettings(joule_weight=joule_weight, candidates=("a", "b"))
    costs = each(took(10.0, 10.0), took(10.0, 20.0))
    snapshot = service("a", "b", costs=costs, quality=QUALITY, settings=settings)
    decision = choose_plan(RoutingRequest(AUTO), snapshot)
    assert decision.route.name == name
    costs = {one.name: one.cost for one in decision.route.candidates}
    assert costs == {
        "single:a": pytest.approx(0.4 + 10 * joule_weight),
        "single:b": pytest.approx(0.3 + 20 * joule_weight),
    }


def test_energy_counts_only_where_it_is_known_of_every_plan_that_can_run() -> None:
    dear, unknown = took(10.0, 1e6), took(20.0)
    snapshot = among("a", "c", costs={"single:a": dear, "single:c": unknown}, quality=QUALITY)
    decision = choose_plan(RoutingRequest(AUTO), snapshot)
    assert decision.route.name == "single:a"
    assert [one.cost for one in decision.route.candidates] == [0.4, 0.4]
    down = replace(
        snapshot,
        models={**snapshot.models, "b": status("b", ModelState.LOADING)},
        costs={"single:a": dear, "single:c": took(20.0, 1.0)},
        settings=RoutingSettings(candidates=("a", "b", "c")),
    )
    assert name_of(AUTO, down) == "single:c"


@pytest.mark.parametrize(
    ("times", "name"),
    [
        ((20.0, 10.0, 30.0), "single:y"),
        ((10.0, 10.0, 10.0), "single:x"),
        ((30.0, 10.0, 10.0), "single:y"),
    ],
)
def test_of_equals_the_fastest_runs_and_then_the_first(times: Any, name: str) -> None:
    models = ("x", "y", "z")
    costs = {f"single:{one}": took(time, 1.0) for one, time in zip(models, times, strict=True)}
    assert name_of(AUTO, among(*models, costs=costs)) == name


def test_what_is_known_to_be_fast_goes_before_what_was_never_measured_only_with_a_deadline() -> (
    None
):
    snapshot = among("a", "b", costs={"single:a": took(10.0)}, quality=QUALITY)
    assert name_of(AUTO, snapshot) == "single:b"
    assert name_of(AUTO, snapshot, budget=Budget(latency_ms=1000.0)) == "single:a"


def exploring(**rest: Any) -> Any:
    """Two measured plans, of which b is better, and a third that was never measured."""
    declared = {"a": 0.6, "b": 0.7, "c": rest.pop("quality_of_c", 0.61)}
    settings = RoutingSettings(candidates=("a", "b", "c"), exploration=0.1)
    costs = each(took(10.0, 1.0), took(10.0, 1.0))
    known = {"costs": costs, "quality": QualityTable(declared=declared), "settings": settings}
    return service("a", "b", "c", **{**known, **rest})


@pytest.mark.parametrize(
    ("draw", "budget", "rest", "name", "explored"),
    [
        (0.0, Budget(), {}, "single:c", True),
        (0.0999, Budget(), {}, "single:c", True),
        (0.1, Budget(), {}, "single:b", False),
        (0.0, Budget(latency_ms=1e6), {}, "single:b", False),
        (0.0, Budget(energy_joules=5.0), {}, "single:c", True),
        (0.0, Budget(), {"quality_of_c": 0.59}, "single:b", False),
        (0.0, Budget(), {"wedged": frozenset("c")}, "single:b", False),
        (0.0, Budget(), {"settings": RoutingSettings(candidates=("a", "b"))}, "single:b", False),
    ],
)
def test_a_plan_is_tried_where_it_is_cold_nearly_as_good_and_nobody_is_in_a_hurry(
    draw: float, budget: Budget, rest: dict[str, Any], name: str, explored: bool
) -> None:
    decision = choose_plan(RoutingRequest(AUTO, budget=budget, draw=draw), exploring(**rest))
    assert (decision.route.name, decision.route.explored) == (name, explored)


def test_a_service_of_cold_models_answers_with_the_best_of_them() -> None:
    decision = choose_plan(RoutingRequest(AUTO, draw=0.5), exploring(costs={}))
    assert decision.route.name == "single:b"
    assert chosen(decision).forecast.cold
    assert chosen(decision).forecast.time_ms is None


SPECIALISTS = QualityTable(
    declared={"coder": 0.9, "general": 0.3}, tasks={"coder": ("code", "sql")}
)


@pytest.mark.parametrize(
    ("task", "name"),
    [
        ("code", "single:coder"),
        ("sql", "single:coder"),
        ("law", "single:general"),
        ("", "single:general"),
    ],
)
def test_a_specialist_answers_its_own_tasks_alone(task: str, name: str) -> None:
    snapshot = among("coder", "general", quality=SPECIALISTS)
    decision = choose_plan(RoutingRequest(AUTO, task=task), snapshot)
    assert decision.route.name == name
    assert decision.route.task == task


def test_a_specialist_answers_other_tasks_where_there_is_nobody_else() -> None:
    down = service("coder", status("general", ModelState.LOADING), quality=SPECIALISTS)
    assert name_of(AUTO, down, task="law") == "single:coder"
    assert name_of(AUTO, service("coder", quality=SPECIALISTS), task="law") == "single:coder"


@pytest.mark.parametrize(
    ("budget", "name", "figure"),
    [
        (Budget(latency_ms=100.0), "single:b", (Clause.LATENCY, 150.0, 100.0)),
        (Budget(energy_joules=2.0), "single:a", (Clause.ENERGY, 3.0, 2.0)),
        (Budget(latency_ms=100.0, energy_joules=2.0), "single:a", (Clause.LATENCY, 200.0, 100.0)),
    ],
)
def test_where_the_choice_is_open_and_nothing_fits_the_plan_that_comes_nearest_runs(
    budget: Budget, name: str, figure: Any
) -> None:
    """Both limits: a misses them by 1.0 + 0.5, b by 0.5 + 1.5, and the profile by far more."""
    costs = {**each(took(100.0, 3.0), took(75.0, 5.0)), "single:c": took(1e4, 1e4)}
    profiles = {"far off": vote("c")}
    snapshot = service("a", "b", "c", profiles=profiles, default_profile="far off", costs=costs)
    decision = choose_plan(RoutingRequest(AUTO, budget=budget), snapshot)
    assert decision.route.name == name
    assert figures(decision.route.over_budget) == figure


def test_a_prompt_that_does_not_fit_is_worse_than_any_limit_that_is_missed() -> None:
    snapshot = service(
        status("small", context_length=16),
        status("large", context_length=10_000),
        costs={"single:small": took(1.0), "single:large": took(1e6)},
        settings=RoutingSettings(candidates=("small", "large")),
    )
    request = RoutingRequest(AUTO, prompt_bytes=200, budget=Budget(latency_ms=100.0))
    decision = choose_plan(request, snapshot)
    assert decision.route.name == "single:large"
    assert clauses(decision)["single:small"] == [Clause.CONTEXT]


def test_with_leave_a_default_profile_that_is_down_does_not_keep_others_from_a_best_effort() -> (
    None
):
    snapshot = service(
        status("a", ModelState.FAILED),
        "b",
        profiles={"p": vote("a")},
        default_profile="p",
        costs={"single:b": took(100.0)},
    )
    request = RoutingRequest(budget=Budget(latency_ms=50.0), allow_substitution=True)
    decision = choose_plan(request, snapshot)
    assert decision.route.name == "single:b"
    assert decision.route.instead_of == "profile:p"
    assert figures(decision.route.over_budget) == (Clause.LATENCY, 200.0, 50.0)


@pytest.mark.parametrize("asked", [AUTO, None])
def test_models_that_make_no_progress_are_not_given_more_to_do(asked: Any) -> None:
    snapshot = service("a", "b", wedged=frozenset("ab"))
    with pytest.raises(Unavailable, match="no plan can run now: a makes no progress"):
        choose_plan(RoutingRequest(asked), snapshot)


def test_a_list_of_candidates_that_names_nobody_says_so() -> None:
    snapshot = service("a", settings=RoutingSettings(candidates=("zzz",)))
    with pytest.raises(ModelUnusable, match="no plan can run now: none may be chosen"):
        choose_plan(RoutingRequest(AUTO), snapshot)


def test_only_the_candidates_of_the_configuration_are_chosen_from() -> None:
    settings = RoutingSettings(candidates=("b", "pair"))
    profiles = {"pair": vote("a", "b"), "other": vote("a")}
    decision = choose_plan(
        RoutingRequest(AUTO), service("a", "b", profiles=profiles, settings=settings)
    )
    assert [one.name for one in decision.route.candidates] == ["single:b", "profile:pair"]


CASCADE = CascadePlan((Stage(vote("a"), 0.7), Stage(vote("b"))), stream_early=True)


def test_a_cascade_is_decided_with_its_stages_and_the_seed_of_the_request() -> None:
    decision = choose_plan(RoutingRequest(CASCADE, seed=7), service("a", "b"))
    assert decision.route.kind is PlanKind.CASCADE
    assert decision.route.name == "cascade:a>b"
    assert decision.route.stream_early
    assert [stage.confidence for stage in decision.route.stages] == [0.7, 0.0]
    assert [stage.decision.members[0].model for stage in decision.route.stages] == ["a", "b"]
    assert {decision.seed, *(stage.decision.seed for stage in decision.route.stages)} == {7}


def test_a_score_is_never_given_by_a_cascade() -> None:
    profiles = {"steps": CASCADE}
    quality = QualityTable(measured={("single:b", ""): Tally(1000, 1000)})
    settings = RoutingSettings(candidates=("a", "steps"))
    snapshot = service("a", "b", profiles=profiles, quality=quality, settings=settings)
    assert name_of(AUTO, snapshot) == "profile:steps"
    assert name_of(AUTO, snapshot, one_vote=True) == "single:a"
    by_default = replace(snapshot, default_profile="steps")
    for asked in (CASCADE, ProfilePlan("steps"), None):
        with pytest.raises(UnsupportedPlan, match="a cascade cannot score a text"):
            choose_plan(RoutingRequest(asked, one_vote=True), by_default)


@pytest.mark.parametrize("asked", [AUTO, None, ProfilePlan("steps"), vote("b")])
def test_plans_that_were_kept_change_nothing(asked: Any) -> None:
    snapshot = service("a", "b", profiles={"steps": CASCADE, "pair": vote("a", "b")})
    kept = replace(snapshot, plans=open_plans(snapshot))
    request = RoutingRequest(asked, seed=3, budget=Budget(latency_ms=5.0))
    assert choose_plan(request, kept) == choose_plan(request, snapshot)


@pytest.mark.parametrize(
    ("right", "name"),
    [(39, "single:a"), (37, "single:a"), (30, "single:b"), (0, "single:b")],
)
def test_of_plans_that_cannot_be_told_apart_by_their_answers_the_cheaper_one_runs(
    right: int, name: str
) -> None:
    measured = {("single:a", ""): Tally(right, 40), ("single:b", ""): Tally(39, 40)}
    costs = each(took(10.0, 0.1), took(10.0, 3.0))
    assert name_of(AUTO, among("a", "b", costs=costs, quality=QualityTable(measured))) == name


def test_what_was_not_measured_is_taken_by_its_word() -> None:
    quality = QualityTable({("single:b", ""): Tally(20, 40)}, {"a": 0.49})
    costs = each(took(10.0, 0.1), took(10.0, 3.0))
    assert name_of(AUTO, among("a", "b", costs=costs, quality=quality)) == "single:b"
