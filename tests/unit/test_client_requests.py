from __future__ import annotations

from typing import Any

import pytest

from quorate.client import Client
from quorate.client.channel import authorization
from quorate.client.requests import charges_request, generate_request, score_request, spend_request
from quorate.errors import InvalidRequest
from quorate.v1 import accounting_pb2, inference_pb2, plan_pb2


def refused(*args: Any, **options: Any) -> str:
    with pytest.raises(InvalidRequest) as caught:
        generate_request(*args, **options)
    return caught.value.message


def test_a_prompt_alone_leaves_everything_to_the_server() -> None:
    request = generate_request("x")
    assert request.prompt == "x"
    assert request.WhichOneof("plan_choice") is None
    assert not request.sampling.HasField("temperature")
    assert not request.stopping.HasField("max_tokens")


def test_none_is_as_good_as_not_given() -> None:
    nothing = dict.fromkeys(
        ("model", "models", "profile", "rule", "seed", "stop", "votes", "request_id", "messages")
    )
    assert generate_request("x", **nothing) == generate_request("x")


def test_an_empty_prompt_is_a_prompt_and_no_models_are_an_ensemble_of_none() -> None:
    request = generate_request("", models=[])
    assert (request.WhichOneof("input"), request.plan.WhichOneof("kind")) == ("prompt", "ensemble")


def test_one_model_is_a_single_plan() -> None:
    request = generate_request("x", model="a", failure_policy="fail")
    assert request.plan == plan_pb2.Plan(
        single={"model": "a"}, failure_policy=plan_pb2.FAILURE_POLICY_FAIL
    )


def test_models_with_weights_are_an_ensemble() -> None:
    request = generate_request(
        "x", models={"a": 0.0, "b": None}, rule="geometric", alignment="byte_exact",
        weighting="bayesian",
    )  # fmt: skip
    assert request.plan.ensemble == plan_pb2.EnsemblePlan(
        members=[{"model": "a", "weight": 0.0}, {"model": "b"}],
        rule=plan_pb2.COMBINATION_RULE_GEOMETRIC,
        alignment=plan_pb2.ALIGNMENT_BYTE_EXACT,
        weighting=plan_pb2.WEIGHTING_BAYESIAN,
    )
    assert request.plan.ensemble.members[0].HasField("weight")
    assert not request.plan.ensemble.members[1].HasField("weight")


def test_the_numbers_of_a_plan_are_sent_where_they_are_given() -> None:
    request = generate_request(
        "x", models=["a", "b"], forgetting=0.5, beam_epsilon=0.0, beam_width=4
    )
    assert request.plan.ensemble.forgetting == 0.5
    assert request.plan.ensemble.beam == plan_pb2.ByteBeam(epsilon=0.0, width=4)
    plain = generate_request("x", models=["a", "b"]).plan.ensemble
    assert not plain.HasField("forgetting")
    assert not plain.HasField("beam")


@pytest.mark.parametrize(
    ("given", "draft"),
    [
        ({"drafts": "off"}, plan_pb2.Draft(mode=plan_pb2.DRAFT_MODE_OFF)),
        ({"drafts": "prompt", "drafts_most": 3}, plan_pb2.Draft(mode=3, most=3)),
        ({"drafts": "b"}, plan_pb2.Draft(model="b")),
        ({"drafts_most": 0}, plan_pb2.Draft(most=0)),
    ],
)
def test_who_guesses_is_a_mode_by_its_name_or_else_a_member(
    given: dict[str, Any], draft: plan_pb2.Draft
) -> None:
    assert generate_request("x", models=["a", "b"], **given).plan.ensemble.draft == draft


def test_a_model_named_twice_is_sent_twice_and_left_to_the_server() -> None:
    request = generate_request("x", models=["a", "a"])
    assert [member.model for member in request.plan.ensemble.members] == ["a", "a"]


