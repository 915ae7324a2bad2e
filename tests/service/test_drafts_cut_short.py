"""Answers that end, or lose a member, in the middle of a draft: what they held and took adds up."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from attacks.raw_http2 import RawPeer, grpc_message, raw_peer, trailers

from quorate.app.service import Service
from quorate.client import Client
from quorate.fleet.status import ModelState
from quorate.v1 import accounting_pb2, inference_pb2, plan_pb2
from support.ledgers import charges_once
from support.streams import Stream, answer, joules_of
from support.telemetry import scrape
from support.whole_service import kill_worker, reaches, scripted, whole_service

SAY = "the quick brown fox jumps over the lazy dog and then it runs away from the hound " * 4
MODELS = (
    scripted("large", say=SAY, seed=1, step_delay_ms=12.0),
    scripted("small", say=SAY, seed=2, step_delay_ms=1.0),
)
PAIR = {"large": 0.6, "small": 0.4}
DRAFTED = {"models": PAIR, "temperature": 0.0, "max_tokens": 250, "drafts": "small"}
SECTIONS = {
    "routing": {"probe": False, "exploration": 0.0},
    "energy": {"source": "estimate", "tdp_watts": 20.0},
    "metrics": {"listen": "127.0.0.1:0"},
}
STALL_SECONDS = 0.4
DEADLINE_SECONDS = 60.0
PLACES = (12, 40, 67, 95)
"""Tokens behind which a worker is killed: drafts of up to eight are out nearly all the time."""


@asynccontextmanager
async def pair(home: Path) -> AsyncIterator[tuple[Service, Client]]:
    """A server with a small model that drafts for a large one, and has done so before."""
    async with whole_service(
        home, *MODELS, sections=SECTIONS, stall_seconds=STALL_SECONDS
    ) as there:
        yield there


async def idle(service: Service) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Waits until nothing runs; returns what is scraped then."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while service.dispatcher.running:
            await asyncio.sleep(0.01)
        while True:
            found = await asyncio.to_thread(scrape, service.metrics_address)
            if not any(found["quorate_kv_cache_usage_ratio"].values()):
                return found


def drafted(found: dict[str, Any], kind: str = "tokens") -> float:
    """Guesses that were counted so far, of the small model and of what was said before."""
    return math.fsum(found.get(f"quorate_draft_{kind}_total", {}).values())


def assert_adds_up(usage: inference_pb2.Usage) -> None:
    """Only one member guesses, and nobody computed more than was told and guessed."""
    assert 0 < usage.accepted_tokens <= usage.drafted_tokens
    for one in usage.models:
        assert one.accepted_tokens <= one.drafted_tokens
        # The other guesses were said before.
        assert one.drafted_tokens <= (usage.drafted_tokens if one.model == "small" else 0)
        # The last token is fed to nobody, and a draft may lie beyond the end.
        assert one.generated_tokens <= usage.generated_tokens + usage.drafted_tokens


def assert_conserved(
    service: Service, machine: accounting_pb2.MachineEnergy, rows: Iterable[accounting_pb2.Charge]
) -> None:
    """Whatever ended in whatever way: requests, idle and nobody's are what was counted."""
    told = math.fsum(row.energy.joules for row in rows)
    assert machine.request_joules == pytest.approx(told, rel=0.01)
    parts = told + machine.idle_joules + machine.unattributed_joules
    assert machine.counter_joules > 0
    assert parts == pytest.approx(machine.counter_joules, rel=0.01)


async def settled(
    service: Service, client: Client, count: int
) -> tuple[list[accounting_pb2.Charge], accounting_pb2.MachineEnergy]:
    """So many charges, and the machine's own account."""
    rows = await charges_once(client, lambda rows: len(rows) == count)
    service.dispatcher.recorder.meter.tick()
    return rows, (await client.spend()).machine


def stalling_request() -> inference_pb2.GenerateRequest:
    """The same vote with as much beside each token as can be, so that windows are full soon."""
    members = [plan_pb2.Member(model=name, weight=weight) for name, weight in PAIR.items()]
    draft = plan_pb2.Draft(model="small")
    request = inference_pb2.GenerateRequest(
        prompt="x",
        request_id="stalled",
        plan=plan_pb2.Plan(ensemble=plan_pb2.EnsemblePlan(members=members, draft=draft)),
        response=inference_pb2.ResponseOptions(top_logprobs=20, member_votes=True),
    )
    request.stopping.max_tokens = 250
    request.sampling.temperature = 0.0
    return request


async def read_some(peer: RawPeer, stream: int, count: int) -> int:
    """Takes at least so many bytes of an answer, and then nothing more."""
    taken = 0
    while taken < count:
        frame = await asyncio.wait_for(peer.frame(), DEADLINE_SECONDS)
        assert frame is not None
        taken += len(frame.payload) if frame.stream == stream else 0
    return taken


