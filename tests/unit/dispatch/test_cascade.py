"""Cascades: which stage's answer is given, and what the caller sees of the others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from quorate.dispatch.settings import CallerLimits
from quorate.errors import LimitReached, PromptTooLong, Unavailable
from quorate.request import (
    Accepted,
    AutoPlan,
    CascadePlan,
    Delta,
    Event,
    Finished,
    FinishReason,
    NoticeKind,
    Plan,
    ProfilePlan,
    ResponseOptions,
    Stage,
    Usage,
    WeightedModel,
)
from support import dispatching
from support.dispatching import (
    DEADLINE_SECONDS,
    DispatcherHarness,
    ask,
    notices,
    only,
    running_dispatcher,
    steps,
    text_of,
    until,
)

SURE = {"say": "maybe", "confidence": 0.98}
UNSURE = {"say": "maybe", "confidence": 0.3}
LAST = {"say": "surely", "confidence": 0.98}


async def answer(stage: DispatcherHarness, plan: Any, **rest: Any) -> list[Event]:
    events = await dispatching.answer(stage, plan, **rest)
    assert isinstance(events[0], Accepted)
    assert sum(isinstance(event, Accepted) for event in events) == 1
    assert isinstance(events[-1], Finished)
    return events


def usage_of(events: list[Event]) -> Usage:
    last = events[-1]
    assert isinstance(last, Finished)
    return last.usage


def used(events: list[Event]) -> list[str]:
    return [usage.model for usage in usage_of(events).models]


def kinds(events: list[Event]) -> str:
    """The order of events: A, then D and N, then F."""
    return "".join(type(event).__name__[0] for event in events)


@pytest.mark.parametrize("early", [False, True])
async def test_an_answer_that_is_sure_is_kept_and_no_later_stage_runs(early: bool) -> None:
    async with running_dispatcher({"a": SURE, "b": LAST}) as stage:
        events = await answer(stage, steps("a", "b", early=early))
        assert text_of(events) == "maybe"
        assert notices(events) == []
        assert used(events) == ["a"]
        assert stage.sessions_opened("a") > 0
        assert stage.sessions_opened("b") == 0
        assert usage_of(events).generated_tokens == sum(
            len(event.tokens) for event in events if isinstance(event, Delta)
        )


async def test_an_answer_that_is_not_sure_gives_way_unseen() -> None:
    async with running_dispatcher({"a": UNSURE, "b": LAST}) as stage:
        events = await answer(stage, steps("a", "b"))
        assert text_of(events) == "surely"
        [notice] = notices(events)
        assert (notice.kind, notice.model) == (NoticeKind.ESCALATED, "a")
        assert notice.message.startswith("a gives way to b: its confidence is 0.3")
        assert notice.message.endswith(", and 0.60 is asked for")
        assert kinds(events).startswith("AND")
        assert used(events) == ["a", "b"]
        usage = usage_of(events)
        assert usage.generated_tokens == len("surely")
        assert [one.generated_tokens for one in usage.models] == [len("maybe"), len("surely")]


async def test_a_stage_that_is_streamed_early_is_replaced_after_a_notice() -> None:
    async with running_dispatcher({"a": UNSURE, "b": LAST}) as stage:
        events = await answer(stage, steps("a", "b", early=True))
        told = kinds(events)
        at = told.index("N")
        assert told.count("N") == 1
        assert text_of(events[:at]) == "maybe"
        assert text_of(events[at:]) == "surely"
        assert usage_of(events).generated_tokens == len("surely")


async def test_who_cannot_be_told_of_a_replacement_is_shown_nothing_that_may_be_replaced() -> None:
    async with running_dispatcher({"a": UNSURE, "b": LAST}) as stage:
        events = await answer(stage, steps("a", "b", early=True), takes_replacements=False)
        assert text_of(events) == "surely"
        kept = await answer(
            stage, steps("a", "b", early=True, confidence=0.1), takes_replacements=False
        )
        assert text_of(kept) == "maybe"


@pytest.mark.parametrize("early", [False, True])
async def test_a_stage_that_cannot_begin_gives_way(early: bool) -> None:
    async with running_dispatcher({"a": SURE, "b": LAST}) as stage:
        stage.cast.engines["a"].lose("killed by SIGKILL")
        events = await answer(stage, steps("a", "b", early=early))
        assert text_of(events) == "surely"
        [notice] = notices(events)
        assert notice.message == "a gives way to b: model a is restarting"
        assert used(events) == ["b"]


async def test_a_stage_that_dies_in_the_middle_gives_way() -> None:
    async with running_dispatcher({"a": {**SURE, "say": "maybe" * 40}, "b": LAST}) as stage:
        asking = asyncio.create_task(answer(stage, steps("a", "b")))
        engine = stage.cast.engines["a"]
        await until(lambda: engine.open_sessions)
        engine.lose("killed by SIGKILL")
        events = await asking
        assert text_of(events) == "surely"
        [notice] = notices(events)
        assert "its worker process was lost (killed by SIGKILL)" in notice.message


async def test_a_stage_that_dies_while_its_text_is_streamed_gives_way() -> None:
    long = {**SURE, "say": "maybe" * 40, "step_delay_ms": 5.0}
    async with running_dispatcher({"a": long, "b": LAST}) as stage:
        events: list[Event] = []
        async with asyncio.timeout(DEADLINE_SECONDS):
            async for event in stage.dispatcher.generate(ask(steps("a", "b", early=True))):
                events.append(event)
                if kinds(events) == "AD":
                    stage.cast.engines["a"].lose("killed by SIGKILL")
        [notice] = notices(events)
        assert notice.kind is NoticeKind.ESCALATED
        assert text_of(events[events.index(notice) :]) == "surely"


async def test_a_prompt_that_is_too_long_for_a_stage_goes_to_the_next() -> None:
    async with running_dispatcher({"a": {**SURE, "context_length": 8}, "b": LAST}) as stage:
        events = await answer(stage, steps("a", "b"), text="x" * 10)
        assert text_of(events) == "surely"
        assert "has 11 tokens for model a" in notices(events)[0].message
        with pytest.raises(PromptTooLong):
            await answer(stage, steps("b", "a", confidence=1.0), text="x" * 1000)


@pytest.mark.parametrize("early", [False, True])
async def test_where_the_last_stage_cannot_begin_the_answer_so_far_is_given(early: bool) -> None:
    async with running_dispatcher({"a": UNSURE, "b": LAST}) as stage:
        stage.cast.engines["b"].lose("killed by SIGKILL")
        events = await answer(stage, steps("a", "b", early=early))
        after = kinds(events).index("N")
        assert text_of(events[:after]) == ("maybe" if early else "")
        assert text_of(events[after:]) == "maybe"
        assert used(events) == ["a"]
        assert events[-1].reason is FinishReason.END_OF_GENERATION  # type: ignore[union-attr]
        assert usage_of(events).generated_tokens == len("maybe")


@pytest.mark.parametrize("order", ["ab", "ba"])
async def test_of_several_answers_the_surest_is_kept(order: str) -> None:
    models = {"a": UNSURE, "b": {"say": "either", "confidence": 0.5}, "c": LAST}
    async with running_dispatcher(models) as stage:
        stage.cast.engines["c"].lose("killed by SIGKILL")
        events = await answer(stage, steps(*order, "c", confidence=0.9))
        assert text_of(events) == "either"
        *given_up, kept = notices(events)
        assert [notice.kind for notice in given_up] == [NoticeKind.ESCALATED] * 2
        assert (kept.kind, kept.model) == (NoticeKind.FELL_BACK, "b")
        assert used(events) == list(order)


async def test_where_no_stage_begins_the_caller_is_told_nothing_but_the_error() -> None:
    async with running_dispatcher({"a": SURE, "b": LAST}) as stage:
        for engine in stage.cast.engines.values():
            engine.lose("killed by SIGKILL")
        events = stage.dispatcher.generate(ask(steps("a", "b")))
        with pytest.raises(Unavailable, match="model b is restarting"):
            await anext(events)
        assert [row.outcome for row in await stage.charges()] == ["failed"]


@pytest.mark.parametrize("asked", [ProfilePlan("steps"), None])
async def test_with_leave_a_cascade_of_which_no_stage_begins_gives_way_to_another_plan(
    asked: Any,
) -> None:
    models = {"a": SURE, "b": LAST, "c": {"say": "instead"}}
    profiles = {"steps": steps("a", "b")}
    async with running_dispatcher(models, profiles=profiles, default_profile="steps") as stage:
        for model in ("a", "b"):
            stage.cast.engines[model].lose("killed by SIGKILL")
        events = await answer(stage, asked, allow_substitution=True)
        assert text_of(events) == "instead"
        assert [notice.kind for notice in notices(events)] == [NoticeKind.FELL_BACK]


@pytest.mark.parametrize("plan", [steps("a", "b"), steps("a", "b", early=True), steps("b", "a")])
@pytest.mark.parametrize("first", [SURE, UNSURE])
@pytest.mark.parametrize(("top", "votes"), [(0, False), (2, False), (7, True), (0, True)])
async def test_the_caller_sees_what_it_asked_for_and_nothing_else(
    plan: Any, first: dict[str, Any], top: int, votes: bool
) -> None:
    async with running_dispatcher({"a": first, "b": LAST}) as stage:
        events = await answer(stage, plan, response=ResponseOptions(top, votes))
        tokens = [token for event in events if isinstance(event, Delta) for token in event.tokens]
        assert tokens
        assert {len(token.top) for token in tokens} == {top}
        assert {len(token.votes) for token in tokens} == {int(votes)}


async def test_how_often_a_cascade_goes_on_is_remembered() -> None:
    models = {"a": SURE, "u": UNSURE, "b": LAST}
    async with running_dispatcher(models) as stage:
        await answer(stage, steps("a", "b"))
        await answer(stage, steps("u", "b"))
        rates = stage.recorder.escalations.rates
        assert rates == {"cascade:a>b": pytest.approx(0.475), "cascade:u>b": pytest.approx(0.525)}
        stage.cast.engines["a"].lose("killed by SIGKILL")
        await answer(stage, steps("a", "b"))
        assert rates["cascade:a>b"] == pytest.approx(0.475 + 0.05 * 0.525)


@pytest.mark.parametrize("bytewise", [False, True], ids=["tokens", "bytes"])
@pytest.mark.parametrize("early", [False, True])
async def test_what_a_stage_wrote_that_gave_way_counts_by_the_minute_all_the_same(
    early: bool, bytewise: bool
) -> None:
    callers = {"alice": CallerLimits(tokens_per_minute=100)}
    unsure = {**UNSURE, "say": "maybe" * 30}
    models = {"a": unsure, "b": LAST, "w": {**unsure, "vocabulary": "words"}}
    first = Plan((WeightedModel("a"), WeightedModel("w"))) if bytewise else only("a")
    plan = CascadePlan((Stage(first, 0.6), Stage(only("b"), None)), early)
    async with running_dispatcher(models, callers=callers) as stage:
        # Of a hundred and fifty tokens and more six are told in the end.
        await answer(stage, plan, key="alice")
        with pytest.raises(LimitReached, match="tokens_per_minute of key alice"):
            await answer(stage, plan, key="alice")


async def test_every_stage_is_in_the_ledger_and_teaches_its_own_cost() -> None:
    async with running_dispatcher({"a": UNSURE, "b": LAST}) as stage:
        events = await answer(stage, steps("a", "b"))
        [row] = await stage.charges()
        assert (row.plan_kind, row.outcome) == ("cascade", "finished")
        assert [(part.model, part.joules) for part in row.models] == [("a", 5.0), ("b", 6.0)]
        assert row.joules == 11.0
        assert row.generated_tokens == usage_of(events).generated_tokens
        assert set(stage.recorder.costs.snapshot()) == {"single:a", "single:b"}


async def test_a_cascade_may_be_chosen_by_itself() -> None:
    async with running_dispatcher({"a": SURE}, profiles={"p": only("a")}) as stage:
        events = await answer(stage, AutoPlan())
        assert used(events) == ["a"]
