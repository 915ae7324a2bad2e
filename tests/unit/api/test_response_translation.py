from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from quorate.api.grpc.translation import decisions, responses
from quorate.engines.template_facts import TemplateFacts
from quorate.fleet.status import ModelState, ModelStatus
from quorate.request import (
    Accepted,
    Alignment,
    BeamOptions,
    Clause,
    CombinationRule,
    DecidedDraft,
    Delta,
    Energy,
    EnergyTier,
    FailurePolicy,
    Finished,
    FinishReason,
    MemberScore,
    ModelUsage,
    Notice,
    NoticeKind,
    PlanKind,
    Score,
    Token,
    TopCandidate,
    Usage,
    Vote,
    Weighting,
)
from quorate.v1 import inference_pb2, models_pb2, plan_pb2
from support.attempts import vote_decision

DECISION = vote_decision(
    {"a": 0.25, "b": 0.75},
    rule=CombinationRule.GEOMETRIC,
    on_failure=FailurePolicy.REPLAY,
    context_tokens=2048,
    seed=2**63 - 1,
    profile="pair",
)


@pytest.mark.parametrize(
    ("table", "domain", "wire"),
    [
        (decisions.KINDS, PlanKind, plan_pb2.PlanKind),
        (decisions.CLAUSES, Clause, plan_pb2.Clause),
        (decisions.RULES, CombinationRule, plan_pb2.CombinationRule),
        (decisions.ALIGNMENTS, Alignment, plan_pb2.Alignment),
        (decisions.WEIGHTINGS, set(Weighting) - {Weighting.AUTO}, plan_pb2.Weighting),
        (decisions.FAILURE_POLICIES, FailurePolicy, plan_pb2.FailurePolicy),
        (responses.NOTICES, NoticeKind, inference_pb2.NoticeKind),
        (responses.REASONS, FinishReason, inference_pb2.FinishReason),
        (responses.TIERS, EnergyTier, inference_pb2.EnergyTier),
        (responses.STATES, ModelState, models_pb2.ModelState),
    ],
)
def test_every_domain_value_has_a_number_of_its_own(table: Any, domain: Any, wire: Any) -> None:
    assert set(table) == set(domain)
    assert len(set(table.values())) == len(table)
    assert set(table.values()) | {0} == set(wire.values())


def test_accepted_holds_the_whole_decision() -> None:
    response = responses.generate_response(Accepted("r", DECISION))
    assert response.WhichOneof("event") == "accepted"
    assert response.accepted.request_id == "r"
    assert response.accepted.decision == plan_pb2.Decision(
        members=[{"model": "a", "weight": 0.25}, {"model": "b", "weight": 0.75}],
        rule=plan_pb2.COMBINATION_RULE_GEOMETRIC,
        alignment=plan_pb2.ALIGNMENT_SAME_VOCABULARY,
        weighting=plan_pb2.WEIGHTING_STATIC,
        failure_policy=plan_pb2.FAILURE_POLICY_REPLAY,
        context_tokens=2048,
        seed=2**63 - 1,
        profile="pair",
        kind=plan_pb2.PLAN_KIND_SINGLE,
        input_form=plan_pb2.INPUT_FORM_TEXT,
    )


def test_accepted_tells_who_guesses_or_why_nobody_does() -> None:
    decided = replace(DECISION, draft=DecidedDraft("", 8, "no member\nis smaller"))
    response = responses.generate_response(Accepted("r", decided))
    expected = plan_pb2.DecidedDraft(most=8, problem="no member is smaller")
    assert response.accepted.decision.draft == expected
    assert not responses.generate_response(Accepted("r", DECISION)).accepted.decision.HasField(
        "draft"
    )


def test_a_delta_holds_its_tokens_with_candidates_and_votes() -> None:
    token = Token(
        5,
        b"\xc3",
        -0.5,
        (TopCandidate(5, b"\xc3", -0.5), TopCandidate(0, b"x", -math.inf)),
        (Vote("a", b"y", -0.25, 0.5, -2.0),),
    )
    response = responses.generate_response(Delta("", (token,)))
    assert response.delta == inference_pb2.Delta(
        tokens=[
            inference_pb2.Token(
                piece=b"\xc3",
                token_id=5,
                logprob=-0.5,
                top=[
                    {"piece": b"\xc3", "token_id": 5, "logprob": -0.5},
                    {"piece": b"x", "token_id": 0, "logprob": -math.inf},
                ],
                votes=[
                    {
                        "model": "a",
                        "piece": b"y",
                        "logprob": -0.25,
                        "weight": 0.5,
                        "chosen_logprob": -2.0,
                    }
                ],
            )
        ]
    )


def test_an_empty_delta_is_still_the_event() -> None:
    assert responses.generate_response(Delta("", ())).WhichOneof("event") == "delta"


def test_a_notice_is_translated() -> None:
    response = responses.generate_response(Notice(NoticeKind.MEMBER_REPLAYED, "a", "restarted"))
    assert response.notice == inference_pb2.Notice(
        kind=inference_pb2.NOTICE_KIND_MEMBER_REPLAYED, model="a", message="restarted"
    )


def test_what_is_not_known_of_the_usage_is_absent() -> None:
    usage = Usage(3, 0, None, 4.5, (ModelUsage("a", 3, 1, 0, 2.5),))
    finished = responses.generate_response(Finished(FinishReason.MAX_TOKENS, usage)).finished
    assert finished.reason == inference_pb2.FINISH_REASON_MAX_TOKENS
    assert not finished.usage.HasField("time_to_first_token_ms")
    assert finished.usage.models[0] == inference_pb2.ModelUsage(
        model="a",
        prompt_tokens=3,
        cached_prompt_tokens=1,
        busy_ms=2.5,
        energy={"tier": inference_pb2.ENERGY_TIER_UNAVAILABLE},
    )
    assert not finished.usage.models[0].energy.HasField("joules")
    assert not finished.usage.models[0].HasField("usd")