async def test_readers_that_stop_or_leave_in_mid_draft_hold_nothing_and_are_accounted_for(
    tmp_path: Path,
) -> None:
    window = 12_000
    async with pair(tmp_path) as (service, client):
        plain = await answer(client, "x", **{**DRAFTED, "drafts": "off"})
        whole = await answer(client, "x", **DRAFTED)
        assert whole.text == plain.text
        assert_adds_up(whole.usage)
        before = drafted(await idle(service))
        assert before == whole.usage.drafted_tokens

        async with raw_peer(service.address, window=window) as peer:
            body = grpc_message(stalling_request().SerializeToString())
            stream = await peer.call("/quorate.v1.InferenceService/Generate", body)
            await read_some(peer, stream, window - 2_000)
            # Its sessions are given back while it still does not read.
            found = await idle(service)
            assert (stalled := drafted(found) - before) > 0
            await peer.open_window(stream)
            frames = await asyncio.wait_for(peer.rest(stream), DEADLINE_SECONDS)
        assert b"grpc-status\x0210" in trailers(frames)
        said = f"its reader took nothing of it for {STALL_SECONDS} s"
        assert said.encode() in trailers(frames)

        left = Stream(client, "x", request_id="left", **DRAFTED)
        await left.until(lambda heard: len(heard.tokens) >= 60)
        await left.leave()
        found = await idle(service)
        assert drafted(found) > before + stalled
        assert drafted(found, "tokens_accepted") <= drafted(found)

        again = await answer(client, "x", **DRAFTED)
        assert again.text == plain.text
        rows, machine = await settled(service, client, 5)
    outcomes = {row.request_id: row.outcome for row in rows}
    assert (outcomes["left"], outcomes["stalled"]) == ("cancelled", "cancelled")
    # Neither went on to its end: a reader that takes nothing holds up what is computed.
    tokens = {row.request_id: row.generated_tokens for row in rows}
    for name in ("left", "stalled"):
        assert 0 < tokens[name] < plain.usage.generated_tokens
    for heard in (plain, whole, again):
        (row,) = [row for row in rows if row.request_id == heard.request_id]
        assert row.energy.joules == pytest.approx(joules_of(heard.usage), abs=1e-5)
    assert_conserved(service, machine, rows)


@pytest.mark.parametrize(
    ("victim", "policy"),
    [
        ("small", "continue"),
        ("large", "replay"),
        pytest.param("small", "replay", marks=pytest.mark.slow),
        pytest.param("large", "continue", marks=pytest.mark.slow),
    ],
)
async def test_a_member_that_is_killed_in_mid_draft_costs_no_answer_and_no_account(
    tmp_path: Path, victim: str, policy: str
) -> None:
    dropped, replayed = (
        inference_pb2.NOTICE_KIND_MEMBER_DROPPED,
        inference_pb2.NOTICE_KIND_MEMBER_REPLAYED,
    )
    async with pair(tmp_path) as (service, client):
        plain = await answer(client, "x", **{**DRAFTED, "drafts": "off"})
        killed = []
        for place in PLACES:
            heard = Stream(client, "x", failure_policy=policy, **DRAFTED)
            await heard.until(lambda heard, place=place: len(heard.tokens) >= place)
            kill_worker(service, victim)
            killed.append(await heard.whole())
            await reaches(service, victim, ModelState.READY)
        found = await idle(service)
        rows, machine = await settled(service, client, 1 + len(PLACES))
    for heard in killed:
        assert heard.text == plain.text
        wanted = dropped if policy == "continue" else replayed
        assert [(one.kind, one.model) for one in heard.notices] == [(wanted, victim)]
        assert_adds_up(heard.usage)
        assert {one.model for one in heard.usage.models} == set(PAIR)
    assert any(one.drafted_tokens for heard in killed for one in heard.usage.models)
    assert drafted(found) == sum(one.usage.drafted_tokens for one in killed)
    assert drafted(found, "tokens_accepted") == sum(one.usage.accepted_tokens for one in killed)
    assert_conserved(service, machine, rows)


async def test_answers_drawn_from_one_member_each_are_repeatable_and_accounted_for(
    tmp_path: Path,
) -> None:
    whole_row = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "seed": 5}
    first = {"models": PAIR, "max_tokens": 120, **whole_row, "omit_logprobs": True}
    async with pair(tmp_path) as (service, client):
        heard = [await answer(client, "x", **first) for _ in range(2)]
        told = await answer(client, "x", **{**first, "omit_logprobs": False})
        greedy = await answer(client, "x", **{**first, "temperature": 0.0})
        killed = Stream(client, "x", failure_policy="replay", **first)
        await killed.until(lambda stream: len(stream.tokens) >= 40)
        kill_worker(service, "large")
        await killed.whole()
        await reaches(service, "large", ModelState.READY)
        left = Stream(client, "x", request_id="left", **first)
        await left.until(lambda stream: len(stream.tokens) >= 40)
        await left.leave()
        found = await idle(service)
        rows, machine = await settled(service, client, 6)
    assert len({one.text for one in (*heard, killed)}) == 1
    assert heard[0].text.startswith(left.text)
    for one in (*heard, killed):
        assert one.decision.draft.member_first
        assert {token.logprob for token in one.tokens} == {0.0}
        lone = {model.model: model.lone_tokens for model in one.usage.models}
        assert all(lone.values())
        # How many there are follows from what the machine's steps take.
        assert sum(lone.values()) == one.usage.lone_tokens < one.usage.generated_tokens
        # Nothing is read twice, and beyond what was told only what was guessed.
        most = one.usage.generated_tokens + one.usage.drafted_tokens
        assert all(model.generated_tokens <= most for model in one.usage.models)
    assert [one.model for one in killed.notices] == ["large"]
    for one in (told, greedy):
        assert not one.decision.draft.member_first
        assert one.usage.lone_tokens == 0
    assert any(token.logprob < 0 for token in told.tokens)
    counted = math.fsum(found["quorate_lone_tokens_total"].values())
    assert counted >= sum(one.usage.lone_tokens for one in (*heard, killed))
    assert_conserved(service, machine, rows)
