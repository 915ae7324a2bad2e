"""What a client sees, and what is settled, where a remote that was asked does not do its part."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from quorate.client import Client
from quorate.v1 import accounting_pb2, inference_pb2, plan_pb2
from support.fallback import (
    INPUT_USD,
    OUTPUT_USD,
    SAY,
    ask_far,
    candidate,
    clauses,
    most_prompt_tokens,
    place_with_remote,
)
from support.faulty_remote import CUT, HOLD, Answer, delta, refuses, says, streams
from support.ledgers import charges, charges_once, reservations
from support.streams import usd_of

NANO_USD = 1e-9
WINDOW = {"budgets": {"usd_per_day": 1.0}}


async def settled(client: Client, home: Path, request_id: str) -> accounting_pb2.Charge:
    """The one row of a request, once nothing is held or reserved any more."""
    (row,) = await charges_once(client, lambda rows: len(rows) == 1, request_id=request_id)
    (window,) = await client.budget()
    assert window.held == 0
    assert window.spent == pytest.approx(row.usd, abs=NANO_USD)
    assert reservations(home / "ledger.sqlite3") == 0
    return row


def charged_for(text_tokens: int) -> float:
    """What a remote that did not count is taken to charge."""
    return most_prompt_tokens("Say it.") * INPUT_USD + text_tokens * OUTPUT_USD


async def test_a_remote_that_is_busy_is_asked_again_and_charged_once(tmp_path: Path) -> None:
    script = [refuses(429, "rate_limit_exceeded", retry_after="0"), says("So", " be it")]
    async with place_with_remote(tmp_path, *script, sections=WINDOW) as (remote, client):
        heard = await ask_far(client, "once").end()
        row = await settled(client, tmp_path, "once")
    assert heard.text == "So be it"
    assert heard.notices == []
    assert len(remote.requests) == 2
    assert row.outcome == "finished"
    assert row.usd == pytest.approx(usd_of(heard.usage), abs=NANO_USD)
    assert row.usd == pytest.approx(7 * INPUT_USD + 2 * OUTPUT_USD, abs=NANO_USD)


async def test_a_spent_account_opens_the_breaker_and_the_local_model_answers(
    tmp_path: Path,
) -> None:
    broke = refuses(402, "insufficient_quota", "You have no credit left.")
    async with place_with_remote(tmp_path, broke, sections=WINDOW) as (remote, client):
        first = await ask_far(client, "first").end()
        second = await ask_far(client, "second").end()
        rows = await charges(client, request_id="first")
        (window,) = await client.budget()
    assert len(remote.requests) == 1
    assert first.text == second.text == SAY
    (notice,) = first.notices
    assert notice.kind == inference_pb2.NOTICE_KIND_FELL_BACK
    assert notice.model == "far"
    assert notice.message.startswith("remote:far failed before its first byte: remote far: ")
    assert plan_pb2.CLAUSE_FAILED_BEFORE in clauses(first.decision, "remote:far")
    assert second.notices == []
    for one in (first, second):
        assert one.decision.kind == plan_pb2.PLAN_KIND_SINGLE
        assert one.decision.over_budget.clause == plan_pb2.CLAUSE_ENERGY
    (open_breaker,) = candidate(second.decision, "remote:far").rejections
    assert open_breaker.clause == plan_pb2.CLAUSE_HEALTH
    assert "circuit breaker is open" in open_breaker.message
    assert [(row.plan_kind, row.outcome) for row in rows] == [
        (plan_pb2.PLAN_KIND_SINGLE, "finished"),
        (plan_pb2.PLAN_KIND_REMOTE, "failed"),
    ]
    # An error instead of an answer is not charged for.
    assert rows[1].usd == window.spent == window.held == 0


async def test_a_stream_that_is_cut_ends_in_an_error_and_what_came_is_charged(
    tmp_path: Path,
) -> None:
    cut = streams(delta("so"), delta(" far"), delta(" so good"), CUT)
    async with place_with_remote(tmp_path, cut, sections=WINDOW) as (remote, client):
        heard = await ask_far(client, "cut").end()
        row = await settled(client, tmp_path, "cut")
    assert heard.text == "so far so good"
    assert heard.error is not None
    assert (heard.error.status, heard.error.reason) == ("UNAVAILABLE", "REMOTE_FAILED")
    assert "\n" not in heard.error.message
    assert len(remote.requests) == 1
    assert row.outcome == "failed"
    (part,) = row.models
    assert part.generated_tokens >= 3
    assert row.usd == pytest.approx(charged_for(part.generated_tokens), abs=NANO_USD)
    assert row.usd <= row.reserved_usd


async def test_a_client_that_leaves_closes_the_remote_and_pays_for_what_came(
    tmp_path: Path,
) -> None:
    async with place_with_remote(
        tmp_path, streams(delta("so"), delta(" far"), HOLD), sections=WINDOW
    ) as (remote, client):
        stream = ask_far(client, "left")
        await stream.until(lambda heard: heard.text == "so far")
        (during,) = await client.budget()
        await stream.leave()
        await remote.client_left()
        row = await settled(client, tmp_path, "left")
    assert during.held == pytest.approx(row.reserved_usd, abs=NANO_USD)
    assert row.outcome == "cancelled"
    (part,) = row.models
    assert part.generated_tokens >= 2
    assert row.usd == pytest.approx(charged_for(part.generated_tokens), abs=NANO_USD)


async def test_a_remote_that_is_slower_than_the_deadline_is_left_and_settled(
    tmp_path: Path,
) -> None:
    async with place_with_remote(tmp_path, Answer(before=(HOLD,)), sections=WINDOW) as (
        remote,
        client,
    ):
        heard = await ask_far(client, "late", timeout=0.5).end()
        await remote.client_left()
        row = await settled(client, tmp_path, "late")
        # Being slow for one caller's taste is nothing to hold against a remote.
        again = await ask_far(client, "again").end()
    assert heard.events == []
    assert heard.error is not None
    assert heard.error.status == "DEADLINE_EXCEEDED"
    assert row.outcome in ("failed", "cancelled")
    assert row.generated_tokens == 0
    # It may have answered all the same, and charge for that.
    assert row.usd == pytest.approx(row.reserved_usd, abs=NANO_USD)
    assert again.text == "Hello there"


async def test_a_full_remote_is_not_asked_and_another_plan_answers(tmp_path: Path) -> None:
    script, settings = streams(delta("so"), HOLD), {"max_concurrent": 1}
    async with place_with_remote(tmp_path, script, settings=settings) as (remote, client):
        stream = ask_far(client, "first")
        await stream.until(lambda heard: heard.text == "so")
        second = await ask_far(client, "second").end()
        await stream.leave()
    assert len(remote.requests) == 1
    assert second.text == SAY
    (full,) = candidate(second.decision, "remote:far").rejections
    assert (full.clause, full.message) == (
        plan_pb2.CLAUSE_HEALTH,
        "1 requests run, which is its limit",
    )


async def test_many_at_once_never_take_more_places_than_a_remote_has(tmp_path: Path) -> None:
    given = {"settings": {"max_concurrent": 2}, "sections": WINDOW}
    async with place_with_remote(tmp_path, **given) as (remote, client):
        remote.default = Answer(says("So", " be it").parts, before=(HOLD,))
        streams_of_all = [ask_far(client, f"{n}", max_tokens=4) for n in range(12)]
        await asyncio.wait_for(remote.holding.wait(), 30)
        running = [one for one in streams_of_all if not one.task.done()]
        while len(running) > 2:
            await asyncio.wait([one.task for one in running], return_when="FIRST_COMPLETED")
            running = [one for one in streams_of_all if not one.task.done()]
        remote.go_on.set()
        heard = [await stream.end() for stream in streams_of_all]
        rows = await charges(client)
        (window,) = await client.budget()
    texts = [one.text for one in heard]
    assert [one.error for one in heard] == [None] * 12
    assert texts.count("So be it") == len(remote.requests) == 2
    paid = [row.usd for row in rows if row.usd]
    assert len(paid) == 2
    assert window.spent == pytest.approx(sum(paid), abs=NANO_USD)
    assert window.held == 0