def test_what_is_known_of_the_usage_is_there_even_where_it_is_zero() -> None:
    measured = Energy(0.0, EnergyTier.MEASURED)
    usage = Usage(3, 2, 0.0, 4.5, (ModelUsage("a", energy=measured),))
    wire = responses.generate_response(Finished(FinishReason.STOP_STRING, usage)).finished.usage
    assert wire.HasField("time_to_first_token_ms")
    assert wire.models[0].energy.HasField("joules")
    assert wire.models[0].energy.tier == inference_pb2.ENERGY_TIER_MEASURED


def test_what_holds_for_a_byte_exact_vote_alone_is_told_of_it_alone() -> None:
    token_wise = responses.generate_response(Accepted("r", DECISION)).accepted.decision
    assert not token_wise.HasField("forgetting")
    assert not token_wise.HasField("beam")
    decision = replace(
        DECISION,
        alignment=Alignment.BYTE_EXACT,
        weighting=Weighting.BAYESIAN,
        forgetting=0.75,
        beam=BeamOptions(0.0, 16),
    )
    byte_wise = responses.generate_response(Accepted("r", decision)).accepted.decision
    assert byte_wise.alignment == plan_pb2.ALIGNMENT_BYTE_EXACT
    assert byte_wise.weighting == plan_pb2.WEIGHTING_BAYESIAN
    assert byte_wise.forgetting == 0.75
    assert byte_wise.beam == plan_pb2.ByteBeam(epsilon=0.0, width=16)
    assert byte_wise.beam.HasField("epsilon")


def test_a_word_of_a_byte_exact_vote_has_no_token_id_and_token_number_zero_has() -> None:
    word = Token(None, b" cat", -0.5, (TopCandidate(None, b" ", -0.25),))
    wire = responses.generate_response(Delta(" cat", (word,))).delta.tokens[0]
    assert not wire.HasField("token_id")
    assert not wire.top[0].HasField("token_id")
    zero = responses.generate_response(Delta("x", (Token(0, b"x", -0.5),))).delta.tokens[0]
    assert zero.HasField("token_id")


def test_dropped_mass_is_told_where_something_may_be_pruned() -> None:
    usage = Usage(3, 0, None, 4.5, (ModelUsage("a"), ModelUsage("b", dropped_mass=0.0)))
    wire = responses.generate_response(Finished(FinishReason.MAX_TOKENS, usage)).finished.usage
    assert not wire.models[0].HasField("dropped_mass")
    assert wire.models[1].HasField("dropped_mass")


def test_a_score_tells_what_each_member_thinks() -> None:
    members = (MemberScore("a", -3.0, 2, 2, 0.25), MemberScore("b", -4.0, 3, 7, 0.75, 0.125))
    score = Score("r", DECISION, -3.5, 4, (), Usage(1, 1, None, 2.0), members)
    assert list(responses.score_response(score).members) == [
        inference_pb2.MemberScore(model="a", logprob=-3.0, tokens=2, forwards=2, weight=0.25),
        inference_pb2.MemberScore(
            model="b", logprob=-4.0, tokens=3, forwards=7, weight=0.75, dropped_mass=0.125
        ),
    ]


def test_a_score_is_translated_whole() -> None:
    score = Score("r", DECISION, -3.5, 4, (Token(1, b"ab", -3.5),), Usage(1, 1, None, 2.0))
    response = responses.score_response(score)
    assert response.request_id == "r"
    assert response.logprob == -3.5
    assert response.bytes == 4
    assert response.decision.profile == "pair"
    assert [token.piece for token in response.tokens] == [b"ab"]
    assert response.usage.duration_ms == 2.0


def test_a_models_status_is_translated() -> None:
    status = ModelStatus(
        "a", ModelState.DOWNLOADING, "llama_cpp", "half", 0.5, "llama 135M", 8192, 49152,
        "f00d", True, True, 8, (0, 1), 2**40,
    )  # fmt: skip
    assert responses.model_message(status) == models_pb2.Model(
        id="a",
        state=models_pb2.MODEL_STATE_DOWNLOADING,
        message="half",
        progress=0.5,
        engine="llama_cpp",
        description="llama 135M",
        context_length=8192,
        vocabulary_size=49152,
        vocabulary_fingerprint="f00d",
        chat=True,
        sessions=8,
        cores=[0, 1],
        memory_bytes=2**40,
        template=models_pb2.TemplateFacts(
            system_first=True,
            system_later=True,
            assistant_first=True,
            continues=True,
            generation_prompt=True,
            parallel_calls=True,
        ),
    )


def test_a_ready_model_tells_its_warnings_in_its_message_as_well() -> None:
    status = ModelStatus("a", ModelState.READY, "scripted", warnings=("one", "two"))
    message = responses.model_message(status)
    assert (message.message, list(message.warnings)) == ("one; two", ["one", "two"])


def test_a_template_that_is_of_no_use_says_why() -> None:
    facts = TemplateFacts(problem="it does not end")
    status = ModelStatus("a", ModelState.READY, "scripted", template=facts)
    message = responses.model_message(status)
    assert message.template_problem == "it does not end"
    assert not message.HasField("template")


def test_progress_that_is_not_known_is_absent_and_zero_is_present() -> None:
    loading = ModelStatus("a", ModelState.LOADING, "scripted")
    assert not responses.model_message(loading).HasField("progress")
    begun = ModelStatus("a", ModelState.LOADING, "scripted", progress=0.0)
    assert responses.model_message(begun).HasField("progress")
