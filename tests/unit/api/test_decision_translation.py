from __future__ import annotations

from dataclasses import fields, replace

from quorate.api.grpc.translation import decisions
from quorate.request import (
    Candidate,
    Clause,
    DecidedStage,
    Decision,
    FailurePolicy,
    Forecast,
    PlanKind,
    Rejection,
    Route,
    WeightedModel,
)
from quorate.v1 import plan_pb2
from support.attempts import vote_decision

VOTE = vote_decision({"a": 0.25, "b": 0.75}, on_failure=FailurePolicy.CONTINUE)
TOO_SLOW = Rejection(Clause.LATENCY, "nine of ten take 90 ms of 50 ms", 90.0, 50.0)
NO_MODEL = Rejection(Clause.HEALTH, "a is loading")
FIGURES = {
    "time_ms": 40.0,
    "time_q90_ms": 90.0,
    "joules": 1.0,
    "joules_q90": 2.0,
    "limited_by_tokens": 256,
}
PRICES = {"usd": 0.0, "usd_ceiling": 0.5}
FORECAST = Forecast(**FIGURES, **PRICES, cold=False)
CANDIDATE = Candidate(
    "ensemble:a+b", PlanKind.ENSEMBLE, ("a", "b"), FORECAST, 0.75, 0.25, (TOO_SLOW, NO_MODEL)
)
NUMBERS = (*FIGURES, *PRICES)


def shown(decision: Decision) -> plan_pb2.Decision:
    message = plan_pb2.Decision()
    decisions.fill_decision(message, decision)
    return message


def routed(**route: object) -> plan_pb2.Decision:
    return shown(replace(VOTE, route=replace(Route(), **route)))


def test_a_plain_vote_has_a_kind_and_nothing_beside_it() -> None:
    message = shown(VOTE)
    assert message.kind == plan_pb2.PLAN_KIND_SINGLE
    assert (message.remote, message.task, message.explored) == ("", "", False)
    assert not message.HasField("over_budget")
    assert list(message.stages) == list(message.candidates) == []
    assert message.seed == 7


def test_a_remote_answers_without_members() -> None:
    decision = replace(
        VOTE, members=(), context_tokens=0, route=Route(kind=PlanKind.REMOTE, remote="far")
    )
    message = shown(decision)
    assert (message.kind, message.remote) == (plan_pb2.PLAN_KIND_REMOTE, "far")
    assert list(message.members) == []


def test_the_stages_of_a_cascade_are_whole_decisions() -> None:
    last = replace(VOTE, members=(WeightedModel("c", 1.0),), profile="careful")
    message = routed(
        kind=PlanKind.CASCADE, stages=(DecidedStage(VOTE, 0.7), DecidedStage(last, 0.0))
    )
    assert message.kind == plan_pb2.PLAN_KIND_CASCADE
    assert [stage.confidence for stage in message.stages] == [0.7, 0.0]
    assert message.stages[0].decision == shown(VOTE)
    assert message.stages[1].decision == shown(last)


def test_a_candidate_is_told_with_all_that_is_known_of_it() -> None:
    (message,) = routed(candidates=(CANDIDATE,)).candidates
    assert (message.name, message.kind) == ("ensemble:a+b", plan_pb2.PLAN_KIND_ENSEMBLE)
    assert list(message.models) == ["a", "b"]
    for name in NUMBERS:
        assert message.HasField(name)
        assert getattr(message, name) == getattr(FORECAST, name)
    assert (message.quality, message.cost) == (0.75, 0.25)
    assert (message.cold, message.chosen) == (False, False)
    assert [rejection.clause for rejection in message.rejections] == [
        plan_pb2.CLAUSE_LATENCY,
        plan_pb2.CLAUSE_HEALTH,
    ]


def test_what_is_not_known_of_a_candidate_is_absent() -> None:
    bare = Candidate("single:a", PlanKind.SINGLE, ("a",), chosen=True)
    (message,) = routed(candidates=(bare,)).candidates
    assert [name for name in (*NUMBERS, "quality", "cost") if message.HasField(name)] == []
    assert (message.cold, message.chosen) == (True, True)


def test_every_number_of_a_forecast_that_has_a_place_is_told() -> None:
    untold = {"tier", "prompt_tokens", "generated_tokens", "cold"}
    assert {field.name for field in fields(Forecast)} - untold == set(NUMBERS)


def test_a_rejection_has_numbers_only_where_there_are_any() -> None:
    message = routed(over_budget=TOO_SLOW, candidates=(CANDIDATE,))
    assert message.over_budget == plan_pb2.Rejection(
        clause=plan_pb2.CLAUSE_LATENCY, message=TOO_SLOW.message, predicted=90.0, limit=50.0
    )
    health = message.candidates[0].rejections[1]
    assert not health.HasField("predicted")
    assert not health.HasField("limit")
    zero = routed(over_budget=Rejection(Clause.USD, "x", 0.0, 0.0)).over_budget
    assert zero.HasField("predicted")
    assert zero.HasField("limit")


def test_that_a_plan_was_tried_to_learn_from_it_and_the_task_are_told() -> None:
    message = routed(explored=True, task="code")
    assert (message.explored, message.task) == (True, "code")


def test_a_plan_that_stands_in_names_the_one_that_was_asked_for() -> None:
    assert routed(instead_of="ensemble:a+b").instead_of == "ensemble:a+b"
    assert routed().instead_of == ""
