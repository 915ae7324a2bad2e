"""Drafts over a real server with worker processes: the same answers, in fewer steps."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from quorate.client import Client
from quorate.v1 import inference_pb2, plan_pb2
from support.streams import Stream, answer, refused
from support.whole_service import scripted, whole_service

SAY = "the quick brown fox jumps over the lazy dog and then it runs away from the hound " * 3
MODELS = (
    scripted("large", say=SAY, seed=1, step_delay_ms=12.0),
    scripted("small", say=SAY, seed=2, step_delay_ms=1.0),
)
PAIR = {"large": 0.6, "small": 0.4}


def usage_of(heard: Stream) -> inference_pb2.Usage:
    return heard.events[-1].finished.usage


def by_model(heard: Stream) -> dict[str, inference_pb2.ModelUsage]:
    return {one.model: one for one in usage_of(heard).models}


async def asked(client: Client, **changes: Any) -> Stream:
    options = {"models": PAIR, "temperature": 0.0, "max_tokens": 60, **changes}
    return await answer(client, "x", **options)


async def test_a_small_member_drafts_for_a_large_one_and_the_answer_stays_the_same(
    tmp_path: Path,
) -> None:
    async with whole_service(tmp_path, *MODELS) as (_, client):
        plain = await asked(client, drafts="off")
        assert plain.decision.draft == plan_pb2.DecidedDraft()
        assert usage_of(plain).drafted_tokens == 0
        # Members that take turns compute for as long as both together, and nothing counts twice.
        times = usage_of(plain).step_times
        assert times.decode_ms >= 59 * 12
        assert min(times.exchange_ms, times.combine_ms, times.sample_ms) > 0
        assert sum(part for _, part in times.ListFields()) <= usage_of(plain).duration_ms
        drafted = [await asked(client, drafts="small") for _ in range(3)]
        assert drafted[0].decision.draft.model == "small"
        assert drafted[0].decision.draft.most == 8
        assert {one.text for one in drafted} == {plain.text}
        usage = usage_of(drafted[-1])
        assert 0 < usage.accepted_tokens <= usage.drafted_tokens
        models = by_model(drafted[-1])
        assert models["small"].drafted_tokens > 0
        assert models["large"].drafted_tokens == 0
        # What was guessed wrong was computed too.
        wrong = usage.drafted_tokens - usage.accepted_tokens
        assert 59 <= models["large"].generated_tokens <= 59 + wrong


async def test_what_was_said_before_is_guessed_without_a_member(tmp_path: Path) -> None:
    say = "to be or not to be " * 12
    models = [scripted(name, say=say, seed=1, step_delay_ms=4.0) for name in ("one", "other")]
    async with whole_service(tmp_path, *models) as (_, client):
        pair = {"one": 0.5, "other": 0.5}
        plain = await asked(client, models=pair, drafts="off", max_tokens=150)
        drafted = [
            await asked(client, models=pair, drafts="prompt", max_tokens=150) for _ in range(2)
        ]
        assert {one.text for one in drafted} == {plain.text}
        assert drafted[0].decision.draft == plan_pb2.DecidedDraft(most=8)
        assert usage_of(drafted[-1]).accepted_tokens > 0
        assert all(one.drafted_tokens == 0 for one in usage_of(drafted[-1]).models)


async def test_a_sampled_answer_is_the_same_for_a_seed_however_it_was_drafted(
    tmp_path: Path,
) -> None:
    flat = [
        scripted("large", say=SAY, seed=1, step_delay_ms=6.0, confidence=0.7),
        scripted("small", say=SAY, seed=2, confidence=0.7),
    ]
    async with whole_service(tmp_path, *flat) as (_, client):
        heard = [
            await asked(client, drafts="small", temperature=0.9, seed=11, drafts_most=most)
            for most in (1, 8, 8, 3)
        ]
        assert len({one.text for one in heard}) == 1
        assert sum(usage_of(one).drafted_tokens for one in heard) > 0


async def test_a_reader_that_leaves_in_mid_draft_leaves_nothing_behind(tmp_path: Path) -> None:
    async with whole_service(tmp_path, *MODELS) as (service, client):
        whole = await asked(client, drafts="small")
        for count in (2, 3, 5, 8):
            stream = client.generate(
                "x", models=PAIR, temperature=0.0, max_tokens=60, drafts="small"
            )
            heard = 0
            async for _ in stream:
                heard += 1
                if heard == count:
                    break
            await stream.aclose()  # type: ignore[attr-defined]
        async with asyncio.timeout(20):
            while service.dispatcher.running:
                await asyncio.sleep(0.01)
        assert (await asked(client, drafts="small")).text == whole.text


async def test_who_is_no_member_guesses_nothing(tmp_path: Path) -> None:
    async with whole_service(tmp_path, *MODELS) as (_, client):
        error = await refused(client.complete("x", models=PAIR, drafts="nobody"))
        assert error.status == "INVALID_ARGUMENT"
        assert [field for field, _ in error.violations] == ["plan.ensemble.draft.model"]
        decision = await client.explain("x", models=PAIR, drafts="large")
        assert decision.draft.model == "large"
        united = await client.explain("x", models=PAIR, alignment="union_top_k")
        assert united.draft.problem == "what the members vote on is not known before they are asked"
