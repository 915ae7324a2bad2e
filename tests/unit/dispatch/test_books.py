"""The books, without a dispatcher: what is held, settled, written and learned."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from quorate.dispatch.attempt import Asked, Attempt
from quorate.dispatch.books import CANCELLED, FAILED, PROBE, Books
from quorate.dispatch.charges import candidates_json
from quorate.dispatch.stopwatch import Stopwatch
from quorate.errors import BudgetSpent, Unavailable
from quorate.ledger.budgets import Budgets
from quorate.ledger.ledger import Ledger
from quorate.ledger.settings import BudgetLimits, BudgetSettings
from quorate.request import (
    Candidate,
    Clause,
    Decision,
    Energy,
    FinishReason,
    Forecast,
    PlanKind,
    Rejection,
    TextPrompt,
)
from quorate.routing.choose import choose_plan
from quorate.routing.request import RoutingRequest
from quorate.routing.snapshot import Remaining, RemoteStatus
from support.dispatching import SimulatedMeter
from support.routing_cases import remotes, service, took, usd_per_mtok, vote

PRICE = usd_per_mtok(1.0, 2.0)
ASKED = Asked("r", "alice", "law", TextPrompt("x"), 1, 1000)
LIMITS = BudgetLimits(joules_per_hour=100.0, usd_per_day=0.01)


def local() -> Decision:
    """A plan of which nine of ten runs take no more than 20 J."""
    return choose_plan(RoutingRequest(vote("a")), service("a", costs={"single:a": took(5.0, 10.0)}))


def far() -> Decision:
    """A remote that may cost 0.003 USD."""
    snapshot = service(
        "a",
        remotes=remotes(RemoteStatus("far", PRICE)),
        remaining=Remaining(joules=0.0),
    )
    decision = choose_plan(RoutingRequest(prompt_token_bound=1000, max_tokens=1000), snapshot)
    assert decision.route.remote == "far"
    return decision


class Desk:
    """Books with a ledger in memory and a simulated meter."""

    def __init__(self, limits: BudgetLimits = LIMITS) -> None:
        self.meter = SimulatedMeter()
        self.ledger = Ledger.open(None)
        self.books = Books(
            Budgets(BudgetSettings(limits)), self.ledger, self.meter, policy_version="1-x"
        )

    async def __aenter__(self) -> Desk:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.books.flush()
        await self.ledger.close()

    async def open(self, decision: Decision, asked: Asked = ASKED) -> Attempt:
        price = PRICE if decision.route.remote else None
        return await self.books.open(asked, decision, Stopwatch(), price)

    def windows(self) -> list[tuple[float, float]]:
        """Spent and held, of joules and then of dollars."""
        return [(one.spent, one.held) for one in self.books.budgets.left("alice")]

    async def rows(self) -> list[Any]:
        await self.books.flush()
        rows, _ = await self.ledger.list_charges()
        return list(reversed(rows))

    async def reserved(self) -> int:
        count: int = await self.ledger._writer.run(
            lambda connection: connection.execute("SELECT count(*) FROM reservations").fetchone()[0]
        )
        return count


async def test_what_nine_of_ten_take_is_held_and_what_was_taken_is_spent() -> None:
    async with Desk() as desk:
        attempt = await desk.open(local())
        assert desk.windows() == [(0.0, 20.0), (0.0, 0.0)]
        assert desk.books.activity.now == {"a": 1}
        assert await desk.reserved() == 1
        await desk.books.settle(attempt)
        assert desk.windows() == [(0.0, 0.0), (0.0, 0.0)]
        assert desk.books.activity.now == {"a": 0}
        assert await desk.reserved() == 0


async def test_an_energy_that_is_not_known_counts_as_what_was_held() -> None:
    async with Desk() as desk:
        desk.meter.known = False
        await desk.books.settle(await desk.open(local()))
        assert desk.windows() == [(20.0, 0.0), (0.0, 0.0)]


async def test_the_most_that_a_remote_can_charge_is_held() -> None:
    async with Desk() as desk:
        attempt = await desk.open(far())
        assert desk.windows() == [(0.0, 0.0), (0.0, 0.003)]
        assert attempt.remote is not None
        attempt.remote.asked = True
        attempt.remote.prompt_tokens, attempt.remote.generated_tokens = 400, 300
        attempt.remote.reason = FinishReason.STOP_STRING
        usage = await desk.books.settle(attempt)
        assert desk.windows() == [(0.0, 0.0), (0.001, 0.0)]
        assert usage.models[0].usd == 0.001
        [row] = await desk.rows()
        assert (row.usd, row.reserved_usd) == (Decimal("0.001"), Decimal("0.003"))
        assert (row.plan_kind, row.clause, row.finish_reason) == (
            "remote",
            "energy_window",
            "stop_string",
        )
        assert json.loads(row.plan) == {"remote": "far"}


@pytest.mark.parametrize(
    ("asked", "streamed", "usd"),
    [(False, 0, "0"), (True, 0, "0.001"), (True, 250, "0.0015"), (True, 5000, "0.003")],
)
async def test_a_remote_that_did_not_count_is_taken_to_charge_for_all_it_may(
    asked: bool, streamed: int, usd: str
) -> None:
    async with Desk() as desk:
        attempt = await desk.open(far())
        assert attempt.remote is not None
        attempt.remote.asked, attempt.remote.generated_tokens = asked, streamed
        desk.books.abandon(attempt, CANCELLED)
        [row] = await desk.rows()
        assert row.usd == Decimal(usd)
        assert desk.windows()[1] == (float(usd), 0.0)


async def test_the_fourth_remote_call_does_not_fit_and_leaves_no_trace() -> None:
    async with Desk() as desk:
        for _ in range(3):
            await desk.open(far())
        with pytest.raises(BudgetSpent, match="usd per day"):
            await desk.open(far())
        assert await desk.reserved() == 3
        assert desk.windows()[1][1] == pytest.approx(0.009)


@pytest.mark.parametrize("decision", [local, far])
async def test_a_caller_who_leaves_while_the_reservation_is_written_leaves_nothing_behind(
    decision: Any,
) -> None:
    async with Desk() as desk:
        opening = asyncio.create_task(desk.open(decision()))
        await asyncio.sleep(0)
        assert not opening.done()
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        assert desk.windows() == [(0.0, 0.0), (0.0, 0.0)]
        assert desk.meter.jobs == set()
        [row] = await desk.rows()
        assert (row.outcome, row.usd or 0) == (CANCELLED, 0)
        assert await desk.reserved() == 0


async def test_a_ledger_that_cannot_be_written_stops_what_costs_money_and_nothing_else() -> None:
    async with Desk() as desk:
        await desk.ledger.close()
        with pytest.raises(Unavailable):
            await desk.open(far())
        assert desk.windows() == [(0.0, 0.0), (0.0, 0.0)]
        attempt = await desk.open(local())
        await desk.books.settle(attempt)
        assert desk.windows()[0] == (0.0, 0.0)


@pytest.mark.parametrize("outcome", [FAILED, CANCELLED])
async def test_an_attempt_is_settled_once_and_teaches_nothing_unless_it_was_answered(
    outcome: str,
) -> None:
    async with Desk() as desk:
        attempt = await desk.open(local())
        desk.books.abandon(attempt, outcome)
        desk.books.abandon(attempt, CANCELLED)
        [row] = await desk.rows()
        assert row.outcome == outcome
        assert desk.books.profiles.observations == 0
        assert desk.meter.jobs == set()


async def test_the_row_tells_who_asked_what_was_considered_and_why() -> None:
    async with Desk() as desk:
        await desk.books.settle(await desk.open(local()))
        [row] = await desk.rows()
        assert (row.request_id, row.key, row.policy_version) == ("r", "alice", "1-x")
        assert (row.plan_kind, row.outcome, row.clause) == ("single", "finished", "")
        assert json.loads(row.plan) == {
            "members": {"a": 1.0},
            "rule": "linear",
            "alignment": "same_vocabulary",
            "weighting": "static",
        }
        [candidate] = json.loads(row.candidates)
        assert (candidate["name"], candidate["chosen"]) == ("single:a", True)
        assert candidate["forecast"]["joules_q90"] == 20.0
        assert candidate["rejections"] == []
        assert row.prompt_hash == desk.ledger.hash_prompt("x")
        assert row.prompt_text is None


async def test_what_the_server_asks_itself_is_told_apart() -> None:
    async with Desk() as desk:
        await desk.books.settle(await desk.open(local(), replace(ASKED, probe=True)))
        assert [row.outcome for row in await desk.rows()] == [PROBE]


def test_a_part_that_is_not_known_counts_at_least_as_what_was_held() -> None:
    hold = Budgets(BudgetSettings()).reserve("", None, None)
    attempt = Attempt("i", ASKED, local(), 0.0, Stopwatch(), ("a", "b"), hold, reserved_joules=20.0)
    assert attempt.joules({"a": Energy(3.0), "b": Energy(4.0)}) == 7.0
    assert attempt.joules({"a": Energy(3.0), "b": Energy()}) == 20.0
    assert attempt.joules({"a": Energy(30.0), "b": Energy()}) == 30.0
    assert attempt.joules({"a": Energy(), "b": Energy()}) is None
    assert attempt.joules({}) is None


def test_rejections_are_written_with_what_is_known_of_them() -> None:
    decision = local()
    told = Candidate(
        "single:b",
        PlanKind.SINGLE,
        ("b",),
        Forecast(time_ms=1.5),
        rejections=(
            Rejection(Clause.LATENCY, "slow", 2.0, 1.0),
            Rejection(Clause.HEALTH, "é is down"),
        ),
    )
    route = replace(decision.route, candidates=(told,))
    [written] = json.loads(candidates_json(replace(decision, route=route)))
    assert written["rejections"] == [
        {"clause": "latency", "message": "slow", "predicted": 2.0, "limit": 1.0},
        {"clause": "health", "message": "é is down"},
    ]
    assert written["forecast"] == {
        "time_ms": 1.5,
        "tier": "unavailable",
        "prompt_tokens": 0.0,
        "generated_tokens": 0.0,
        "cold": True,
    }
    assert (written["quality"], written["cost"]) == (None, None)
