"""Requests that are voted on over unions of pieces."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from quorate.dispatch import Dispatcher, DispatchSettings
from quorate.errors import InvalidRequest, UnsupportedPlan
from quorate.request import (
    Accepted,
    Alignment,
    CombinationRule,
    Delta,
    Event,
    FailurePolicy,
    Finished,
    FinishReason,
    Notice,
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
from support.managed_engines import Cast, loaded_fleet

SAY = "the moon is big"
MODELS: dict[str, dict[str, Any]] = {
    "letters": {"vocabulary": "letters", "seed": 1, "say": SAY},
    "words": {"vocabulary": "words", "seed": 2, "say": SAY},
}
PROMPT = TextPrompt("one.")
GREEDY = SamplingOptions(temperature=0.0)


@asynccontextmanager
async def dispatching(**models: dict[str, Any]) -> AsyncIterator[tuple[Dispatcher, Cast]]:
    cast = Cast()
    fleet = await loaded_fleet(cast, **(models or MODELS))
    try:
        yield Dispatcher(fleet, DispatchSettings()), cast
    finally:
        await fleet.close()


def plan(**details: Any) -> Plan:
    members = tuple(WeightedModel(model) for model in MODELS)
    return Plan(members, alignment=Alignment.UNION_TOP_K, **details)


async def events(dispatcher: Dispatcher, asked: Plan, **rest: Any) -> list[Event]:
    request = Request(PROMPT, asked, **{"sampling": GREEDY, **rest})
    return [event async for event in dispatcher.generate(request)]


def text_of(told: list[Event]) -> str:
    return "".join(event.text for event in told if isinstance(event, Delta))


@pytest.mark.parametrize("rule", [CombinationRule.LINEAR, CombinationRule.GEOMETRIC])
async def test_members_that_cut_a_text_otherwise_write_it_together(rule: CombinationRule) -> None:
    async with dispatching() as (dispatcher, cast):
        told = await events(dispatcher, plan(rule=rule), response=ResponseOptions(3, True))
        for engine in cast.engines.values():
            assert await everything_is_free(engine)
    assert text_of(told) == SAY
    assert isinstance(told[0], Accepted)
    assert told[0].decision.alignment is Alignment.UNION_TOP_K
    assert told[0].decision.beam.width is None
    tokens = [token for event in told if isinstance(event, Delta) for token in event.tokens]
    assert b"".join(token.piece for token in tokens) == SAY.encode()
    assert {token.token_id for token in tokens} == {None}
    assert [vote.model for vote in tokens[0].votes] == ["letters", "words"]
    assert len(tokens[0].top) == 3
    assert isinstance(told[-1], Finished)
    assert told[-1].reason is FinishReason.END_OF_GENERATION
    assert told[-1].usage.models[0].dropped_mass is None


async def test_an_answer_ends_at_the_tokens_of_the_member_that_needs_most() -> None:
    async with dispatching() as (dispatcher, _):
        told = await events(dispatcher, plan(), stopping=StoppingOptions(max_tokens=3))
    assert isinstance(told[-1], Finished)
    assert told[-1].reason is FinishReason.MAX_TOKENS
    assert SAY.startswith(text_of(told)) and 0 < len(text_of(told)) < len(SAY)


async def test_stop_strings_hold_across_pieces() -> None:
    async with dispatching() as (dispatcher, _):
        told = await events(dispatcher, plan(), stopping=StoppingOptions(stop=("n is",)))
    assert text_of(told) == "the moo"
    assert isinstance(told[-1], Finished)
    assert told[-1].reason is FinishReason.STOP_STRING


async def test_a_text_is_scored_over_the_pieces_of_the_first_member() -> None:
    async with dispatching() as (dispatcher, cast):
        score = await dispatcher.score(ScoreRequest(PROMPT, SAY, plan()))
        other = await dispatcher.score(ScoreRequest(PROMPT, "the noon is pig", plan()))
        first = await cast.engines["letters"].encode_continuation(SAY)
    assert len(score.tokens) == len(first)
    assert score.logprob == pytest.approx(math.fsum(token.logprob for token in score.tokens))
    assert other.logprob < score.logprob - 5
    assert [member.model for member in score.members] == ["letters", "words"]


async def test_a_member_that_dies_is_dropped_or_fed_again(
    subtests: pytest.Subtests,
) -> None:
    for policy, kind in (
        (FailurePolicy.CONTINUE, NoticeKind.MEMBER_DROPPED),
        (FailurePolicy.REPLAY, NoticeKind.MEMBER_REPLAYED),
    ):
        with subtests.test(policy.value):
            async with dispatching() as (dispatcher, cast):
                told: list[Event] = []
                request = Request(PROMPT, plan(on_failure=policy), GREEDY)
                async for event in dispatcher.generate(request):
                    told.append(event)
                    if len(told) == 3:
                        cast.engines["words"].lose("killed")
                        cast.engines["words"].recover()
            assert text_of(told) == SAY
            assert [event.kind for event in told if isinstance(event, Notice)] == [kind]


async def test_options_that_act_on_tokens_are_refused() -> None:
    async with dispatching() as (dispatcher, _):
        with pytest.raises(InvalidRequest) as refusal:
            await events(dispatcher, plan(), sampling=SamplingOptions(logit_bias={3: 1.0}))
    assert refusal.value.field == "sampling.logit_bias"


async def test_a_member_without_bytes_is_refused_by_name() -> None:
    async with dispatching(letters=MODELS["letters"], words={"vocabulary": "opaque"}) as (
        dispatcher,
        _,
    ):
        with pytest.raises(UnsupportedPlan, match="words: its tokenizer does not say"):
            await events(dispatcher, plan())


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
            told = await events(
                dispatcher,
                plan(),
                sampling=SamplingOptions(seed=seed, temperature=1.0),
                stopping=StoppingOptions(max_tokens=most),
            )
            assert isinstance(told[-1], Finished)
        for engine in cast.engines.values():
            assert await everything_is_free(engine)
