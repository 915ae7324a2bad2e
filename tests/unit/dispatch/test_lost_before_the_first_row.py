"""Members that are lost while their request reads the prompt, waits for sessions or is queued."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from quorate.dispatch import DispatchSettings
from quorate.engines.worker.statuses import WorkerPhase
from quorate.errors import ModelUnusable, Unavailable, WorkerLost
from quorate.fleet.status import ModelState
from quorate.request import (
    Accepted,
    Alignment,
    CascadePlan,
    Event,
    FailurePolicy,
    Finished,
    NoticeKind,
    Plan,
    ScoreRequest,
    Stage,
    TextPrompt,
    WeightedModel,
    Weighting,
)
from support.dispatching import (
    DEADLINE_SECONDS,
    DispatcherHarness,
    answer,
    ask,
    notices,
    running_dispatcher,
    text_of,
    until,
)
from support.managed_engines import ManagedInProcess

SAY = "hello world"
MODELS: dict[str, dict[str, Any]] = {"a": {"say": SAY, "seed": 1}, "b": {"say": SAY, "seed": 2}}
DROPPING = [FailurePolicy.AUTO, FailurePolicy.CONTINUE]
CAUSE = "killed by SIGKILL"


def vote(policy: FailurePolicy, *models: str, **how: Any) -> Plan:
    return Plan(tuple(map(WeightedModel, models or "ab")), on_failure=policy, **how)


def dies_in(engine: ManagedInProcess, method: str, *, after: bool = False) -> None:
    """Has a worker die, and come back at once, the next time that it is asked for something.

    ``after`` it was done, so that the loss is noticed by what follows.
    """
    original = getattr(engine, method)

    async def dying(*arguments: Any) -> Any:
        setattr(engine, method, original)
        done = await original(*arguments) if after else None
        engine.lose(CAUSE)
        engine.recover()
        if not after:
            raise WorkerLost(engine.model_id, CAUSE)
        return done

    setattr(engine, method, dying)


MOMENTS: dict[str, Callable[[ManagedInProcess], None]] = {
    "encode": lambda engine: dies_in(engine, "encode"),
    "open": lambda engine: dies_in(engine, "open"),
    "prefill": lambda engine: dies_in(engine, "open", after=True),
}
ways = pytest.mark.parametrize(
    "how",
    [
        {},
        {"weighting": Weighting.BAYESIAN},
        {"weighting": Weighting.PROMPT},
        {"alignment": Alignment.BYTE_EXACT},
        {"alignment": Alignment.UNION_TOP_K},
    ],
    ids=["tokens", "bayesian", "prompt", "bytes", "union"],
)
moments = pytest.mark.parametrize("moment", MOMENTS)


async def becomes(
    stage: DispatcherHarness, model: str, phase: WorkerPhase, state: ModelState
) -> None:
    stage.cast.engines[model].become(phase, CAUSE)
    async with asyncio.timeout(DEADLINE_SECONDS):
        async for status in stage.fleet.watch():
            if status.id == model and status.state is state:
                return


async def restarts(stage: DispatcherHarness, model: str) -> None:
    stage.cast.engines[model].lose(CAUSE)
    await becomes(stage, model, WorkerPhase.RESTARTING, ModelState.RESTARTING)


async def returns(stage: DispatcherHarness, model: str) -> None:
    stage.cast.engines[model].recover()
    await becomes(stage, model, WorkerPhase.READY, ModelState.READY)


def kinds(events: list[Event]) -> list[tuple[NoticeKind, str]]:
    return [(notice.kind, notice.model) for notice in notices(events)]


def used(events: list[Event]) -> list[str]:
    last = events[-1]
    assert isinstance(last, Finished)
    return [usage.model for usage in last.usage.models]


async def nothing_is_held(stage: DispatcherHarness) -> None:
    """No slot, no session, no hold of a budget and no user of a model is left."""
    state = stage.dispatcher
    assert (state.running, state.waiting, state.aside) == (0, 0, 0)
    assert not any(stage.held())
    assert not stage.meter.jobs
    async with asyncio.timeout(DEADLINE_SECONDS):
        for model, engine in stage.cast.engines.items():
            assert engine.open_sessions == 0
            await stage.fleet.unload(model)


@ways
@moments
@pytest.mark.parametrize("policy", DROPPING)
async def test_the_others_answer(how: Any, moment: str, policy: FailurePolicy) -> None:
    async with running_dispatcher(MODELS) as stage:
        MOMENTS[moment](stage.cast.engines["a"])
        events = await answer(stage, vote(policy, **how))
        assert text_of(events) == SAY
        assert kinds(events) == [(NoticeKind.MEMBER_DROPPED, "a")]
        assert CAUSE in notices(events)[0].message
        accepted = events[0]
        assert isinstance(accepted, Accepted)
        assert accepted.decision.models == ("a", "b")
        assert used(events) == ["a", "b"]
        await nothing_is_held(stage)


@ways
@moments
async def test_everybody_is_waited_for_where_nobody_may_be_dropped(how: Any, moment: str) -> None:
    async with running_dispatcher(MODELS) as stage:
        MOMENTS[moment](stage.cast.engines["a"])
        events = await answer(stage, vote(FailurePolicy.REPLAY, **how))
        assert text_of(events) == SAY
        assert kinds(events) == [(NoticeKind.MEMBER_REPLAYED, "a")]
        await nothing_is_held(stage)


@moments
@pytest.mark.parametrize("policy", [FailurePolicy.AUTO, FailurePolicy.REPLAY])
async def test_the_only_member_is_waited_for(moment: str, policy: FailurePolicy) -> None:
    async with running_dispatcher(MODELS) as stage:
        MOMENTS[moment](stage.cast.engines["a"])
        events = await answer(stage, vote(policy, "a"))
        assert text_of(events) == SAY
        assert kinds(events) == [(NoticeKind.MEMBER_REPLAYED, "a")]


@moments
@pytest.mark.parametrize(
    ("policy", "models"), [(FailurePolicy.FAIL, "ab"), (FailurePolicy.CONTINUE, "a")]
)
async def test_who_neither_goes_on_nor_waits_is_refused_and_may_try_again(
    moment: str, policy: FailurePolicy, models: str
) -> None:
    async with running_dispatcher(MODELS) as stage:
        MOMENTS[moment](stage.cast.engines["a"])
        with pytest.raises(WorkerLost, match=CAUSE) as refusal:
            await answer(stage, vote(policy, *models))
        assert refusal.value.retry_after_seconds > 0
        await nothing_is_held(stage)


async def test_a_dropped_member_counts_for_what_it_did_and_the_prompt_is_that_of_the_others() -> (
    None
):
    async with running_dispatcher(MODELS) as stage:
        dies_in(stage.cast.engines["a"], "encode")
        events = await answer(stage, vote(FailurePolicy.CONTINUE))
        last = events[-1]
        assert isinstance(last, Finished)
        first, second = last.usage.models
        assert (first.prompt_tokens, first.generated_tokens, first.energy.joules) == (0, 0, 0.0)
        assert last.usage.prompt_tokens == second.prompt_tokens > 0


@pytest.mark.parametrize("policy", DROPPING)
async def test_beside_a_member_that_restarts_the_others_answer(policy: FailurePolicy) -> None:
    async with running_dispatcher(MODELS) as stage:
        await restarts(stage, "a")
        for _ in range(3):
            events = await answer(stage, vote(policy))
            assert text_of(events) == SAY
            [notice] = notices(events)
            assert notice.message == f"a was dropped (restarting: {CAUSE}); b goes on"


@pytest.mark.parametrize("policy", DROPPING)
async def test_beside_a_member_that_has_failed_after_it_served_the_others_answer(
    policy: FailurePolicy,
) -> None:
    async with running_dispatcher(MODELS) as stage:
        await becomes(stage, "a", WorkerPhase.FAILED, ModelState.FAILED)
        for _ in range(3):
            events = await answer(stage, vote(policy))
            assert text_of(events) == SAY
            [notice] = notices(events)
            assert notice.message == f"a was dropped (failed: {CAUSE}); b goes on"
        with pytest.raises(ModelUnusable, match=CAUSE):
            await answer(stage, vote(FailurePolicy.REPLAY))
        with pytest.raises(ModelUnusable, match=CAUSE):
            await answer(stage, vote(policy, "a"))


@pytest.mark.parametrize("policy", [FailurePolicy.REPLAY, FailurePolicy.AUTO])
async def test_a_request_waits_for_its_only_member_to_come_back(policy: FailurePolicy) -> None:
    async with running_dispatcher(MODELS) as stage:
        await restarts(stage, "a")
        asking = asyncio.create_task(answer(stage, vote(policy, "a")))
        await until(lambda: stage.dispatcher.aside)
        await returns(stage, "a")
        assert text_of(await asking) == SAY


async def test_with_all_members_gone_a_request_that_does_not_wait_is_told_to_come_back() -> None:
    async with running_dispatcher(MODELS) as stage:
        for model in MODELS:
            await restarts(stage, model)
        with pytest.raises(Unavailable, match="model a is restarting"):
            await answer(stage, vote(FailurePolicy.CONTINUE))
        with pytest.raises(Unavailable, match="model a is restarting"):
            await answer(stage, vote(FailurePolicy.FAIL))


@pytest.mark.parametrize("policy", [FailurePolicy.REPLAY, FailurePolicy.AUTO])
async def test_a_request_in_the_queue_survives_a_restart(policy: FailurePolicy) -> None:
    settings = DispatchSettings(max_running=1)
    async with running_dispatcher(MODELS, settings=settings) as stage:
        running = stage.dispatcher.generate(ask(vote(FailurePolicy.FAIL, "b")))
        await anext(running)
        queued = asyncio.create_task(answer(stage, vote(policy)))
        await until(lambda: stage.dispatcher.waiting)
        for model in MODELS:
            await restarts(stage, model)
        await running.aclose()
        await until(lambda: stage.dispatcher.aside)
        for model in MODELS:
            await returns(stage, model)
        assert text_of(await queued) == SAY


async def test_a_request_that_waits_for_a_session_survives_a_restart() -> None:
    async with running_dispatcher({"a": {"say": SAY, "sessions": 1}}) as stage:
        holder = stage.dispatcher.generate(ask(vote(FailurePolicy.FAIL, "a")))
        await anext(holder)
        engine = stage.cast.engines["a"]
        waiting = asyncio.create_task(answer(stage, vote(FailurePolicy.AUTO, "a")))
        await until(lambda: engine.admission.waiting)
        engine.lose(CAUSE)
        engine.recover()
        assert text_of(await waiting) == SAY
        await holder.aclose()
        await nothing_is_held(stage)


async def test_two_requests_that_wait_for_members_of_each_other_both_answer() -> None:
    one = {"say": SAY, "sessions": 1}
    async with running_dispatcher({"a": one, "b": one}) as stage:
        asked = [vote(FailurePolicy.REPLAY, *"ab"), vote(FailurePolicy.REPLAY, *"ba")]
        for model in MODELS:
            await restarts(stage, model)
        asking = [asyncio.create_task(answer(stage, plan)) for plan in asked]
        await until(lambda: stage.dispatcher.aside == 2)
        for model in ("b", "a"):
            await returns(stage, model)
        assert [text_of(events) for events in await asyncio.gather(*asking)] == [SAY, SAY]
        await nothing_is_held(stage)


async def test_whoever_leaves_while_it_waits_leaves_nothing_behind() -> None:
    async with running_dispatcher(MODELS) as stage:
        await restarts(stage, "a")
        asking = asyncio.create_task(answer(stage, vote(FailurePolicy.REPLAY)))
        await until(lambda: stage.dispatcher.aside)
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()
        await returns(stage, "a")
        await nothing_is_held(stage)


@pytest.mark.parametrize(
    ("phase", "state"),
    [
        (WorkerPhase.RESTARTING, ModelState.RESTARTING),
        (WorkerPhase.FAILED, ModelState.FAILED),
    ],
)
async def test_a_stage_whose_model_is_lost_gives_way_at_once(
    phase: WorkerPhase, state: ModelState
) -> None:
    async with running_dispatcher(MODELS) as stage:
        stage.cast.engines["a"].lose(CAUSE)
        await becomes(stage, "a", phase, state)
        stages = tuple(Stage(vote(FailurePolicy.AUTO, model)) for model in "ab")
        events = await answer(stage, CascadePlan(stages))
        assert text_of(events) == SAY
        assert kinds(events) == [(NoticeKind.ESCALATED, "a")]
        await nothing_is_held(stage)


async def test_the_last_stage_is_waited_for_where_nothing_was_answered_before() -> None:
    async with running_dispatcher(MODELS) as stage:
        for model in MODELS:
            await restarts(stage, model)
        stages = tuple(Stage(vote(FailurePolicy.AUTO, model)) for model in "ab")
        asking = asyncio.create_task(answer(stage, CascadePlan(stages)))
        await until(lambda: stage.dispatcher.aside)
        await returns(stage, "b")
        assert text_of(await asking) == SAY


async def test_requests_that_wait_for_a_member_let_those_of_other_models_run() -> None:
    settings = DispatchSettings(max_running=2, max_waiting=3)
    async with running_dispatcher(MODELS, settings=settings) as stage:
        await restarts(stage, "a")
        waiting = [asyncio.create_task(answer(stage, vote(FailurePolicy.AUTO, "a"))) for _ in "xyz"]
        await until(lambda: stage.dispatcher.aside == 3)
        assert text_of(await answer(stage, vote(FailurePolicy.AUTO, "b"))) == SAY
        # No more stand aside than may wait.
        waiting += [asyncio.create_task(answer(stage, vote(FailurePolicy.AUTO, "a"))) for _ in "xy"]
        await until(lambda: stage.dispatcher.running == 2)
        assert stage.dispatcher.aside == 3
        await returns(stage, "a")
        assert {text_of(events) for events in await asyncio.gather(*waiting)} == {SAY}
        await nothing_is_held(stage)


async def test_whoever_stood_aside_goes_on_although_its_place_was_taken() -> None:
    settings = DispatchSettings(max_running=1)
    async with running_dispatcher(MODELS, settings=settings) as stage:
        await restarts(stage, "a")
        waiting = asyncio.create_task(answer(stage, vote(FailurePolicy.AUTO, "a")))
        await until(lambda: stage.dispatcher.aside)
        holder = stage.dispatcher.generate(ask(vote(FailurePolicy.FAIL, "b")))
        await anext(holder)
        await returns(stage, "a")
        assert text_of(await waiting) == SAY
        await holder.aclose()
        await nothing_is_held(stage)


async def test_a_drain_waits_for_those_who_stand_aside() -> None:
    async with running_dispatcher(MODELS) as stage:
        await restarts(stage, "a")
        asking = asyncio.create_task(answer(stage, vote(FailurePolicy.AUTO, "a")))
        await until(lambda: stage.dispatcher.aside)
        assert not await stage.dispatcher.drain(0.0)
        await returns(stage, "a")
        assert text_of(await asking) == SAY
        assert await stage.dispatcher.drain(0.0)


@pytest.mark.parametrize("method", ["encode", "open", "encode_continuation"])
async def test_a_score_keeps_its_members_whenever_one_dies(method: str) -> None:
    async with running_dispatcher({"a": {"seed": 1}, "b": {"seed": 2}}) as stage:
        asked = ScoreRequest(TextPrompt("x"), "hello", vote(FailurePolicy.AUTO))
        undisturbed = await stage.dispatcher.score(asked)
        dies_in(stage.cast.engines["a"], method)
        score = await stage.dispatcher.score(asked)
        assert score.logprob == undisturbed.logprob
        assert [member.model for member in score.members] == ["a", "b"]
        await nothing_is_held(stage)


async def test_a_score_goes_on_without_a_member_where_that_is_asked_for() -> None:
    async with running_dispatcher({"a": {"seed": 1}, "b": {"seed": 2}}) as stage:
        asked = ScoreRequest(TextPrompt("x"), "hello", vote(FailurePolicy.CONTINUE))
        dies_in(stage.cast.engines["a"], "encode_continuation")
        score = await stage.dispatcher.score(asked)
        assert [member.model for member in score.members] == ["b"]
        await nothing_is_held(stage)


@pytest.mark.parametrize("plan", [vote(FailurePolicy.AUTO), vote(FailurePolicy.REPLAY)])
async def test_a_score_is_refused_where_a_member_will_not_come_back_by_itself(plan: Plan) -> None:
    async with running_dispatcher(MODELS) as stage:
        await becomes(stage, "a", WorkerPhase.FAILED, ModelState.FAILED)
        with pytest.raises(ModelUnusable, match=CAUSE):
            await stage.dispatcher.score(ScoreRequest(TextPrompt("x"), "hello", plan))
        await nothing_is_held(stage)
