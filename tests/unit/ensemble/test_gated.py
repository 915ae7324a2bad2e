"""Gated votes: who is asked when, and what that changes of an answer."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.ensemble.gated import Gate, margin
from quorate.errors import InvalidRequest
from quorate.request import (
    Alignment,
    ConstraintKind,
    Delta,
    Event,
    FailurePolicy,
    Finished,
    FinishReason,
    GateOptions,
    ModelUsage,
    OutputConstraint,
    Plan,
    ScoreRequest,
    StoppingOptions,
    TextPrompt,
    WeightedModel,
    Weighting,
)
from quorate.sampling.peaks import count_of_maxima, write_maxima
from support import dispatching
from support.dispatching import DispatcherHarness, running_dispatcher, text_of
from support.scripted_models import fresh_row

MODELS: dict[str, dict[str, Any]] = {
    "a": {"say": "the cat sat on the mat and slept", "confidence": 0.45, "seed": 1},
    "b": {"say": "the dog ran to the end of the road", "confidence": 0.55, "seed": 2},
}
BY_BYTES = {**MODELS, "b": {**MODELS["b"], "vocabulary": "words"}}


def gated(threshold: float | None = None, **rest: Any) -> Plan:
    members = (WeightedModel("a", 0.5), WeightedModel("b", 0.5))
    gate = GateOptions(threshold=threshold, **rest)
    return Plan(members, weighting=Weighting.GATED, gate=gate)


def full() -> Plan:
    return Plan((WeightedModel("a", 0.5), WeightedModel("b", 0.5)), weighting=Weighting.STATIC)


async def answer(stage: DispatcherHarness, plan: Plan, **rest: Any) -> list[Event]:
    return await dispatching.answer(stage, plan, **rest)


def used(events: list[Event]) -> dict[str, ModelUsage]:
    last = events[-1]
    assert isinstance(last, Finished)
    return {one.model: one for one in last.usage.models}


@given(st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=8))
def test_the_margin_is_between_the_two_most_probable(weights: list[float]) -> None:
    shares = sorted((weight / math.fsum(weights) for weight in weights), reverse=True)
    row = np.log(np.array(weights, np.float32) / np.float32(math.fsum(weights)))
    expected = 1.0 if len(shares) == 1 else shares[0] - shares[1]
    assert margin(row) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("known", [False, True])
def test_the_margin_of_a_large_row_is_found_by_its_maxima(known: bool) -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        logits = rng.normal(0, 6, 9000).astype(np.float32)
        row = logits - np.float32(np.logaddexp.reduce(logits.astype(np.float64)))
        maxima = np.empty(count_of_maxima(len(row)), np.float32)
        write_maxima(row, maxima)
        second, first = np.exp(np.sort(row.astype(np.float64))[-2:])
        found = margin(row, maxima if known else None)
        assert found == pytest.approx(first - second, abs=1e-5)


@given(st.floats(0.05, 0.9), st.integers(0, 1000))
def test_a_share_is_met_whatever_the_margins_are(share: float, seed: int) -> None:
    gate = Gate("a", 0.5, share)
    margins = np.random.default_rng(seed).beta(2.0, 1.0, 4000)
    asked = sum(gate.asks(float(one)) for one in margins)
    assert asked / len(margins) == pytest.approx(share, abs=0.05)


@pytest.mark.parametrize("models", [MODELS, BY_BYTES], ids=["tokens", "bytes"])
async def test_without_a_threshold_it_is_the_leader_and_with_all_of_one_the_vote_of_all(
    models: dict[str, dict[str, Any]],
) -> None:
    async with running_dispatcher(models) as stage:
        alone = await answer(stage, dispatching.only("a"))
        leader = await answer(stage, gated(0.0))
        assert text_of(leader) == text_of(alone)
        assert used(leader)["b"].generated_tokens == 0
        all_asked = await answer(stage, gated(1.0))
        assert text_of(all_asked) == text_of(await answer(stage, full()))
        other = await answer(stage, gated(0.0, leader="b"))
        assert text_of(other) == text_of(await answer(stage, dispatching.only("b")))


async def test_each_token_is_the_leaders_where_it_is_sure_and_that_of_all_where_not() -> None:
    threshold, text = 0.04, "the cat "
    async with running_dispatcher({"a": {"seed": 1}, "b": {"seed": 2}}) as stage:
        stopping = StoppingOptions(max_tokens=24)
        events = await answer(stage, gated(threshold), text=text, stopping=stopping)
        context = await stage.cast.engines["a"].encode(TextPrompt(text))
        tokens = [one for event in events if isinstance(event, Delta) for one in event.tokens]
        alone = 0
        for token in tokens:
            rows = [fresh_row(context, seed=seed) for seed in (1, 2)]
            expected = rows[0]
            if margin(rows[0]) < threshold:
                expected = np.logaddexp(*rows) - np.log(2)
            else:
                alone += 1
            assert token.token_id == int(np.argmax(expected))
            assert token.logprob == pytest.approx(float(expected[token.token_id]), abs=1e-4)
            context.append(token.token_id)
        assert 0 < alone < len(tokens)
        assert used(events)["a"].lone_tokens == alone
        # What was skipped was read together, not one by one.
        assert used(events)["b"].generated_tokens < len(tokens)


@pytest.mark.parametrize("models", [MODELS, BY_BYTES], ids=["tokens", "bytes"])
async def test_what_a_form_forces_is_no_doubt_and_what_it_leaves_open_is(
    models: dict[str, dict[str, Any]],
) -> None:
    async with running_dispatcher(models) as stage:

        async def told(plan: Plan, pattern: str) -> list[Event]:
            form = OutputConstraint(ConstraintKind.REGEX, pattern)
            return await answer(stage, plan, constraint=form)

        forced = await told(gated(0.999), "one way")
        assert text_of(forced) == "one way"
        assert used(forced)["b"].generated_tokens == 0
        free = "[a-z]{6} (left|right)"
        unsure = await told(gated(0.999), free)
        assert used(unsure)["b"].generated_tokens > 0
        assert text_of(await told(gated(1.0), free)) == text_of(await told(full(), free))
        if models is MODELS:
            # Byte by byte the most probable text is another one than token by token.
            alone = await told(dispatching.only("a"), free)
            assert text_of(await told(gated(0.0), free)) == text_of(alone)


async def test_a_member_that_is_never_asked_reads_along_all_the_same_now_and_then() -> None:
    """What it takes of its context is known before it is full."""
    long = {"a": {"say": "n" * 300, "confidence": 0.9}, "b": {"seed": 2, "context_length": 200}}
    async with running_dispatcher(long) as stage:
        stopping = StoppingOptions(max_tokens=300)
        events = await answer(stage, gated(0.0), stopping=stopping)
        last = events[-1]
        assert isinstance(last, Finished)
        assert used(events)["b"].generated_tokens >= 128
        assert last.reason is FinishReason.CONTEXT_FULL


@pytest.mark.parametrize("bytewise", [False, True], ids=["tokens", "bytes"])
async def test_an_answer_is_scored_as_it_was_streamed(bytewise: bool) -> None:
    words = {"vocabulary": "words"} if bytewise else {}
    async with running_dispatcher({"a": {"seed": 1}, "b": {"seed": 2, **words}}) as stage:
        plan, stopping = gated(0.04), StoppingOptions(max_tokens=12)
        events = await answer(stage, plan, text="the cat ", stopping=stopping)
        tokens = [one for event in events if isinstance(event, Delta) for one in event.tokens]
        if bytewise:
            request = ScoreRequest(TextPrompt("the cat "), text_of(events), plan)
        else:
            ids = tuple(one.token_id for one in tokens if one.token_id is not None)
            request = ScoreRequest(TextPrompt("the cat "), "", plan, continuation_tokens=ids)
        score = await stage.dispatcher.score(request)
        told = [one.logprob for one in tokens][: len(score.tokens)]
        assert [one.logprob for one in score.tokens] == pytest.approx(told, abs=1e-3)


@pytest.mark.parametrize("alignment", [Alignment.SAME_VOCABULARY, Alignment.BYTE_EXACT])
async def test_a_long_text_is_scored_in_blocks_as_it_is_symbol_by_symbol(
    alignment: Alignment,
) -> None:
    text = "sat on the mat and slept until the dog ran by, twice; and then it ran after the dog" * 2
    scores = []
    for rewind in (True, False):
        # Who cannot go back looks at nothing ahead.
        models = {"a": {"seed": 1, "rewind": rewind}, "b": {"seed": 2, "rewind": rewind}}
        async with running_dispatcher(models) as stage:
            plan = replace(gated(0.02), alignment=alignment)
            score = await stage.dispatcher.score(ScoreRequest(TextPrompt("the cat "), text, plan))
            scores.append([one.logprob for one in score.tokens])
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)


@pytest.mark.parametrize("policy", [FailurePolicy.CONTINUE, FailurePolicy.REPLAY])
@pytest.mark.parametrize("lost", ["a", "b"])
async def test_a_member_that_is_lost_is_dropped_or_waited_for(
    policy: FailurePolicy, lost: str
) -> None:
    async with running_dispatcher(MODELS) as stage:
        plan = gated(0.6)
        plan = Plan(plan.members, weighting=plan.weighting, gate=plan.gate, on_failure=policy)
        undisturbed = text_of(await answer(stage, plan))
        request = dispatching.ask(plan)
        seen: list[Event] = []
        stream = stage.dispatcher.generate(request)
        async for event in stream:
            seen.append(event)
            if len(seen) == 4:
                stage.cast.engines[lost].lose("killed by SIGKILL")
                stage.cast.engines[lost].recover()
        assert isinstance(seen[-1], Finished)
        if policy is FailurePolicy.REPLAY:
            assert text_of(seen) == undisturbed


@pytest.mark.parametrize("models", [MODELS, BY_BYTES], ids=["tokens", "bytes"])
async def test_an_answer_stays_whole_where_the_leader_is_dropped_and_the_other_is_lost_too(
    models: dict[str, dict[str, Any]],
) -> None:
    async with running_dispatcher(models) as stage:
        plan = gated(0.3)
        whole = text_of(await answer(stage, plan))
        seen: list[Event] = []
        async for event in stage.dispatcher.generate(dispatching.ask(plan)):
            seen.append(event)
            if len(seen) == 6:
                for model in "ab":
                    stage.cast.engines[model].lose("killed by SIGKILL")
                    stage.cast.engines[model].recover()
        before = text_of(seen[:6])
        assert whole.startswith(before) and text_of(seen).count(before) == 1
        assert "the cat sat othe" not in text_of(seen)


@pytest.mark.parametrize("rewind", [True, False])
@pytest.mark.parametrize("text", ["c", "cat sat"])
async def test_a_score_tells_what_every_member_thinks_whoever_would_have_been_asked(
    text: str, rewind: bool
) -> None:
    models = {"a": {"seed": 1, "rewind": rewind}, "b": {"seed": 2, "rewind": rewind}}
    async with running_dispatcher(models) as stage:
        scores = [
            await stage.dispatcher.score(ScoreRequest(TextPrompt("the "), text, plan))
            for plan in (gated(0.0), full())
        ]
        led, voted = [{one.model: one.logprob for one in score.members} for score in scores]
        assert led == pytest.approx(voted, abs=1e-4)
        assert scores[0].logprob == pytest.approx(led["a"], abs=1e-4)


async def test_of_near_equal_vocabularies_every_member_has_a_score_of_its_own() -> None:
    async with running_dispatcher({name: {"seed": at} for at, name in enumerate("abc")}) as stage:
        other = stage.cast.engines["b"]
        other.vocabulary = replace(
            other.vocabulary, names={**other.vocabulary.names, 3: "<|other|>"}
        )
        members = tuple(WeightedModel(name) for name in "abc")
        scores = []
        for weighting in (Weighting.GATED, Weighting.STATIC):
            plan = Plan(members, weighting=weighting, gate=GateOptions(threshold=0.0))
            request = ScoreRequest(TextPrompt("the "), "cat sat on the", plan)
            score = await stage.dispatcher.score(request)
            scores.append({one.model: one.logprob for one in score.members})
        assert scores[0] == pytest.approx(scores[1], abs=1e-3)
        assert len({round(one, 3) for one in scores[0].values()}) == 3


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"threshold": 1.5}, "plan.ensemble.gate.threshold"),
        ({"share": -0.1}, "plan.ensemble.gate.share"),
        ({"leader": "c"}, "plan.ensemble.gate.leader"),
    ],
)
async def test_what_can_be_no_gate_is_refused(options: dict[str, Any], field: str) -> None:
    async with running_dispatcher(MODELS) as stage:
        with pytest.raises(InvalidRequest) as refused:
            await answer(stage, gated(**options))
    assert refused.value.field == field


async def test_the_vote_on_few_candidates_has_no_gate() -> None:
    plan = Plan(gated().members, weighting=Weighting.GATED, alignment=Alignment.UNION_TOP_K)
    async with running_dispatcher(BY_BYTES) as stage:
        with pytest.raises(Exception, match="are all asked at every step"):
            await answer(stage, plan)