def test_every_option_is_in_the_message() -> None:
    request = generate_request(
        messages=[("user", "hi")], profile="p", temperature=0.0, top_p=0.5, top_k=0, min_p=0.25,
        seed=3, repetition_penalty=1.0, presence_penalty=2.0, frequency_penalty=3.0,
        logit_bias={4: 5.0}, max_tokens=6, max_bytes=7, stop=["a"], top_logprobs=8, votes=True,
        request_id="r", latency_ms=500.0, energy_joules=0.0, usd=0.01, local_only=True, task="code",
        allow_substitution=False,
    )  # fmt: skip
    assert request == inference_pb2.GenerateRequest(
        request_id="r",
        chat={"messages": [{"role": "user", "content": "hi"}]},
        profile="p",
        sampling={
            "temperature": 0.0,
            "top_p": 0.5,
            "top_k": 0,
            "min_p": 0.25,
            "seed": 3,
            "repetition_penalty": 1.0,
            "presence_penalty": 2.0,
            "frequency_penalty": 3.0,
            "logit_bias": {4: 5.0},
        },
        stopping={"max_tokens": 6, "max_bytes": 7, "stop": ["a"]},
        response={"top_logprobs": 8, "member_votes": True},
        budget={"latency_ms": 500.0, "energy_joules": 0.0, "usd": 0.01},
        local_only=True,
        task="code",
        allow_substitution=False,
    )
    assert not generate_request("x").HasField("allow_substitution")


def test_a_budget_that_is_not_given_is_no_limit() -> None:
    request = generate_request("x", usd=0.0)
    assert request.budget.HasField("usd")
    assert not request.budget.HasField("latency_ms")
    assert not generate_request("x").HasField("budget")


def test_stages_are_a_cascade_and_a_tuple_is_a_stage_with_its_confidence() -> None:
    request = generate_request(
        "x",
        stages=[("a", 0.0), "b", (["c", "d"], None), {"e": 2.0, "f": None}],
        stream_early=True,
        failure_policy="fail",
    )
    assert request.plan == plan_pb2.Plan(
        cascade={
            "stages": [
                {"single": {"model": "a"}, "confidence": 0.0},
                {"single": {"model": "b"}},
                {"ensemble": {"members": [{"model": "c"}, {"model": "d"}]}},
                {"ensemble": {"members": [{"model": "e", "weight": 2.0}, {"model": "f"}]}},
            ],
            "stream_early": True,
        },
        failure_policy=plan_pb2.FAILURE_POLICY_FAIL,
    )
    assert request.plan.cascade.stages[0].HasField("confidence")


def test_the_choice_can_be_left_to_the_server_whatever_its_default_is() -> None:
    assert generate_request("x", auto=True).plan.WhichOneof("kind") == "auto"
    assert generate_request("x", auto=False).WhichOneof("plan_choice") is None


@pytest.mark.parametrize("options", [{}, {"prompt": "x", "messages": []}])
def test_there_is_one_input(options: dict[str, Any]) -> None:
    assert refused(**options) == "prompt: give either a prompt or messages"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"model": "a", "profile": "p"},
            "profile: cannot be combined with model; give one of them",
        ),
        (
            {"stages": ["a", "b"], "auto": True},
            "auto: cannot be combined with stages; give one of them",
        ),
        (
            {"stages": [("a", "b"), "c"]},
            "stages[0]: is the tuple ('a', 'b'); a tuple is (stage, confidence), models are a list",
        ),
        (
            {"models": ["a"], "rule": "mean"},
            "rule: is 'mean'; choose one of linear, geometric, majority",
        ),
        ({"stages": "ab"}, "stages: is the text 'ab'; give a list"),
        ({"stop": "END"}, "stop: is the text 'END'; give a list"),
        ({"models": "ab"}, "models: is the text 'ab'; give a list or model='ab'"),
    ],
)
def test_what_cannot_be_meant_is_refused(options: dict[str, Any], message: str) -> None:
    assert refused("x", **options) == message


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("rule", {"model": "a", "rule": "linear"}),
        ("rule", {"stages": ["a", "b"], "rule": "linear"}),
        ("failure_policy", {"failure_policy": "fail"}),
        ("stream_early", {"model": "a", "stream_early": True}),
    ],
)
def test_an_option_of_another_plan_is_refused(name: str, options: dict[str, Any]) -> None:
    assert refused("x", **options) == f"{name}: belongs to a plan; name the models it is for"


