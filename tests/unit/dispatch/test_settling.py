"""However an attempt ends, and whatever raises on the way, nothing of it stays held or reserved."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.dispatch import recorder as recorder_module
from quorate.dispatch.activity import Activity
from quorate.dispatch.attempt import Attempt
from quorate.dispatch.recorder import FAILED, FINISHED, AttemptRecorder
from quorate.dispatch.stopwatch import Stopwatch
from quorate.errors import Internal
from quorate.ledger.budgets import Budgets
from quorate.ledger.charges import Charge
from quorate.ledger.ledger import Ledger
from quorate.ledger.settings import BudgetLimits, BudgetSettings
from quorate.request import Budget, Decision, Request, TextPrompt
from quorate.routing.choose import choose_plan
from quorate.routing.request import RoutingRequest
from quorate.routing.snapshot import Remaining, RemoteStatus
from support.dispatching import SimulatedMeter
from support.ledgers import reservations
from support.routing_cases import remotes, service, usd_per_mtok

PRICE = usd_per_mtok(1.0, 2.0)
CALL_USD = 0.003
"""Of one call, at most: a thousand tokens of a prompt and a thousand of an answer."""
ASKED = Request(TextPrompt("x" * 936), request_id="r", key="alice")
STEPS = {
    "activity": (Activity, "end"),
    "meter": (SimulatedMeter, "finish"),
    "usage": (Attempt, "usage"),
    "joules": (Attempt, "joules"),
    "usd": (Attempt, "usd"),
    "learning": (recorder_module, "learn"),
    "row": (recorder_module, "charge"),
}


def far() -> Decision:
    """A remote that may cost 0.003 USD."""
    known = remotes(RemoteStatus("far", PRICE))
    snapshot = service("a", remotes=known, remaining=Remaining(joules=0.0))
    return choose_plan(RoutingRequest(prompt_token_bound=1000, max_tokens=1000), snapshot)


class Books:
    """A recorder over a file, with so many dollars for a day."""

    def __init__(self, folder: str | Path, usd: float = 0.01) -> None:
        self.path = Path(folder) / "ledger.db"
        self.ledger = Ledger.open(self.path)
        limits = BudgetLimits(joules_per_hour=100.0, usd_per_day=usd)
        budgets = Budgets(BudgetSettings(limits))
        self.recorder = AttemptRecorder(budgets, self.ledger, SimulatedMeter())

    async def open(self, asked: Request = ASKED) -> Attempt:
        attempt = await self.recorder.open(asked, far(), Stopwatch(), PRICE)
        assert attempt.remote is not None
        attempt.remote.send()
        return attempt

    def dollars(self) -> tuple[float, float]:
        """Spent and held."""
        _, usd = self.recorder.budgets.status("alice")
        return usd.spent, usd.held

    async def row(self) -> Charge:
        await self.recorder.flush()
        (row,), _ = await self.ledger.list_charges()
        return row


def within(work: Callable[[Books], Awaitable[None]], usd: float = 0.01) -> None:
    """Does some work with books of its own."""

    async def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            books = Books(folder, usd)
            try:
                await work(books)
            finally:
                await books.recorder.flush()
                await books.ledger.close()

    asyncio.run(run())


@settings(max_examples=25, deadline=None)
@given(
    st.sets(st.sampled_from(sorted(STEPS)), min_size=1),
    st.sampled_from([FINISHED, FAILED]),
    st.sampled_from([Internal("no"), ZeroDivisionError(), OverflowError()]),
    st.booleans(),
)
def test_whatever_raises_nothing_stays_held_or_reserved(broken, outcome, error, unwritable):
    async def work(books: Books) -> None:
        attempt = await books.open()
        assert attempt.remote is not None
        attempt.remote.prompt_tokens, attempt.remote.generated_tokens = 400, 300
        with ExitStack() as faults:
            for name in broken:
                faults.enter_context(mock.patch.object(*STEPS[name], side_effect=error))
            if unwritable:
                settle = mock.AsyncMock(side_effect=[Internal("no such row"), None])
                faults.enter_context(
                    mock.patch.object(books.ledger, "settle", _first_fails(settle, books.ledger))
                )
            if outcome == FINISHED:
                await books.recorder.settle(attempt)
            else:
                books.recorder.abandon(attempt, outcome)
            await books.recorder.flush()
        row = await books.row()
        spent, held = books.dollars()
        # What cannot be worked out counts as what was held.
        assert spent == pytest.approx(CALL_USD if "usd" in broken else 0.001)
        assert held == 0.0
        assert row.outcome == outcome
        assert row.usd is not None
        assert float(row.usd) >= spent
        assert reservations(books.path) == 0
        assert books.recorder.budgets._holds == {}

    within(work)


def _first_fails(told: mock.AsyncMock, ledger: Ledger) -> Callable[[Charge], Awaitable[None]]:
    settle = ledger.settle

    async def first_fails(row: Charge) -> None:
        await told(row)
        await settle(row)

    return first_fails


@pytest.mark.parametrize("hostile", [-(10**9), 10**30])
def test_no_count_of_a_remote_gives_a_negative_charge_or_none_at_all(hostile):
    async def work(books: Books) -> None:
        attempt = await books.open()
        assert attempt.remote is not None
        attempt.remote.prompt_tokens, attempt.remote.cached_prompt_tokens = 400, hostile
        attempt.remote.generated_tokens = hostile
        await books.recorder.settle(attempt)
        row = await books.row()
        assert row.usd is not None
        assert row.usd >= Decimal("0.0004")
        assert books.dollars()[1] == 0.0
        assert reservations(books.path) == 0

    within(work)


def test_each_further_call_is_held_and_reserved_before_it_is_made():
    async def work(books: Books) -> None:
        attempt = await books.open()
        assert attempt.remote is not None
        for calls in (2, 3):
            attempt.remote.lost += 1
            attempt.remote.asked = False
            assert await books.recorder.hold_another_call(attempt)
            attempt.remote.send()
            assert books.dollars() == (0.0, pytest.approx(calls * CALL_USD))
        assert not await books.recorder.hold_another_call(attempt)
        assert books.dollars()[1] == pytest.approx(3 * CALL_USD)
        attempt.remote.prompt_tokens, attempt.remote.generated_tokens = 400, 300
        await books.recorder.settle(attempt)
        row = await books.row()
        assert row.usd == Decimal("0.007")
        assert row.reserved_usd == Decimal("0.009")
        assert books.dollars() == (pytest.approx(0.007), 0.0)
        assert reservations(books.path) == 0

    within(work)


def test_a_process_that_dies_owes_all_calls_that_were_reserved():
    async def work(books: Books) -> None:
        attempt = await books.open()
        await books.recorder.hold_another_call(attempt)
        await books.ledger.close()
        again = Ledger.open(books.path)
        (row,), _ = await again.list_charges()
        await again.close()
        assert (row.outcome, row.usd) == ("lost", Decimal("0.006"))
        books.recorder.abandon(attempt, FAILED)

    within(work)


@pytest.mark.parametrize("why", ["the request's own limit", "a ledger that is closed"])
def test_no_further_call_is_made_where_there_is_no_room_for_it(why):
    async def work(books: Books) -> None:
        limited = why.startswith("the request")
        asked = replace(ASKED, budget=Budget(usd=1.5 * CALL_USD)) if limited else ASKED
        attempt = await books.open(asked)
        if not limited:
            await books.ledger.close()
        assert not await books.recorder.hold_another_call(attempt)
        assert books.dollars() == (0.0, pytest.approx(CALL_USD))
        books.recorder.abandon(attempt, FAILED)
        assert books.dollars() == (pytest.approx(CALL_USD), 0.0)

    within(work)
