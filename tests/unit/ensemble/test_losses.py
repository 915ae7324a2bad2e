"""Members that are lost before the first row, under every failure policy."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from quorate.engines.contract import Engine
from quorate.ensemble.losses import MAX_WAITS, Attendance, Losses, Waits
from quorate.errors import InvalidRequest, Unavailable, WorkerLost
from quorate.request import FailurePolicy, NoticeKind
from support.ensembles import PROMPT
from support.in_process import InProcessEngine
from support.scripted_models import scripted_engine

DEADLINE_SECONDS = 10.0
DROPPING = [FailurePolicy.AUTO, FailurePolicy.CONTINUE]
AWAY = Unavailable("model a is restarting: killed", cause="restarting: killed")
FAILED = Unavailable("model a has failed", cause="failed: died 3 times")


class Relapsing(InProcessEngine):
    """Is lost so many times while it encodes, each time with a worker that comes back at once."""

    relapses = 1

    async def encode(self, prompt: Any) -> list[int]:
        if self.relapses:
            self.relapses -= 1
            self.lose("killed by SIGKILL")
            self.recover()
            raise WorkerLost(self.model_id, "killed by SIGKILL")
        return await super().encode(prompt)


def relapsing(times: int, model: str = "a") -> Relapsing:
    engine = scripted_engine(model)
    engine.__class__ = Relapsing
    assert isinstance(engine, Relapsing)
    engine.relapses = times
    return engine


def two() -> dict[str, InProcessEngine]:
    return {name: scripted_engine(name) for name in "ab"}


async def attending(
    policy: FailurePolicy,
    engines: Mapping[str, Engine],
    away: Mapping[str, Unavailable] | None = None,
    waits: Waits = Waits.ALWAYS,
) -> Attendance:
    async with asyncio.timeout(DEADLINE_SECONDS):
        return await Attendance.of(["a", "b"], engines, away or {}, Losses(policy, waits))


async def encoded(attendance: Attendance) -> list[str]:
    async with asyncio.timeout(DEADLINE_SECONDS):
        return [*await attendance.ask(lambda _, engine: engine.encode(PROMPT))]


def told(attendance: Attendance) -> list[tuple[NoticeKind, str]]:
    return [(notice.kind, notice.message) for notice in attendance.losses.take_notices()]


@pytest.mark.parametrize("policy", DROPPING)
async def test_the_others_go_on_without_a_member_that_is_away(policy: FailurePolicy) -> None:
    attendance = await attending(policy, two(), {"a": AWAY})
    assert await encoded(attendance) == ["b"]
    assert told(attendance) == [
        (NoticeKind.MEMBER_DROPPED, "a was dropped (restarting: killed); b goes on")
    ]
    assert attendance.losses.dropped == ["a"]


@pytest.mark.parametrize("policy", DROPPING)
async def test_the_others_go_on_without_a_member_that_has_no_engine_any_more(
    policy: FailurePolicy,
) -> None:
    attendance = await attending(policy, {"b": scripted_engine("b")}, {"a": FAILED})
    assert await encoded(attendance) == ["b"]
    assert told(attendance)[0][0] is NoticeKind.MEMBER_DROPPED


async def test_a_member_that_is_away_is_waited_for_where_nobody_may_be_dropped() -> None:
    engines = two()
    engines["a"].lose("killed")
    waiting = asyncio.create_task(attending(FailurePolicy.REPLAY, engines, {"a": AWAY}))
    await asyncio.sleep(0)
    assert not waiting.done()
    engines["a"].recover()
    attendance = await waiting
    assert await encoded(attendance) == ["a", "b"]
    assert told(attendance) == [
        (NoticeKind.MEMBER_REPLAYED, "a was waited for (restarting: killed)")
    ]


async def test_the_last_members_are_waited_for_and_those_that_never_return_are_left_out() -> None:
    engine = scripted_engine("a")
    away = {"a": AWAY, "b": FAILED}
    attendance = await attending(FailurePolicy.AUTO, {"a": engine}, away)
    assert await encoded(attendance) == ["a"]
    assert [kind for kind, _ in told(attendance)] == [
        NoticeKind.MEMBER_REPLAYED,
        NoticeKind.MEMBER_DROPPED,
    ]


@pytest.mark.parametrize(
    ("policy", "waits"),
    [
        (FailurePolicy.FAIL, Waits.ALWAYS),
        (FailurePolicy.CONTINUE, Waits.ALWAYS),
        # Another plan stands in sooner than the model is back.
        (FailurePolicy.AUTO, Waits.ONCE_BEGUN),
        (FailurePolicy.AUTO, Waits.NEVER),
    ],
)
async def test_without_anybody_left_the_request_fails_where_it_does_not_wait(
    policy: FailurePolicy, waits: Waits
) -> None:
    away = {"a": AWAY, "b": AWAY}
    with pytest.raises(Unavailable, match="model a is restarting"):
        await attending(policy, two(), away, waits)


async def test_a_member_without_which_the_request_may_not_go_on_and_that_is_gone_fails_it() -> None:
    with pytest.raises(Unavailable, match="model a has failed"):
        await attending(FailurePolicy.REPLAY, {"b": scripted_engine("b")}, {"a": FAILED})


@pytest.mark.parametrize("policy", DROPPING)
async def test_a_member_that_dies_while_it_encodes_is_dropped(policy: FailurePolicy) -> None:
    attendance = await attending(policy, {"a": relapsing(1), "b": scripted_engine("b")})
    assert await encoded(attendance) == ["b"]
    assert told(attendance) == [
        (NoticeKind.MEMBER_DROPPED, "a was dropped (killed by SIGKILL); b goes on")
    ]


@pytest.mark.parametrize("times", [1, MAX_WAITS])
async def test_a_member_that_dies_while_it_encodes_is_asked_again(times: int) -> None:
    """However often that happens before the request begins, it is told of once."""
    engines = {"a": relapsing(times), "b": scripted_engine("b")}
    attendance = await attending(FailurePolicy.REPLAY, engines)
    assert await encoded(attendance) == ["a", "b"]
    assert len(told(attendance)) == 1


async def test_a_member_that_dies_again_and_again_is_not_waited_for_without_end() -> None:
    engines = {"a": relapsing(MAX_WAITS + 1), "b": scripted_engine("b")}
    attendance = await attending(FailurePolicy.REPLAY, engines)
    with pytest.raises(WorkerLost, match="killed by SIGKILL"):
        await encoded(attendance)


async def test_what_is_wrong_with_the_request_is_no_loss_and_ends_the_other_questions() -> None:
    attendance = await attending(FailurePolicy.AUTO, two())
    given_up = asyncio.Event()

    async def question(model: str, engine: Engine) -> None:
        if model == "a":
            raise InvalidRequest("prompt", "is wrong")
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()

    with pytest.raises(InvalidRequest, match="is wrong"):
        async with asyncio.timeout(DEADLINE_SECONDS):
            await attendance.ask(question)
    assert given_up.is_set()
    assert told(attendance) == []


async def test_whoever_is_cancelled_while_it_waits_leaves_no_question_behind() -> None:
    engines = two()
    engines["a"].lose("killed")
    waiting = asyncio.create_task(attending(FailurePolicy.REPLAY, engines, {"a": AWAY}))
    await asyncio.sleep(0)
    before = asyncio.all_tasks()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert asyncio.all_tasks() < before
