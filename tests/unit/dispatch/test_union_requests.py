"""Requests that are voted on over unions of pieces."""

from __future__ import annotations

import math
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from quorate.dispatch import Dispatcher
from quorate.errors import InvalidRequest, UnsupportedPlan
from quorate.request import (
    Alignment,
    CombinationRule,
    Event,
    FailurePolicy,
    FinishReason,
    NoticeKind,
    Plan,
    Request,
    ResponseOptions,
    SamplingOptions,
    ScoreRequest,
    StoppingOptions,
    TextPrompt,
    WeightedModel,
)
from support.byte_predictors import everything_is_free
from support.dispatching import GREEDY, Answer, bare_dispatcher, notices, text_of
from support.ensembles import die_and_return
from support.managed_engines import Cast

SAY = "the moon is big"
MODELS: dict[str, dict[str, Any]] = {
    "letters": {"vocabulary": "letters", "seed": 1, "say": SAY},
    "words": {"vocabulary": "words", "seed": 2, "say": SAY},
}
PROMPT = TextPrompt("one.")


def dispatching(**models: dict[str, Any]) -> AbstractAsyncContextManager[tuple[Dispatcher, Cast]]:
    return bare_dispatcher(**(models or MODELS))


def plan(**details: Any) -> Plan:
    members = tuple(WeightedModel(model) for model in MODELS)
    return Plan(members, alignment=Alignment.UNION_TOP_K, **details)


async def answer(dispatcher: Dispatcher, asked: Plan, **rest: Any) -> Answer:
    request = Request(PROMPT, asked, **{"sampling": GREEDY, **rest})
    return Answer([event async for event in dispatcher.generate(request)])


@pytest.mark.parametrize("rule", [CombinationRule.LINEAR, CombinationRule.GEOMETRIC])
async def test_members_that_cut_a_text_otherwise_write_it_together(rule: CombinationRule) -> None:
    async with dispatching() as (dispatcher, cast):
        told = await answer(dispatcher, plan(rule=rule), response=ResponseOptions(3, True))
        for engine in cast.engines.values():
            assert await everything_is_free(engine)
    assert told.text == SAY
    assert told.decision.alignment is Alignment.UNION_TOP_K
    assert told.decision.beam.width is None
    assert b"".join(token.piece for token in told.tokens) == SAY.encode()
    assert {token.token_id for token in told.tokens} == {None}
    assert [vote.model for vote in told.tokens[0].votes] == ["letters", "words"]
    assert len(told.tokens[0].top) == 3
    assert told.finished.reason is FinishReason.END_OF_GENERATION
    assert told.finished.usage.models[0].dropped_mass is None


async def test_an_answer_ends_at_the_tokens_of_the_member_that_needs_most() -> None:
    async with dispatching() as (dispatcher, _):
        told = await answer(dispatcher, plan(), stopping=StoppingOptions(max_tokens=3))
    assert told.finished.reason is FinishReason.MAX_TOKENS
    assert SAY.startswith(told.text) and 0 < len(told.text) < len(SAY)


async def test_stop_strings_hold_across_pieces() -> None:
    async with dispatching() as (dispatcher, _):
        told = await answer(dispatcher, plan(), stopping=StoppingOptions(stop=("n is",)))
    assert told.text == "the moo"
    assert told.finished.reason is FinishReason.STOP_STRING


async def test_a_text_is_scored_over_the_pieces_of_the_first_member() -> None:
    async with dispatching() as (dispatcher, cast):
        score = await dispatcher.score(ScoreRequest(PROMPT, SAY, plan()))
        other = await dispatcher.score(ScoreRequest(PROMPT, "the noon is pig", plan()))
        first = await cast.engines["letters"].encode_continuation(SAY)
    assert len(score.tokens) == len(first)
    assert score.logprob == pytest.approx(math.fsum(token.logprob for token in score.tokens))
    assert other.logprob < score.logprob - 5
    assert [member.model for member in score.members] == ["letters", "words"]


@pytest.mark.parametrize(
    ("policy", "kind"),
    [
        (FailurePolicy.CONTINUE, NoticeKind.MEMBER_DROPPED),
        (FailurePolicy.REPLAY, NoticeKind.MEMBER_REPLAYED),
    ],
)
async def test_a_member_that_dies_is_dropped_or_fed_again(
    policy: FailurePolicy, kind: NoticeKind
) -> None:
    async with dispatching() as (dispatcher, cast):
        told: list[Event] = []
        async for event in dispatcher.generate(Request(PROMPT, plan(on_failure=policy), GREEDY)):
            told.append(event)
            if len(told) == 3:
                die_and_return(cast.engines["words"])
    assert text_of(told) == SAY
    assert [notice.kind for notice in notices(told)] == [kind]


async def test_options_that_act_on_tokens_are_refused() -> None:
    async with dispatching() as (dispatcher, _):
        with pytest.raises(InvalidRequest) as refusal:
            await answer(dispatcher, plan(), sampling=SamplingOptions(logit_bias={3: 1.0}))
    assert refusal.value.field == "sampling.logit_bias"


async def test_a_member_without_bytes_is_refused_by_name() -> None:
    models = {**MODELS, "words": {"vocabulary": "opaque"}}
    async with dispatching(**models) as (dispatcher, _):
        with pytest.raises(UnsupportedPlan, match="words: its tokenizer does not say"):
            await answer(dispatcher, plan())


@pytest.mark.parametrize("most", [1, 2, 3, 5, 8, 12])
@pytest.mark.parametrize("context", [24, 48, 512])
async def test_a_piece_that_is_many_tokens_for_a_member_never_overruns_its_place(
    most: int, context: int
) -> None:
    models = {
        "letters": {"vocabulary": "letters", "context_length": context},
        "words": {"vocabulary": "words", "context_length": context, "seed": 5},
    }
    async with dispatching(**models) as (dispatcher, cast):
        for seed in range(6):
            hot = SamplingOptions(seed=seed, temperature=1.0)
            stopping = StoppingOptions(max_tokens=most)
            await answer(dispatcher, plan(), sampling=hot, stopping=stopping)
        for engine in cast.engines.values():
            assert await everything_is_free(engine)
