"""Requests whose members have different vocabularies, from plan to answer."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.dispatch import Dispatcher
from quorate.errors import InvalidRequest, PromptTooLong
from quorate.request import (
    Alignment,
    BeamOptions,
    ChatPrompt,
    CombinationRule,
    FinishReason,
    Message,
    Plan,
    Prompt,
    Request,
    ResponseOptions,
    SamplingOptions,
    ScoreRequest,
    StoppingOptions,
    TextPrompt,
    WeightedModel,
    Weighting,
)
from support.byte_predictors import everything_is_free
from support.dispatching import GREEDY, Answer, bare_dispatcher
from support.managed_engines import Cast

LETTERS: dict[str, Any] = {"vocabulary": "letters", "seed": 1}
WORDS: dict[str, Any] = {"vocabulary": "words", "seed": 2}
SHORT = StoppingOptions(max_tokens=12)
PROMPT = TextPrompt("the cat ")
CHAT = ChatPrompt((Message("user", "hi"),))


def dispatching(**models: dict[str, Any]) -> AbstractAsyncContextManager[tuple[Dispatcher, Cast]]:
    """A dispatcher over two models with different vocabularies, unless others are given."""
    return bare_dispatcher(**(models or {"letters": LETTERS, "words": WORDS}))


def saying(say: str = "hello there", **options: Any) -> dict[str, dict[str, Any]]:
    """Two models with different vocabularies and the same options."""
    both = {"say": say, **options}
    return {"letters": {**LETTERS, **both}, "words": {**WORDS, **both}}


def plan(*models: str, **details: Any) -> Plan:
    return Plan(tuple(WeightedModel(model) for model in models or ("letters", "words")), **details)


async def assert_everything_is_free(cast: Cast) -> None:
    for engine in cast.engines.values():
        assert await everything_is_free(engine)


async def answer(
    dispatcher: Dispatcher, asked: Plan, prompt: Prompt = PROMPT, **rest: Any
) -> Answer:
    request = Request(prompt, asked, **{"sampling": GREEDY, "stopping": SHORT, **rest})
    return Answer([event async for event in dispatcher.generate(request)])


@pytest.mark.parametrize("prompt", [PROMPT, TextPrompt(""), CHAT])
@pytest.mark.parametrize("weighting", list(Weighting))
@pytest.mark.parametrize("rule", list(CombinationRule))
async def test_scoring_an_answer_repeats_what_its_stream_said(
    prompt: Prompt, weighting: Weighting, rule: CombinationRule
) -> None:
    asked = plan(alignment=Alignment.BYTE_EXACT, weighting=weighting, rule=rule)
    async with dispatching() as (dispatcher, cast):
        streamed = await answer(dispatcher, asked, prompt)
        assert streamed.text
        score = await dispatcher.score(ScoreRequest(prompt, streamed.text, asked))
        await assert_everything_is_free(cast)
    assert score.logprob == pytest.approx(streamed.logprob, abs=1e-5)
    assert score.decision.weighting is streamed.decision.weighting
    assert [token.piece for token in score.tokens] == [token.piece for token in streamed.tokens]


@pytest.mark.parametrize("weighting", list(Weighting))
async def test_scoring_an_answer_repeats_its_stream_also_where_members_share_their_tokens(
    weighting: Weighting,
) -> None:
    say = {**LETTERS, "say": "hello there"}
    async with dispatching(letters=say, twin={**say, "seed": 5}) as (dispatcher, _):
        asked = plan("letters", "twin", weighting=weighting)
        streamed = await answer(dispatcher, asked, CHAT)
        score = await dispatcher.score(ScoreRequest(CHAT, streamed.text, asked))
    assert streamed.decision.alignment is Alignment.SAME_VOCABULARY
    assert streamed.text == "hello there"
    assert score.logprob == pytest.approx(streamed.logprob, abs=1e-5)


async def test_a_score_tells_what_each_member_thinks_and_what_it_took() -> None:
    async with dispatching() as (dispatcher, _):
        score = await dispatcher.score(ScoreRequest(CHAT, "the house", plan()))
        alone = await dispatcher.score(
            ScoreRequest(CHAT, "the house", plan("words", alignment=Alignment.BYTE_EXACT))
        )
    letters, words = score.members
    assert [letters.model, words.model] == ["letters", "words"]
    assert words.logprob == pytest.approx(alone.logprob, abs=1e-5)
    assert letters.weight + words.weight == pytest.approx(1.0)
    assert score.bytes == len("the house")
    assert letters.forwards >= 1 and words.forwards >= words.tokens - 1
    assert letters.dropped_mass is not None and letters.dropped_mass >= 0
    assert min(letters.logprob, words.logprob) <= score.logprob


@pytest.mark.parametrize("most", [1, 2, 3, 7])
@pytest.mark.parametrize("prompt", [PROMPT, TextPrompt(""), TextPrompt("the")])
async def test_an_answer_has_as_many_tokens_as_were_asked_for_and_never_none(
    most: int, prompt: TextPrompt
) -> None:
    async with dispatching() as (dispatcher, _):
        stopping = StoppingOptions(max_tokens=most)
        told = await answer(dispatcher, plan(), prompt, stopping=stopping)
    assert told.text
    assert told.finished.reason is FinishReason.MAX_TOKENS
    longest = max(usage.generated_tokens for usage in told.finished.usage.models)
    assert longest >= most
    assert len(told.text.encode()) >= most


@pytest.mark.parametrize(
    ("sampling", "field"),
    [
        ({"logit_bias": {7: 1.0}}, "sampling.logit_bias"),
        ({"repetition_penalty": 1.1}, "sampling.repetition_penalty"),
        ({"presence_penalty": 0.5}, "sampling.presence_penalty"),
        ({"frequency_penalty": 0.5}, "sampling.frequency_penalty"),
    ],
)
async def test_sampling_that_acts_on_tokens_is_refused_where_there_are_none(
    sampling: dict[str, Any], field: str
) -> None:
    async with dispatching(letters=LETTERS, twin=LETTERS, words=WORDS) as (dispatcher, _):
        with pytest.raises(InvalidRequest) as refusal:
            await answer(dispatcher, plan(), sampling=SamplingOptions(**sampling))
        assert refusal.value.field == field
        twins = plan("letters", "twin")
        assert (await answer(dispatcher, twins, sampling=SamplingOptions(**sampling))).text


async def test_sampling_that_asks_for_nothing_of_tokens_is_served() -> None:
    neutral = SamplingOptions(
        temperature=0.0, repetition_penalty=1.0, presence_penalty=0.0, frequency_penalty=0.0
    )
    async with dispatching() as (dispatcher, _):
        assert (await answer(dispatcher, plan(), sampling=neutral)).text


@pytest.mark.parametrize("sessions", [1, 2, 3])
async def test_models_with_few_sessions_vote_too(sessions: int) -> None:
    async with dispatching(**saying(sessions=sessions)) as (dispatcher, cast):
        told = await asyncio.gather(*(answer(dispatcher, plan(), CHAT) for _ in range(3)))
        assert {one.text for one in told} == {"hello there"}
        assert {one.decision.beam.width for one in told} == {sessions}
        await assert_everything_is_free(cast)


async def test_an_answer_is_the_same_alone_and_among_others() -> None:
    async with dispatching() as (dispatcher, _):
        prompts = [TextPrompt(f"prompt {number} ") for number in range(6)]
        alone = [await answer(dispatcher, plan(), prompt) for prompt in prompts]
        among = await asyncio.gather(*(answer(dispatcher, plan(), prompt) for prompt in prompts))
    assert [one.text for one in among] == [one.text for one in alone]
    assert [one.logprob for one in among] == [one.logprob for one in alone]


@pytest.mark.parametrize("events", range(6))
async def test_a_reader_that_leaves_frees_every_session(events: int) -> None:
    async with dispatching() as (dispatcher, cast):
        stream = dispatcher.generate(Request(PROMPT, plan(), GREEDY, SHORT))
        for _ in range(events):
            await anext(stream)
        await stream.aclose()
        await assert_everything_is_free(cast)


@given(st.integers(1, 120))
async def test_a_request_that_is_cancelled_at_any_moment_frees_every_session(moments: int) -> None:
    async with dispatching() as (dispatcher, cast):
        asking = asyncio.ensure_future(answer(dispatcher, plan()))
        for _ in range(moments):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        await assert_everything_is_free(cast)
        assert dispatcher.running == 0


async def test_a_context_that_is_full_ends_the_answer() -> None:
    async with dispatching(**saying("", context_length=40)) as (dispatcher, _):
        told = await answer(dispatcher, plan(), stopping=StoppingOptions(max_tokens=1000))
    assert told.finished.reason is FinishReason.CONTEXT_FULL
    assert told.text


@settings(max_examples=40)
@given(
    st.integers(0, 1000),
    st.integers(24, 64),
    st.integers(1, 8),
    st.sampled_from([0.0, 0.01, 0.5]),
    st.sampled_from(["", "x", "the cat "]),
)
async def test_however_small_the_context_the_vote_stays_within_it(
    seed: int, context: int, width: int, epsilon: float, prompt: str
) -> None:
    models = saying("", context_length=context, seed=seed, sharpness=2.0)
    asked = plan(beam=BeamOptions(epsilon, width))
    hot = SamplingOptions(temperature=1.5, seed=seed)
    async with dispatching(**models) as (dispatcher, cast):
        most = StoppingOptions(max_tokens=1000)
        told = await answer(dispatcher, asked, TextPrompt(prompt), sampling=hot, stopping=most)
        assert told.finished.reason in (FinishReason.CONTEXT_FULL, FinishReason.END_OF_GENERATION)
        with suppress(PromptTooLong):
            await dispatcher.score(ScoreRequest(TextPrompt(prompt), "to be or not to be", asked))
        await assert_everything_is_free(cast)


async def test_votes_and_candidates_are_told_per_word() -> None:
    async with dispatching(**saying()) as (dispatcher, _):
        shown = ResponseOptions(top_logprobs=2, member_votes=True)
        told = await answer(dispatcher, plan(), CHAT, response=shown)
    assert [token.piece for token in told.tokens] == [b"hello", b" there"]
    for token in told.tokens:
        assert [vote.piece for vote in token.votes] == [token.piece] * 2
        assert sum(vote.weight for vote in token.votes) == pytest.approx(1.0)
        assert [candidate.token_id for candidate in token.top] == [None, None]


async def test_usage_counts_words_of_the_answer_and_tokens_of_each_member() -> None:
    async with dispatching(**saying()) as (dispatcher, cast):
        told = await answer(dispatcher, plan(), CHAT)
        prompts = [len(await engine.encode(CHAT)) for engine in cast.engines.values()]
    usage = told.finished.usage
    assert [model.prompt_tokens for model in usage.models] == prompts
    assert all(model.generated_tokens >= 2 for model in usage.models)
    assert all(model.dropped_mass is not None for model in usage.models)
