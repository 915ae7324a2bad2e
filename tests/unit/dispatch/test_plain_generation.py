"""Requests that need no vote: who runs ahead, and that they are charged as a vote of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from quorate.engines.generation import EngineSampling
from quorate.engines.session import EngineSession
from quorate.errors import InvalidRequest
from quorate.request import (
    Alignment,
    Delta,
    Event,
    Finished,
    FinishReason,
    Plan,
    ResponseOptions,
    SamplingOptions,
    StoppingOptions,
    Token,
    Usage,
    WeightedModel,
)
from support.dispatching import answer, ask, only, running_dispatcher, steps, text_of

SAYS = {"say": "sat on the mat", "seed": 1}
DRAWS = {**SAYS, "generate": True}
OWN = {**SAYS, "own_sampler": True}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[EngineSampling]:
    """How engines were asked to draw by themselves, in order."""
    options: list[EngineSampling] = []
    generate = EngineSession.generate

    def noted(session: EngineSession, tokens: Sequence[int], how: EngineSampling) -> Any:
        options.append(how)
        return generate(session, tokens, how)

    monkeypatch.setattr(EngineSession, "generate", noted)
    return options


def end(events: Sequence[Event]) -> Finished:
    last = events[-1]
    assert isinstance(last, Finished)
    return last


def counted(usage: Usage) -> tuple[Any, ...]:
    """All of a usage that does not depend on the clock."""
    timeless = [replace(model, busy_ms=0.0) for model in usage.models]
    return usage.generated_tokens, timeless


def told(events: Sequence[Event]) -> tuple[str, list[Token]]:
    """Text and tokens, which come in fewer deltas where the reader was behind."""
    deltas = [event for event in events if isinstance(event, Delta)]
    return "".join(one.text for one in deltas), [token for one in deltas for token in one.tokens]


@pytest.mark.parametrize(
    "rest",
    [
        {},
        {"stopping": StoppingOptions(max_tokens=3)},
        {"stopping": StoppingOptions(max_bytes=6)},
        {"stopping": StoppingOptions(stop=("the",))},
        {"response": ResponseOptions(top_logprobs=2)},
    ],
    ids=["an end", "tokens", "bytes", "a stop string", "candidates"],
)
async def test_one_model_that_draws_tokens_answers_as_its_vote_of_one(
    asked: list[EngineSampling], rest: dict[str, Any]
) -> None:
    async with running_dispatcher({"ahead": DRAWS, "voting": SAYS}) as stage:
        ahead = await answer(stage, only("ahead"), **rest)
        assert len(asked) == 1
        voted = await answer(stage, only("voting"), **rest)
        assert len(asked) == 1
        assert told(ahead) == told(voted)
        assert end(ahead).reason is end(voted).reason
        assert end(ahead).usage.generated_tokens == end(voted).usage.generated_tokens


async def test_both_are_charged_the_same(asked: list[EngineSampling]) -> None:
    plan = only("a")
    async with running_dispatcher({"a": DRAWS}) as stage:
        ahead = await answer(stage, plan)
        (of_ahead,) = await stage.charges()
        assert stage.sessions_opened("a") == 1
    async with running_dispatcher({"a": SAYS}) as stage:
        voted = await answer(stage, plan)
        (of_vote,) = await stage.charges()
    assert len(asked) == 1
    assert counted(end(ahead).usage) == counted(end(voted).usage)
    assert end(ahead).usage.models[0].busy_ms > 0
    assert end(ahead).usage.models[0].energy.joules == end(ahead).usage.generated_tokens > 0
    (part,), (expected,) = of_ahead.models, of_vote.models
    assert replace(part, busy_ms=0.0) == replace(expected, busy_ms=0.0)
    assert of_ahead.outcome == of_vote.outcome


async def test_the_engine_is_told_what_the_caller_asked_and_the_plans_seed(
    asked: list[EngineSampling],
) -> None:
    async with running_dispatcher({"a": DRAWS}) as stage:
        await answer(
            stage,
            only("a"),
            sampling=SamplingOptions(seed=11, top_k=3),
            stopping=StoppingOptions(max_tokens=5),
            response=ResponseOptions(top_logprobs=4),
        )
    (options,) = asked
    assert (options.seed, options.top_k, options.max_tokens, options.top_logprobs) == (11, 3, 5, 4)
    assert (options.temperature, options.top_p, options.min_p) == (0.8, 0.95, 0.05)


async def test_the_context_limits_what_is_drawn(asked: list[EngineSampling]) -> None:
    async with running_dispatcher({"a": {"generate": True, "context_length": 24}}) as stage:
        events = await answer(stage, only("a"), text="once upon", stopping=StoppingOptions())
    assert end(events).reason is FinishReason.CONTEXT_FULL
    (usage,) = end(events).usage.models
    assert asked[0].max_tokens == 24 - usage.prompt_tokens
    assert end(events).usage.generated_tokens == asked[0].max_tokens


@pytest.mark.parametrize(
    ("plan", "rest"),
    [
        (only("ahead"), {"response": ResponseOptions(member_votes=True)}),
        (Plan((WeightedModel("ahead"), WeightedModel("twin"))), {}),
        (Plan((WeightedModel("ahead"),), alignment=Alignment.BYTE_EXACT), {}),
        (Plan((WeightedModel("ahead"),), alignment=Alignment.UNION_TOP_K), {}),
        (only("own"), {"sampling": SamplingOptions(0.0, repetition_penalty=1.001)}),
        (only("own"), {"sampling": SamplingOptions(0.0, presence_penalty=0.001)}),
        (only("own"), {"sampling": SamplingOptions(0.0, frequency_penalty=0.001)}),
        (only("own"), {"sampling": SamplingOptions(0.0, logit_bias={7: -0.001})}),
    ],
    ids=[
        "votes are shown",
        "two vote",
        "bytes",
        "pieces",
        "repetition",
        "presence",
        "frequency",
        "bias",
    ],
)
async def test_what_needs_a_vote_is_voted_on(
    asked: list[EngineSampling], plan: Plan, rest: dict[str, Any]
) -> None:
    async with running_dispatcher({"ahead": DRAWS, "twin": DRAWS, "own": OWN}) as stage:
        events = await answer(stage, plan, **rest)
    assert text_of(events) == "sat on the mat"
    assert not asked


@pytest.mark.parametrize(
    "sampling",
    [
        SamplingOptions(temperature=0.0, presence_penalty=200.0),
        SamplingOptions(temperature=0.0, frequency_penalty=200.0),
        SamplingOptions(temperature=0.0, repetition_penalty=30.0),
        SamplingOptions(seed=5, repetition_penalty=1.3, frequency_penalty=0.4, top_k=0, min_p=0.0),
        SamplingOptions(seed=5, logit_bias={65: 3.0, 70: -2.0}, presence_penalty=0.5, top_p=0.7),
    ],
    ids=["presence", "frequency", "repetition", "both", "bias"],
)
@pytest.mark.parametrize("own_sampler", [False, True])
async def test_penalties_are_those_of_our_own_sampler(
    asked: list[EngineSampling], sampling: SamplingOptions, own_sampler: bool
) -> None:
    limit = StoppingOptions(max_tokens=20)
    ahead = {"seed": 3, "generate": True, "own_sampler": own_sampler}
    models = {"ahead": ahead, "voting": {"seed": 3}}
    async with running_dispatcher(models) as stage:
        plain = await answer(stage, only("ahead"), sampling=SamplingOptions(0.0), stopping=limit)
        assert len(asked) == 1
        able, voted = [
            await answer(stage, only(model), sampling=sampling, stopping=limit)
            for model in ("ahead", "voting")
        ]
    assert len(asked) == (1 if own_sampler else 2)
    assert told(able) == told(voted)
    assert len(set(text_of(able))) > len(set(text_of(plain)))


async def test_only_the_last_stage_of_a_cascade_runs_ahead(asked: list[EngineSampling]) -> None:
    unsure = {**DRAWS, "confidence": 0.3}
    async with running_dispatcher({"first": unsure, "last": DRAWS}) as stage:
        events = await answer(stage, steps("first", "last"))
        assert [usage.model for usage in end(events).usage.models] == ["first", "last"]
    # What the first stage is sure of is read from its votes and candidates.
    assert len(asked) == 1
    assert text_of(events) == "sat on the mat"


async def test_sampling_that_can_never_be_served_is_refused_before_anything_is_drawn(
    asked: list[EngineSampling],
) -> None:
    async with running_dispatcher({"a": DRAWS}) as stage:
        with pytest.raises(InvalidRequest, match=r"top_p: is 2\.0"):
            await answer(stage, only("a"), sampling=SamplingOptions(top_p=2.0))
    assert not asked


async def test_what_runs_ahead_teaches_what_a_vote_of_one_teaches(
    asked: list[EngineSampling],
) -> None:
    forecasts = []
    for options in (DRAWS, SAYS):
        async with running_dispatcher({"a": options}) as stage:
            for word in ("one", "two", "three"):
                await answer(stage, only("a"), text=word)
            decision = stage.dispatcher.explain(ask(only("a")))
            (chosen,) = [one for one in decision.route.candidates if one.chosen]
            forecasts.append(chosen.forecast)
    assert len(asked) == 3
    ahead, voted = forecasts
    assert not ahead.cold
    assert ahead.joules == pytest.approx(voted.joules)
    assert ahead.generated_tokens == pytest.approx(voted.generated_tokens)


async def test_a_caller_that_leaves_ends_the_generation(asked: list[EngineSampling]) -> None:
    async with running_dispatcher({"a": {"generate": True, "sessions": 1}}) as stage:
        stream = stage.dispatcher.generate(ask(only("a"), stopping=StoppingOptions(max_tokens=400)))
        async for event in stream:
            if text_of([event]):
                break
        await stream.aclose()
        assert not stage.cast.engines["a"].has_work
        events = await answer(stage, only("a"), stopping=StoppingOptions(max_tokens=2))
        assert end(events).usage.generated_tokens == 2
    assert len(asked) == 2
