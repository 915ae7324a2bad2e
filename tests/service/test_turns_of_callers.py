"""Several keys over one service: turns, and what each may ask for."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest

from quorate.client import Client
from quorate.dispatch.loop_turns import LoopTurns
from quorate.engines.fair_turns import CALLER, Caller
from support.streams import refused
from support.whole_service import scripted, whole_service

ROUTING = {"routing": {"probe": False, "exploration": 0.0}}


def keys(**limits: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {"sha256": hashlib.sha256(name.encode()).hexdigest(), **values}
        for name, values in limits.items()
    }


async def test_one_key_with_more_requests_than_places_and_sessions_leaves_some_for_another(
    tmp_path: Path,
) -> None:
    model = scripted("a", say="", sessions=8, step_delay_ms=5.0, context_length=512)
    sections = {"keys": keys(hog={}, late={}), **ROUTING}
    async with (
        whole_service(tmp_path, model, sections=sections, max_running=16) as (service, _),
        Client(service.address, token="hog") as hog,
        Client(service.address, token="late") as late,
    ):
        long = {"model": "a", "max_tokens": 400, "temperature": 1.0, "seed": 1}
        flood = [asyncio.create_task(hog.complete("x", **long)) for _ in range(60)]
        async with asyncio.timeout(60):
            while service.dispatcher.running < 14:
                await asyncio.sleep(0.01)
        ended_before = sum(task.done() for task in flood)
        assert await late.complete("x", model="a", max_tokens=3, timeout=30)
        # It waited for no answer of the other to end, neither for a place nor for a session.
        assert sum(task.done() for task in flood) == ended_before
        for task in flood:
            task.cancel()
        await asyncio.gather(*flood, return_exceptions=True)


async def test_a_key_is_told_which_of_its_limits_it_has_reached_and_when_to_come_back(
    tmp_path: Path,
) -> None:
    limited = keys(slow={"requests_per_minute": 2}, small={"tokens_per_minute": 10}, free={})
    model = scripted("a", say="the quick brown fox jumps over the lazy dog")
    async with (
        whole_service(tmp_path, model, sections={"keys": limited, **ROUTING}) as (service, _),
        Client(service.address, token="slow") as slow,
        Client(service.address, token="small") as small,
        Client(service.address, token="free") as free,
    ):
        for _ in range(2):
            await slow.complete("", model="a", max_tokens=2)
        by_requests = await refused(slow.complete("", model="a", max_tokens=2))
        await small.complete("", model="a", max_tokens=40)
        by_tokens = await refused(small.score("", "the", model="a"))
        for _ in range(5):
            await free.complete("", model="a", max_tokens=2)
    for refusal, limit in [
        (by_requests, "requests_per_minute of key slow"),
        (by_tokens, "tokens_per_minute of key small"),
    ]:
        assert (refusal.status, refusal.reason) == ("RESOURCE_EXHAUSTED", "LIMIT_REACHED")
        assert refusal.metadata["limit"] == limit
        assert refusal.message.startswith(f"{limit}: all ")
        assert refusal.retry_after_seconds > 0


async def test_all_that_a_call_does_takes_the_same_turns_with_the_weight_of_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered: set[tuple[LoopTurns, str, float]] = set()
    enter = LoopTurns.enter

    async def noted(turns: LoopTurns, caller: Caller | None = None) -> None:
        whose = caller or CALLER.get()
        entered.add((turns, whose.name, whose.weight))
        await enter(turns, caller)

    monkeypatch.setattr(LoopTurns, "enter", noted)
    sections = {"keys": keys(alice={"weight": 3.0}), **ROUTING}
    async with (
        whole_service(tmp_path, scripted("a", say="yes"), sections=sections) as (service, _),
        Client(service.address, token="alice") as alice,
    ):
        await alice.complete("", model="a", max_tokens=2)
        assert entered == {(service.dispatcher.turns, "key alice", 3.0)}


async def test_calls_of_strangers_hold_up_nobody_who_has_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrivals: list[None] = []
    monkeypatch.setattr(LoopTurns, "arrive", lambda _: arrivals.append(None))
    sections = {"keys": keys(alice={}), **ROUTING}
    async with (
        whole_service(tmp_path, scripted("a", say="yes"), sections=sections) as (service, _),
        Client(service.address, token="nobody's") as stranger,
        Client(service.address, token="alice") as alice,
    ):
        refusal = await refused(stranger.complete("", model="a", max_tokens=2))
        assert refusal.status == "UNAUTHENTICATED"
        assert not arrivals
        await alice.complete("", model="a", max_tokens=2)
        assert len(arrivals) == 1