def test_a_score_has_a_continuation_and_a_plan() -> None:
    request = score_request("p", "c", models={"a": 2.0}, request_id="r")
    assert request.prompt == "p"
    assert request.continuation == "c"
    assert request.request_id == "r"
    assert request.plan.ensemble.members[0].weight == 2.0


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"model": "\udcff"}, "model"),
        ({"profile": "\udcff"}, "profile"),
        ({"stop": ["\udcff"]}, "stop"),
        ({"task": "\udcff"}, "task"),
        ({"prompt": None, "messages": [("user", "\udcff")]}, "messages"),
        ({"prompt": None, "messages": [("user", "x", "y")]}, "messages"),
        ({"prompt": "\udcff"}, "prompt"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"seed": -1}, "seed"),
        ({"top_k": 2**40}, "top_k"),
        ({"temperature": "hot"}, "temperature"),
        ({"logit_bias": {2**40: 1.0}}, "logit_bias"),
        ({"latency_ms": "soon"}, "latency_ms"),
        ({"models": {"a": "much"}}, "models"),
        ({"models": ["a"], "rule": ["linear"]}, "rule"),
        ({"models": ["a", "b"], "beam_width": -1}, "beam_width"),
        ({"models": ["a", "b"], "drafts": 1}, "drafts"),
        ({"models": ["a", "b"], "drafts_most": -1}, "drafts_most"),
        ({"model": "a", "drafts": "off"}, "drafts"),
        ({"models": ["a", "b"], "beam_width": 1.5}, "beam_width"),
        ({"models": ["a", "b"], "beam_epsilon": "a little"}, "beam_epsilon"),
        ({"stages": ["a", {"b": "much"}]}, "stages[1]"),
        ({"stages": [("a", [0.5]), "b"]}, "stages[0]"),
        ({"stages": [7, "b"]}, "stages[0]"),
    ],
)
def test_what_no_message_can_hold_is_refused_by_name(options: dict[str, Any], field: str) -> None:
    assert refused(**{"prompt": "x", **options}).startswith(f"{field}: ")


def test_a_continuation_that_is_no_text_is_refused_by_name() -> None:
    with pytest.raises(InvalidRequest, match="continuation: is not valid Unicode text"):
        score_request("x", "\udcff")


def test_rows_of_the_ledger_are_asked_for_by_what_is_given() -> None:
    request = charges_request(5, since=1.0, key="", model="a")
    assert request == accounting_pb2.ListChargesRequest(
        page_size=5, filter={"since": 1.0, "key": "", "model": "a"}
    )
    assert request.filter.HasField("key")
    assert not charges_request(5).filter.HasField("key")


def test_sums_are_made_by_what_is_named() -> None:
    request = spend_request(["plan_kind", "day"], until=2.0)
    assert list(request.group_by) == [
        accounting_pb2.SPEND_GROUP_PLAN_KIND,
        accounting_pb2.SPEND_GROUP_DAY,
    ]
    assert request.filter.until == 2.0
    assert not spend_request([]).group_by


@pytest.mark.parametrize(
    ("group_by", "told"),
    [
        (["week"], "group_by: is 'week'; choose one of model, profile, key, day, plan_kind, task"),
        ("day", "group_by: is the text 'day'; give a list"),
    ],
)
def test_groups_that_nobody_knows_are_refused(group_by: Any, told: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        spend_request(group_by)
    assert caught.value.message == told


@pytest.mark.parametrize(
    "target",
    ["example.org:50051", "10.0.0.1:1", "[2001:db8::1]:1", "dns:///127.0.0.1.example.org:1",
     "0.0.0.0:1", "dns:///localhost.example.org", "dns://10.0.0.1/localhost:1"],
)  # fmt: skip
def test_a_token_does_not_leave_the_machine_in_plain_text(target: str) -> None:
    with pytest.raises(InvalidRequest, match=r"token: would go to .* in plain text"):
        Client(target, token="secret")
    Client(target, token="secret", insecure=True)
    Client(target)


@pytest.mark.parametrize(
    "target",
    ["127.0.0.1:50051", "localhost:1", "[::1]:1", "dns:///localhost:1", "ipv4:127.0.0.1:1",
     "unix:/run/quorate.sock"],
)  # fmt: skip
def test_a_token_may_go_to_the_same_machine_in_plain_text(target: str) -> None:
    Client(target, token="secret")


def test_a_token_is_sent_as_a_bearer() -> None:
    assert authorization("secret") == (("authorization", "Bearer secret"),)
    assert authorization(None) == authorization("") == ()


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "s\u00e9cret"])
def test_a_token_that_no_header_can_hold_is_refused_without_being_shown(token: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        authorization(token)
    assert caught.value.message == "token: must be printable ASCII without spaces"
