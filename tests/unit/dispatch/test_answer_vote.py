"""Votes of whole answers: which answer is given, when that is settled, and what is told of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from quorate.dispatch.settings import CallerLimits
from quorate.dispatch.voters import Voter
from quorate.errors import LimitReached, Unavailable
from quorate.request import (
    AnswersPlan,
    Comparison,
    Delta,
    Event,
    FailurePolicy,
    Finished,
    NoticeKind,
    Outcome,
    SamplingOptions,
    Selection,
    WeightedModel,
    Weighting,
)
from support import dispatching
from support.dispatching import DispatcherHarness, notices, running_dispatcher, text_of, until


def says(text: str, **rest: Any) -> dict[str, Any]:
    return {"say": text, "confidence": 0.98, **rest}


def plan(*members: str | tuple[str, float], **rest: Any) -> AnswersPlan:
    named = [WeightedModel(*((one,) if isinstance(one, str) else one)) for one in members]
    return AnswersPlan(tuple(named), **rest)


async def answer(stage: DispatcherHarness, asked: AnswersPlan, **rest: Any) -> list[Event]:
    return await dispatching.answer(stage, asked, **rest)


def outcome_of(events: list[Event]) -> Outcome:
    last = events[-1]
    assert isinstance(last, Finished) and last.outcome is not None
    return last.outcome


async def test_what_most_say_is_given_whole_and_the_others_are_told() -> None:
    # The longest comes last and decides, so that all are waited for.
    models = {"a": says("It is B, as all know."), "b": says("C, surely"), "c": says("(b)")}
    async with running_dispatcher(models) as stage:
        events = await answer(stage, plan("a", "b", "c", compare=Comparison.CHOICE))
        assert text_of(events) == "It is B, as all know."
        outcome = outcome_of(events)
        assert outcome.kept == 0 and not outcome.tied
        assert [(one.reading, one.answers) for one in outcome.groups] == [
            ("b", (0, 2)),
            ("c", (1,)),
        ]
        assert [one.text for one in outcome.answers] == [
            "It is B, as all know.",
            "C, surely",
            "(b)",
        ]
        last = events[-1]
        assert isinstance(last, Finished)
        told = [event for event in events if isinstance(event, Delta)]
        assert last.usage.generated_tokens == sum(len(event.tokens) for event in told)
        assert {one.model for one in last.usage.models} == {"a", "b", "c"}


async def test_what_can_change_nothing_is_not_waited_for() -> None:
    slow = says("4" * 400, step_delay_ms=1000.0)
    async with running_dispatcher({"a": says("so 5"), "b": slow, "c": says("5.0")}) as stage:
        events = await answer(stage, plan("a", "b", "c", compare=Comparison.NUMERIC))
        assert text_of(events) == "so 5"
        unfinished = outcome_of(events).answers[1]
        assert not unfinished.ended and not unfinished.problem
        assert stage.held() == [] or not any(stage.held())


async def test_weights_decide_and_of_equal_ones_the_first() -> None:
    # The first comes last: else nothing that comes could change it.
    models = {"a": says("the quick brown cat"), "b": says("dog")}
    async with running_dispatcher(models) as stage:
        assert text_of(await answer(stage, plan(("a", 0.4), ("b", 0.6)))) == "dog"
        tied = await answer(stage, plan("a", "b"))
        assert text_of(tied) == "the quick brown cat" and outcome_of(tied).tied


async def test_one_member_is_its_own_answer() -> None:
    async with running_dispatcher({"a": says("alone")}) as stage:
        events = await answer(stage, plan("a"))
        alone = await dispatching.answer(stage, dispatching.only("a"))
        assert text_of(events) == text_of(alone) == "alone"
        assert len(outcome_of(events).answers) == 1


async def test_who_cannot_answer_has_no_vote_and_a_notice_tells() -> None:
    models = {"a": says("cat"), "b": says("dog"), "c": says("dog")}
    async with running_dispatcher(models) as stage:
        stage.cast.engines["a"].lose("killed by SIGKILL")
        events = await answer(stage, plan(("a", 5.0), "b", "c"))
        assert text_of(events) == "dog"
        [notice] = notices(events)
        assert (notice.kind, notice.model) == (NoticeKind.MEMBER_DROPPED, "a")
        assert "restarting" in notice.message
        assert outcome_of(events).answers[0].problem


@pytest.mark.parametrize("early", [False, True])
async def test_where_all_are_lost_the_first_is_waited_for(early: bool) -> None:
    models = {
        "a": says("cats " * 40, step_delay_ms=5.0),
        "b": says("dogs " * 40, step_delay_ms=5.0),
    }
    async with running_dispatcher(models) as stage:
        asking = asyncio.create_task(answer(stage, plan("a", "b", stream_early=early)))
        first, second = (stage.cast.engines[model] for model in "ab")
        await until(lambda: first.open_sessions and second.open_sessions)
        second.lose("killed by SIGKILL")
        first.lose("killed by SIGKILL")
        await until(lambda: stage.dispatcher.aside)
        first.recover()
        events = await asking
        told = notices(events)
        replaced = [at for at, one in enumerate(told) if one.kind is NoticeKind.ESCALATED]
        shown = events[events.index(told[replaced[-1]]) :] if replaced else events
        assert text_of(shown) == ("cats " * 40).strip() or text_of(shown) == "cats " * 40
        assert NoticeKind.MEMBER_REPLAYED in [one.kind for one in told if one.model == "a"]
        assert [one.model for one in told if one.kind is NoticeKind.MEMBER_DROPPED] == ["b"]
        assert [bool(one.problem) for one in outcome_of(events).answers] == [False, True]


async def test_where_nobody_may_be_waited_for_the_first_error_is_told() -> None:
    async with running_dispatcher({"a": says("cat"), "b": says("dog")}) as stage:
        for model in ("a", "b"):
            stage.cast.engines[model].lose("killed by SIGKILL")
        with pytest.raises(Unavailable, match="model a is restarting"):
            await answer(stage, plan("a", "b", on_failure=FailurePolicy.CONTINUE))


async def test_by_the_policy_to_fail_one_lost_member_is_enough() -> None:
    async with running_dispatcher({"a": says("cat"), "b": says("cat")}) as stage:
        stage.cast.engines["b"].lose("killed by SIGKILL")
        with pytest.raises(Unavailable, match="model b is restarting"):
            await answer(stage, plan("a", "b", on_failure=FailurePolicy.FAIL))


async def test_which_of_equal_answers_is_told_does_not_depend_on_times() -> None:
    models = {"a": says("so it is 5", step_delay_ms=20.0), "b": says("5"), "c": says("5.0")}
    async with running_dispatcher(models) as stage:
        events = await answer(stage, plan("a", "b", "c", compare=Comparison.NUMERIC))
        assert text_of(events) == "so it is 5"


async def test_the_prompt_counts_once_however_many_read_it() -> None:
    async with running_dispatcher({"a": says("cat"), "b": says("cat")}) as stage:
        [alone] = (await answer(stage, plan("a")))[-1:]
        [last] = (await answer(stage, plan("a", "b", samples=2)))[-1:]
        assert isinstance(alone, Finished) and isinstance(last, Finished)
        assert last.usage.prompt_tokens == alone.usage.prompt_tokens
        asked = plan("a", "b", samples=4, select=Selection.LIKELIHOOD)
        [again] = (await answer(stage, asked, text="a prompt that is known by then"))[-1:]
        assert isinstance(again, Finished)
        assert again.usage.cached_prompt_tokens <= again.usage.prompt_tokens
        row = (await stage.charges())[-1]
        assert row.cached_prompt_tokens <= row.prompt_tokens


async def test_where_the_members_cannot_score_the_answers_a_notice_tells_who_decides() -> None:
    models = {"a": says("cats"), "b": says("dogs", context_length=6), "c": says("dogs")}
    async with running_dispatcher(models) as stage:
        asked = plan("a", "b", "c", select=Selection.LIKELIHOOD)
        events = await answer(stage, asked, text="a long prompt")
        assert text_of(events) == "cats"
        assert [one.kind for one in notices(events)] == [
            NoticeKind.MEMBER_DROPPED,
            NoticeKind.FELL_BACK,
        ]


async def test_samples_of_one_model_differ_by_their_seeds_and_share_its_weight() -> None:
    spread = {"say": "maybe", "confidence": 0.3}
    async with running_dispatcher({"a": spread}) as stage:
        sampling = SamplingOptions(temperature=1.0, seed=5)
        events = await answer(stage, plan("a", samples=4), sampling=sampling)
        again = await answer(stage, plan("a", samples=4), sampling=sampling)
        answers = outcome_of(events).answers
        assert len({one.text for one in answers if one.ended}) > 1
        assert [one.weight for one in answers] == [0.25] * 4
        assert text_of(again) == text_of(events)


async def test_by_confidence_the_surer_answer_weighs_more() -> None:
    models = {"a": {"say": "cat", "confidence": 0.4}, "b": says("dog")}
    async with running_dispatcher(models) as stage:
        assert text_of(await answer(stage, plan("a", "b"))) == "cat"
        events = await answer(stage, plan("a", "b", weighting=Weighting.CONFIDENCE))
        assert text_of(events) == "dog"
        first, second = outcome_of(events).answers
        assert first.confidence is not None and second.confidence is not None
        assert first.confidence < second.confidence


async def test_by_likelihood_the_answer_wins_that_all_together_find_most_probable() -> None:
    models = {"a": {"say": "cats", "confidence": 0.5}, "b": {"say": "dogs", "confidence": 0.98}}
    async with running_dispatcher(models) as stage:
        events = await answer(stage, plan("a", "b", select=Selection.LIKELIHOOD))
        assert text_of(events) == "dogs"
        first, second = outcome_of(events).answers
        assert first.bits_per_byte is not None and second.bits_per_byte is not None
        assert second.bits_per_byte < first.bits_per_byte


async def test_the_first_answer_may_be_streamed_before_it_is_known_to_be_kept() -> None:
    models = {"a": says("cat"), "b": says("dog"), "c": says("dog")}
    async with running_dispatcher(models) as stage:
        kept = await answer(stage, plan(("a", 3.0), "b", "c", stream_early=True))
        assert text_of(kept) == "cat" and not notices(kept)
        events = await answer(stage, plan("a", "b", "c", stream_early=True))
        [notice] = notices(events)
        assert notice.kind is NoticeKind.ESCALATED
        assert text_of(events[events.index(notice) :]) == "dog"


async def test_whoever_leaves_ends_every_answer_and_pays_for_what_was_made() -> None:
    slow = {"say": "z" * 400, "confidence": 0.98, "step_delay_ms": 2.0}
    callers = {"alice": CallerLimits(tokens_per_minute=10)}
    async with running_dispatcher({"a": slow, "b": slow}, callers=callers) as stage:
        events = stage.dispatcher.generate(dispatching.ask(plan("a", "b", samples=2), key="alice"))
        await anext(events)
        engines = stage.cast.engines.values()
        await until(lambda: all(one.open_sessions == 2 for one in engines))
        await asyncio.sleep(0.1)
        await events.aclose()
        assert not any(one.open_sessions for one in engines)
        assert not stage.meter.jobs
        [row] = await stage.charges()
        assert sum(one.generated_tokens for one in row.models) > 10
        with pytest.raises(LimitReached, match="tokens_per_minute of key alice"):
            await answer(stage, plan("a"), key="alice")


async def test_an_answer_that_cannot_be_scored_leaves_it_to_the_most_for_all() -> None:
    models = {"a": says("c" * 60), "b": says("no", context_length=40), "c": says("no")}
    async with running_dispatcher(models) as stage:
        events = await answer(stage, plan("a", "b", "c", select=Selection.LIKELIHOOD))
        assert text_of(events) == "no"
        assert [one.kind for one in notices(events)] == [NoticeKind.FELL_BACK]
        assert {one.bits_per_byte for one in outcome_of(events).answers} == {None}


async def test_calls_that_are_nested_without_end_are_compared_as_they_are_written() -> None:
    voter = Voter(decision=None, sample=0, weight=1.0)  # type: ignore[arg-type]
    voter.calls = [("f", ['{"a":' * 5000])]
    assert voter.read(Comparison.EXACT) is not None


async def test_once_begun_a_lost_answer_is_waited_for_although_another_plan_could_stand_in() -> (
    None
):
    long = {"step_delay_ms": 5.0}
    models = {"a": says("cats " * 40, **long), "b": says("dogs " * 40, **long)}
    async with running_dispatcher(models) as stage:
        asking = asyncio.create_task(answer(stage, plan("a", "b"), allow_substitution=True))
        first, second = (stage.cast.engines[model] for model in "ab")
        await until(lambda: first.open_sessions and second.open_sessions)
        await asyncio.sleep(0.05)
        second.lose("killed by SIGKILL")
        first.lose("killed by SIGKILL")
        await until(lambda: stage.dispatcher.aside)
        first.recover()
        events = await asking
        assert text_of(events).strip() == ("cats " * 40).strip()
        assert [one.answers for one in outcome_of(events).groups] == [(0,)]
