"""What was spent, asked over the wire: it is what the clients were told, and nothing else."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from quorate.app.service import Service
from quorate.client import Client
from quorate.v1 import accounting_pb2, accounting_pb2_grpc, inference_pb2, plan_pb2
from support.fallback import INPUT_USD, OUTPUT_USD, OVER_ENERGY, SAY, far, learn_energy
from support.faulty_remote import HOLD, FaultyRemote, counted, delta, faulty_remote, streams
from support.ledgers import charges, charges_once
from support.streams import Stream, answer, joules_of, refused, usd_of
from support.whole_service import scripted, whole_service

MICROJOULE = 1e-6
NANO_USD = 1e-9
GROUPS = ("model", "profile", "key", "day", "plan_kind", "task")


@dataclass
class Told:
    """What a client was told of one request."""

    request_id: str
    usage: inference_pb2.Usage


@dataclass
class Place:
    """A service of three models and a remote; it is known what an answer of ``a`` takes."""

    service: Service
    client: Client
    remote: FaultyRemote


@asynccontextmanager
async def place(home: Path, **sections: Any) -> AsyncIterator[Place]:
    models = [
        scripted("a", say=SAY, seed=1),
        scripted("b", say=SAY, seed=2),
        scripted("slow", say=SAY, step_delay_ms=30.0, context_length=64),
    ]
    async with faulty_remote() as remote:
        given = {
            "profiles": {"pair": {"members": ["a", "b"]}},
            "routing": {"probe": False, "exploration": 0.0, "candidates": ["a"]},
            "remotes": {"far": far(remote.base_url, text_prompts=True)},
            **sections,
        }
        async with whole_service(home, *models, sections=given) as (service, client):
            await learn_energy(client)
            yield Place(service, client, remote)


async def mixed(here: Place) -> list[Told]:
    """Answers of every kind that end well, one after the other."""
    told = []
    kinds: list[dict[str, Any]] = [
        {"model": "a"},
        {"profile": "pair", "task": "code"},
        {"model": "b", "max_tokens": 20, "task": "code"},
        {"stages": [("a", 1.0), "b"]},
        {"auto": True, **OVER_ENERGY},
    ]
    for number, options in enumerate(kinds):
        stream = await answer(
            here.client, f"{number} ", request_id=f"good-{number}", temperature=0.0, **options
        )
        told.append(Told(f"good-{number}", stream.usage))
    score = await here.client.score("x", SAY, models=["a", "b"], request_id="good-score")
    return [*told, Told("good-score", score.usage)]


async def spoilt(here: Place) -> list[str]:
    """Requests that end otherwise: one fails once it was begun, one is cancelled."""
    refusal = await refused(here.client.complete("long " * 50, model="slow", request_id="bad-long"))
    assert refusal.reason == "PROMPT_TOO_LONG"
    stream = Stream(here.client, "", model="slow", temperature=0.0, request_id="bad-left")
    await stream.until(lambda heard: len(heard.text) >= 2)
    await stream.leave()
    return ["bad-long", "bad-left"]


def total(rows: Iterable[Any], name: str) -> float:
    return math.fsum(getattr(row, name) for row in rows)


def joules(rows: Iterable[Any]) -> float:
    return math.fsum(row.energy.joules for row in rows)


async def test_the_pages_hold_exactly_the_requests_newest_first(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        before = len(await charges(here.client))
        told = await mixed(here)
        spoilt_ids = await spoilt(here)
        asked = [one.request_id for one in told] + spoilt_ids
        rows = await charges_once(here.client, lambda rows: len(rows) - before >= len(asked))
        paged = await charges(here.client, page_size=3)
        (only,) = await charges(here.client, request_id="good-1")
        of_slow = await charges(here.client, model="slow")
        later = await charges(here.client, since=only.finished_at)
        earlier = await charges(here.client, until=only.finished_at)
    assert [row.request_id for row in rows[: len(asked)]] == asked[::-1]
    assert [row.attempt_id for row in paged] == [row.attempt_id for row in rows]
    assert len({row.attempt_id for row in rows}) == len(rows) == before + len(asked)
    assert [row.outcome for row in rows[:2]] == ["cancelled", "failed"]
    assert {row.outcome for row in rows[2:]} == {"finished"}
    assert rows[0].generated_tokens >= 1
    assert (only.profile, only.task) == ("pair", "code")
    assert [row.request_id for row in of_slow] == ["bad-left"]
    assert [row.attempt_id for row in [*later, *earlier]] == [row.attempt_id for row in rows]


async def test_a_row_says_what_its_client_was_told(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        told = await mixed(here)
        rows = {row.request_id: row for row in await charges(here.client)}
    for one in told:
        row, usage = rows[one.request_id], one.usage
        assert row.prompt_tokens == usage.prompt_tokens
        assert row.generated_tokens == usage.generated_tokens
        assert row.duration_ms == usage.duration_ms
        assert row.usd == pytest.approx(usd_of(usage), abs=NANO_USD)
        assert [part.model for part in row.models] == [part.model for part in usage.models]
        for part, seen in zip(row.models, usage.models, strict=True):
            assert part.generated_tokens == seen.generated_tokens
            assert part.energy.tier == seen.energy.tier
            assert part.energy.joules == pytest.approx(seen.energy.joules, abs=MICROJOULE)
    assert rows["good-4"].plan_kind == plan_pb2.PLAN_KIND_REMOTE
    assert rows["good-4"].clause == "energy"
    assert rows["good-4"].usd > 0


async def test_the_sums_of_every_group_are_what_the_clients_were_told(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        since = (await charges(here.client))[0].finished_at + 1e-6
        told = await mixed(here)
        (whole,) = (await here.client.spend(since=since)).spends
        machine = (await here.client.spend()).machine
        groups = [
            [(await here.client.spend(by, since=since)).spends for by in ([group], [group, "day"])]
            for group in GROUPS
        ]
    assert machine.tier == inference_pb2.ENERGY_TIER_ESTIMATED
    assert machine.request_joules > 0
    used = machine.request_joules + machine.idle_joules + machine.unattributed_joules
    assert used == pytest.approx(machine.counter_joules, rel=1e-9)
    usages = [one.usage for one in told]
    parts = [part for usage in usages for part in usage.models]
    bound = MICROJOULE * len(parts)
    seen = math.fsum(joules_of(usage) for usage in usages)
    assert seen > 0
    assert whole.requests == len(told)
    for name in ("prompt_tokens", "generated_tokens"):
        assert total([whole], name) == total(usages, name)
    for group, (alone, with_day) in zip(GROUPS, groups, strict=True):
        assert len({row.group[group] for row in alone}) == len(alone) >= 1
        assert all(set(row.group) == {group, "day"} for row in with_day)
        for rows in ([whole], alone, with_day):
            assert joules(rows) == pytest.approx(seen, abs=bound)
            assert total(rows, "usd") == pytest.approx(math.fsum(map(usd_of, usages)), abs=NANO_USD)
        if group != "model":
            assert total(alone, "requests") == len(told)
            assert total(alone, "generated_tokens") == whole.generated_tokens
            continue
        # A vote of two counts in the rows of both; its joules are divided.
        assert total(alone, "requests") == len(parts)
        for row in alone:
            own = [part for part in parts if part.model == row.group["model"]]
            assert joules([row]) == pytest.approx(joules(own), abs=bound)


async def test_a_budget_shows_what_is_spent_and_held_and_left(tmp_path: Path) -> None:
    budgets = {"joules_per_hour": 10_000.0, "usd_per_day": 1.0}
    async with place(tmp_path, budgets=budgets) as here:
        told = await mixed(here)
        here.remote.script = [streams(delta("so"), HOLD, delta(finish="stop"), counted(7, 1))]
        held = Stream(here.client, "x", auto=True, max_tokens=100, **OVER_ENERGY)
        await asyncio.wait_for(here.remote.holding.wait(), 30)
        while_it_runs = await here.client.budget()
        here.remote.go_on.set()
        await held.end()
        after = await here.client.budget()
        (whole,) = (await here.client.spend()).spends
    names = {"joules per hour": 3600.0, "usd per day": 86_400.0}
    assert {window.name: window.seconds for window in after} == names
    for window in [*while_it_runs, *after]:
        left = window.limit - window.spent - window.held
        assert window.left == pytest.approx(left, abs=NANO_USD)
        assert window.resets_in_seconds > 0
    usd = {window.name: window for window in while_it_runs}["usd per day"]
    # A byte and a frame of 64 tokens, and 100 tokens of an answer.
    assert usd.held == pytest.approx(65 * INPUT_USD + 100 * OUTPUT_USD, abs=NANO_USD)
    assert usd.unit == accounting_pb2.BUDGET_UNIT_USD
    assert usd.spent == pytest.approx(math.fsum(usd_of(one.usage) for one in told), abs=NANO_USD)
    by_name = {window.name: window for window in after}
    assert {window.held for window in after} == {0.0}
    assert by_name["usd per day"].spent == pytest.approx(whole.usd, abs=NANO_USD)
    assert by_name["joules per hour"].spent == pytest.approx(whole.energy.joules, abs=1e-4)


@pytest.mark.parametrize(
    ("filters", "field"),
    [({"page_size": 1001}, "page_size"), ({"since": math.inf}, "filter.since")],
)
async def test_a_question_that_makes_no_sense_is_refused_with_its_field(
    tmp_path: Path, filters: dict[str, Any], field: str
) -> None:
    async with whole_service(tmp_path, scripted("a")) as (_, client):
        refusal = await refused(charges(client, **filters))
    assert refusal.status == "INVALID_ARGUMENT"
    assert [name for name, _ in refusal.violations] == [field]


async def test_a_page_token_of_nobodys_is_refused(tmp_path: Path) -> None:
    async with (
        whole_service(tmp_path, scripted("a")) as (service, _),
        grpc.aio.insecure_channel(service.address) as channel,
    ):
        stub = accounting_pb2_grpc.AccountingServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await stub.ListCharges(accounting_pb2.ListChargesRequest(page_token="nonsense"))
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
