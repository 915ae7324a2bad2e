from __future__ import annotations

from typing import Any

import pytest

from quorate.api.grpc.translation.requests import (
    ALIGNMENTS,
    FAILURE_POLICIES,
    RULES,
    WEIGHTINGS,
    generate_request,
    score_request,
)
from quorate.errors import InvalidRequest
from quorate.request import (
    Alignment,
    AutoPlan,
    BeamOptions,
    ChatPrompt,
    CombinationRule,
    FailurePolicy,
    Message,
    Plan,
    PlanChoice,
    ProfilePlan,
    Request,
    ResponseOptions,
    SamplingOptions,
    StoppingOptions,
    TextPrompt,
    WeightedModel,
    Weighting,
)
from quorate.v1 import inference_pb2, plan_pb2


def generate(**fields: Any) -> inference_pb2.GenerateRequest:
    return inference_pb2.GenerateRequest(**{"prompt": "x", **fields})


def plan_of(**fields: Any) -> PlanChoice | None:
    """What the router is asked for."""
    return generate_request(generate(**fields), "r").plan


def refused(message: inference_pb2.GenerateRequest) -> tuple[str, str]:
    with pytest.raises(InvalidRequest) as caught:
        generate_request(message, "made-up")
    return caught.value.field, caught.value.problem


def ensemble(**fields: Any) -> plan_pb2.Plan:
    members = [plan_pb2.Member(model="a", weight=0.0), plan_pb2.Member(model="b")]
    return plan_pb2.Plan(ensemble=plan_pb2.EnsemblePlan(members=members, **fields))


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        (RULES, plan_pb2.CombinationRule),
        (ALIGNMENTS, plan_pb2.Alignment),
        (WEIGHTINGS, plan_pb2.Weighting),
        (FAILURE_POLICIES, plan_pb2.FailurePolicy),
    ],
)
def test_every_enum_value_has_a_meaning(table: dict[int, Any], kind: Any) -> None:
    assert set(table) == set(kind.values())
    for number, value in table.items():
        name = kind.Name(number)
        assert name.endswith(("_UNSPECIFIED", f"_{value.name}"))


def test_nothing_set_leaves_everything_open() -> None:
    assert generate_request(generate(), "made-up") == Request(TextPrompt("x"), request_id="made-up")


def test_a_zero_that_was_set_is_not_the_same_as_unset() -> None:
    options = inference_pb2.SamplingOptions(temperature=0.0, top_k=0, seed=0)
    request = generate_request(generate(sampling=options), "r")
    assert request.sampling == SamplingOptions(temperature=0.0, top_k=0, seed=0)


def test_every_option_arrives() -> None:
    message = generate(
        request_id="mine",
        sampling={
            "temperature": 0.5,
            "top_p": 0.25,
            "top_k": 3,
            "min_p": 0.125,
            "seed": 2**53 - 1,
            "repetition_penalty": 1.5,
            "presence_penalty": 0.75,
            "frequency_penalty": -0.5,
            "logit_bias": {7: -2.0},
        },
        stopping={"max_tokens": 4, "max_bytes": 9, "stop": ["a", "b"]},
        response={"top_logprobs": 100, "member_votes": True},
    )
    assert generate_request(message, "made-up") == Request(
        prompt=TextPrompt("x"),
        sampling=SamplingOptions(0.5, 0.25, 3, 0.125, 2**53 - 1, 1.5, 0.75, -0.5, {7: -2.0}),
        stopping=StoppingOptions(4, 9, ("a", "b")),
        response=ResponseOptions(100, True),
        request_id="mine",
    )


def test_an_empty_prompt_is_a_prompt() -> None:
    assert generate_request(generate(prompt=""), "r").prompt == TextPrompt("")


