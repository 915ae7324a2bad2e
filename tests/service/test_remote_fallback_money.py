"""A thousand at once against a budget for a hundred: nobody spends more than there is."""

from __future__ import annotations

import asyncio
import math
import random
from pathlib import Path
from typing import Any

import pytest

from quorate.client import Client
from quorate.v1.accounting_pb2 import BudgetWindow
from support.fallback import ask_far, far, place_with_remote, service_with_remote
from support.faulty_remote import HOLD, counted, delta, faulty_remote, says, streams
from support.ledgers import charges_once, reservations
from support.streams import Stream

NANO_USD = 1e-9
TOKENS = 8
OUTPUT_USD_PER_MTOK = 1000.0
PRICE_USD = TOKENS * OUTPUT_USD_PER_MTOK / 1e6
"""Of one whole answer; prompts are free, so that each costs exactly what is reserved for it."""

SIZES = [
    pytest.param(100, 10, id="100 for 10"),
    pytest.param(1000, 100, id="1000 for 100", marks=pytest.mark.slow),
]
POLICIES = ["reject", "best_effort"]
PRICES_AND_ROOM = {
    "input_usd_per_mtok": 0.0,
    "output_usd_per_mtok": OUTPUT_USD_PER_MTOK,
    "max_concurrent": 10_000,
}


def dollars_for(budget: int, policy: str = "reject") -> dict[str, Any]:
    """Sections by which a day has dollars for so many whole answers."""
    budgets = {"usd_per_day": budget * PRICE_USD}
    return {"routing": {"policy": policy}, "sections": {"budgets": budgets}}


def ask(client: Client, number: int) -> Stream:
    return ask_far(client, f"{number}", f"{number}", max_tokens=TOKENS)


async def left_after(stream: Stream, events: int) -> None:
    """Leaves once so many events came, or the stream has ended."""
    while len(stream.events) < events and not stream.task.done():
        await asyncio.sleep(0)
    await stream.leave()


async def nothing_is_held(client: Client) -> BudgetWindow:
    """The window, once every call that was cancelled has been settled."""
    async with asyncio.timeout(60):
        while (window := (await client.budget())[0]).held:
            pass
    return window


@pytest.mark.parametrize(("requests", "budget"), SIZES)
@pytest.mark.parametrize("policy", POLICIES)
async def test_a_window_for_some_lets_exactly_so_many_reach_the_remote(
    tmp_path: Path, policy: str, requests: int, budget: int
) -> None:
    limit = budget * PRICE_USD
    given = dollars_for(budget, policy)
    async with place_with_remote(
        tmp_path, settings=PRICES_AND_ROOM, max_waiting=requests, **given
    ) as (remote, client):
        remote.default = says(*["so "] * TOKENS)
        heard = [ask(client, number) for number in range(requests)]
        for one in heard:
            await one.end()
        (window,) = await client.budget()
        (whole,) = (await client.spend()).spends
        by_model = {row.group["model"]: row for row in (await client.spend(["model"])).spends}
    served = [one for one in heard if one.finished and one.decision.remote == "far"]
    assert len(served) == len(remote.requests) == by_model["far"].requests == budget
    assert math.fsum(one.usage.models[0].usd for one in served) == pytest.approx(limit)
    assert whole.usd == pytest.approx(limit, abs=NANO_USD)
    assert window.spent == pytest.approx(limit, abs=NANO_USD)
    assert (window.held, window.left) == (0.0, 0.0)
    others = [one for one in heard if one not in served]
    if policy == "reject":
        assert {one.error.reason for one in others if one.error} == {"OVER_BUDGET"}
        assert not any(one.finished for one in others)
    else:
        assert {one.decision.members[0].model for one in others} == {"a"}
        assert all(one.finished for one in others)
    assert reservations(tmp_path / "ledger.sqlite3") == 0


@pytest.mark.parametrize(("requests", "budget"), SIZES)
@pytest.mark.parametrize("seed", [1, 2])
async def test_nor_is_more_spent_where_some_leave_at_any_time(
    tmp_path: Path, requests: int, budget: int, seed: int
) -> None:
    luck = random.Random(seed)
    limit = budget * PRICE_USD
    async with (
        faulty_remote() as remote,
        service_with_remote(
            tmp_path, far(remote.base_url, **PRICES_AND_ROOM), **dollars_for(budget)
        ) as (service, client),
    ):
        remote.default = says(*["so "] * TOKENS)
        heard = [ask(client, number) for number in range(requests)]
        leaving = [one for one in heard if luck.random() < 0.5]
        # Before the first event, or after any.
        await asyncio.gather(*(left_after(one, luck.randrange(TOKENS)) for one in leaving))
        await asyncio.gather(*(one.task for one in heard), return_exceptions=True)
        window = await nothing_is_held(client)
        await service.dispatcher.recorder.flush()
        rows = await charges_once(client, bool, page_size=1000)
        paid = [row for row in rows if row.usd]
    whole = [one for one in heard if one.finished]
    assert math.fsum(one.usage.models[0].usd for one in whole) <= limit + NANO_USD
    assert math.fsum(row.usd for row in paid) <= limit + NANO_USD
    assert window.spent == pytest.approx(math.fsum(row.usd for row in paid), abs=NANO_USD)
    assert window.spent <= limit + NANO_USD
    assert window.held == 0
    finished = [row for row in paid if row.outcome == "finished"]
    assert len(whole) <= len(finished) <= budget
    assert len({row.attempt_id for row in rows}) == len(rows)
    assert {row.request_id for row in finished} >= {one.request_id for one in whole}
    assert reservations(tmp_path / "ledger.sqlite3") == 0


async def test_what_those_who_left_did_not_use_is_there_for_others(tmp_path: Path) -> None:
    budget, heard_tokens = 10, 2
    begun = [delta("so ")] * heard_tokens
    rest = [delta("so ")] * (TOKENS - heard_tokens)
    end = [delta(finish="stop"), counted(7, TOKENS), b"data: [DONE]\n\n"]
    given = dollars_for(budget)
    async with place_with_remote(tmp_path, settings=PRICES_AND_ROOM, **given) as (remote, client):
        remote.default = streams(*begun, HOLD, *rest, *end)
        first = [ask(client, number) for number in range(budget)]
        for one in first:
            await one.until(lambda stream: stream.text == "so " * heard_tokens)
        refused = await ask(client, budget).end()
        (full,) = await client.budget()
        for one in first[:5]:
            await one.leave()
        await charges_once(client, lambda rows: sum(bool(row.usd) for row in rows) == 5)
        (freed,) = await client.budget()
        # Six of eight tokens that each of five did not take are room for three more answers.
        second = [ask(client, 100 + number) for number in range(10)]
        remote.go_on.set()
        for one in [*first[5:], *second]:
            await one.end()
        window = await nothing_is_held(client)
    assert refused.error is not None
    assert (full.held, full.left) == (pytest.approx(budget * PRICE_USD), 0.0)
    assert freed.spent == pytest.approx(5 * PRICE_USD * heard_tokens / TOKENS)
    assert freed.held == pytest.approx(5 * PRICE_USD)
    served = [one for one in second if one.finished]
    assert len(served) == 3
    assert window.spent == pytest.approx((5 + 3) * PRICE_USD + freed.spent)
    assert window.spent <= budget * PRICE_USD + NANO_USD