def test_a_chat_keeps_its_order() -> None:
    chat = {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": ""}]}
    message = inference_pb2.GenerateRequest(chat=chat)
    assert generate_request(message, "r").prompt == ChatPrompt(
        (Message("system", "s"), Message("user", ""))
    )


def test_a_single_plan_has_one_member() -> None:
    plan = plan_pb2.Plan(single={"model": "a"}, failure_policy=plan_pb2.FAILURE_POLICY_REPLAY)
    assert plan_of(plan=plan) == Plan((WeightedModel("a"),), on_failure=FailurePolicy.REPLAY)


def test_an_ensemble_has_defaults_where_nothing_is_said() -> None:
    assert plan_of(plan=ensemble()) == Plan(
        members=(WeightedModel("a", 0.0), WeightedModel("b", None)),
        rule=CombinationRule.LINEAR,
        alignment=Alignment.AUTO,
        weighting=Weighting.AUTO,
        on_failure=FailurePolicy.AUTO,
        forgetting=None,
        beam=BeamOptions(None, None),
    )


def test_the_numbers_of_a_plan_arrive_and_a_zero_is_not_the_same_as_unset() -> None:
    narrow = plan_of(plan=ensemble(forgetting=0.75, beam={"epsilon": 0.0}))
    wide = plan_of(plan=ensemble(beam={"width": 0}))
    assert isinstance(narrow, Plan) and isinstance(wide, Plan)
    assert (narrow.forgetting, narrow.beam) == (0.75, BeamOptions(0.0, None))
    assert (wide.forgetting, wide.beam) == (None, BeamOptions(None, 0))


def test_an_ensemble_without_members_is_refused() -> None:
    plan = plan_pb2.Plan()
    plan.ensemble.SetInParent()
    field, problem = refused(generate(plan=plan))
    assert (field, problem) == ("plan.ensemble.members", "is empty; name at least one model")


def test_all_fields_that_are_wrong_are_told_at_once() -> None:
    members = [{"model": "a", "weight": -1}, {"model": "a"}, {"model": ""}]
    message = generate(
        plan={"ensemble": {"members": members, "rule": 77}, "failure_policy": 88},
        sampling={"temperature": -1, "top_p": 2, "seed": 2**53},
        stopping={"max_tokens": 0, "max_bytes": 0, "stop": [""]},
        response={"top_logprobs": 101},
        budget={"latency_ms": -1, "usd": float("inf")},
        task="t" * 65,
    )
    with pytest.raises(InvalidRequest) as caught:
        generate_request(message, "made-up")
    told = [caught.value.field, *(one.field for one in caught.value.also)]
    assert sorted(told) == [
        "budget.latency_ms",
        "budget.usd",
        "plan.ensemble.members[0].weight",
        "plan.ensemble.members[1].model",
        "plan.ensemble.members[2].model",
        "plan.ensemble.rule",
        "plan.failure_policy",
        "response.top_logprobs",
        "sampling.seed",
        "sampling.temperature",
        "sampling.top_p",
        "stopping.max_bytes",
        "stopping.max_tokens",
        "stopping.stop[0]",
        "task",
    ]
    assert caught.value.message.startswith(f"{told[0]}: ")
    assert f"also wrong: {told[1]}, {told[2]}" in caught.value.message


def test_of_very_many_wrong_fields_some_are_told() -> None:
    members = [{"model": f"m{index}", "weight": -1} for index in range(10_000)]
    with pytest.raises(InvalidRequest) as caught:
        generate_request(generate(plan={"ensemble": {"members": members}}), "made-up")
    assert 1 < 1 + len(caught.value.also) < 64


def test_what_is_wrong_with_a_score_is_told_at_once() -> None:
    message = inference_pb2.ScoreRequest(prompt="p", profile="")
    message.plan.failure_policy = 99
    with pytest.raises(InvalidRequest) as caught:
        score_request(message, "r")
    assert {caught.value.field, *(one.field for one in caught.value.also)} == {
        "continuation",
        "plan.failure_policy",
        "plan",
    }


def test_the_other_plans_are_translated() -> None:
    assert plan_of(plan={"auto": {}}) == AutoPlan()
    assert plan_of(profile="p") == ProfilePlan("p")


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (inference_pb2.GenerateRequest(), "input"),
        (inference_pb2.GenerateRequest(chat={}), "chat.messages"),
        (
            inference_pb2.GenerateRequest(chat={"messages": [{"content": "x"}]}),
            "chat.messages[0].role",
        ),
        (generate(plan={}), "plan"),
        (generate(plan={"single": {"model": ""}}), "plan.single.model"),
        (generate(profile=""), "profile"),
        (generate(plan=ensemble(rule=99)), "plan.ensemble.rule"),
        (generate(plan=ensemble(alignment=99)), "plan.ensemble.alignment"),
        (generate(plan=ensemble(weighting=99)), "plan.ensemble.weighting"),
        (generate(plan={"auto": {}, "failure_policy": 99}), "plan.failure_policy"),
        (generate(stopping={"max_tokens": 0}), "stopping.max_tokens"),
        (generate(stopping={"max_bytes": 0}), "stopping.max_bytes"),
        (generate(stopping={"stop": ["a", ""]}), "stopping.stop[1]"),
        (generate(response={"top_logprobs": 101}), "response.top_logprobs"),
    ],
)
def test_what_can_never_be_served_is_refused_with_its_path(
    message: inference_pb2.GenerateRequest, field: str
) -> None:
    assert refused(message)[0] == field


def test_an_unknown_enum_number_is_answered_with_the_known_names() -> None:
    _, problem = refused(generate(plan=ensemble(rule=99)))
    assert problem.startswith("has the unknown value 99; known: COMBINATION_RULE_UNSPECIFIED, ")


def test_a_score_is_translated() -> None:
    message = inference_pb2.ScoreRequest(
        prompt="p", continuation="c", plan={"single": {"model": "a"}}
    )
    request = score_request(message, "made-up")
    assert request.prompt == TextPrompt("p")
    assert request.continuation == "c"
    assert request.plan == Plan((WeightedModel("a"),))
    assert request.request_id == "made-up"


def test_a_score_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="continuation"):
        score_request(inference_pb2.ScoreRequest(prompt="p"), "r")


@pytest.mark.parametrize("said", [None, False, True])
def test_whether_another_plan_may_answer_stays_open_where_nobody_says(said: bool | None) -> None:
    message = inference_pb2.GenerateRequest(prompt="x", allow_substitution=said)
    assert generate_request(message, "r").allow_substitution is said
