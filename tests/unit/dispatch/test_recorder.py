"""The recorder, without a dispatcher: what is held, settled, written and learned."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from quorate.dispatch.attempt import Attempt
from quorate.dispatch.charges import candidates_json
from quorate.dispatch.recorder import CANCELLED, FAILED, FINISHED, PROBE, AttemptRecorder
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
    Request,
    TextPrompt,
)
from quorate.routing.choose import choose_plan
from quorate.routing.request import RoutingRequest
from quorate.routing.snapshot import Remaining, RemoteStatus
from support.attempts import attempt as attempt_at
from support.attempts import decision
from support.dispatching import SimulatedMeter, until
from support.ledgers import reservations
from support.routing_cases import remotes, service, took, usd_per_mtok, vote

PRICE = usd_per_mtok(1.0, 2.0)
ASKED = Request(TextPrompt("x"), request_id="r", key="alice")
LONG = replace(ASKED, prompt=TextPrompt("x" * 936))
"""A prompt of at most 1000 tokens."""
LIMITS = BudgetLimits(joules_per_hour=100.0, usd_per_day=0.01)


def local() -> Decision:
    """A plan of which nine of ten runs take no more than 20 J."""
    return choose_plan(RoutingRequest(vote("a")), service("a", costs={"single:a": took(5.0, 10.0)}))


def far() -> Decision:
    """A remote that may cost 0.003 USD."""
    known = remotes(RemoteStatus("far", PRICE))
    snapshot = service("a", remotes=known, remaining=Remaining(joules=0.0))
    decision = choose_plan(RoutingRequest(prompt_token_bound=1000, max_tokens=1000), snapshot)
    assert decision.route.remote == "far"
    return decision


class Desk:
    """A recorder with a ledger and a simulated meter."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.meter = SimulatedMeter()
        self.ledger = Ledger.open(path)
        self.recorder = AttemptRecorder(
            Budgets(BudgetSettings(LIMITS)), self.ledger, self.meter, policy_version="1-x"
        )

    async def open(self, decision: Decision, asked: Request = ASKED) -> Attempt:
        if decision.route.remote:
            return await self.recorder.open(LONG, decision, Stopwatch(), PRICE)
        return await self.recorder.open(asked, decision, Stopwatch())

    def windows(self) -> list[tuple[float, float]]:
        """Spent and held, of joules and then of dollars."""
        return [(one.spent, one.held) for one in self.recorder.budgets.status("alice")]

    async def rows(self) -> list[Any]:
        await self.recorder.flush()
        rows, _ = await self.ledger.list_charges()
        return list(reversed(rows))


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    opened = Desk(tmp_path / "ledger.db")
    yield opened
    await opened.recorder.flush()
    await opened.ledger.close()


async def test_what_nine_of_ten_take_is_held_and_what_was_taken_is_spent(desk: Desk) -> None:
    attempt = await desk.open(local())
    assert desk.windows() == [(0.0, 20.0), (0.0, 0.0)]
    assert desk.recorder.activity.now == {"a": 1}
    await until(lambda: reservations(desk.path) == 1)
    await desk.recorder.settle(attempt)
    assert desk.windows() == [(0.0, 0.0), (0.0, 0.0)]
    assert desk.recorder.activity.now == {"a": 0}
    assert reservations(desk.path) == 0


async def test_an_energy_that_is_not_known_counts_as_what_was_held(desk: Desk) -> None:
    desk.meter.known = False
    await desk.recorder.settle(await desk.open(local()))
    assert desk.windows() == [(20.0, 0.0), (0.0, 0.0)]


async def test_the_most_that_a_remote_can_charge_is_held(desk: Desk) -> None:
    attempt = await desk.open(far())
    assert desk.windows() == [(0.0, 0.0), (0.0, 0.003)]
    assert attempt.remote is not None
    attempt.remote.asked = True
    attempt.remote.prompt_tokens, attempt.remote.generated_tokens = 400, 300
    attempt.remote.reason = FinishReason.STOP_STRING
    usage = await desk.recorder.settle(attempt)
    assert desk.windows() == [(0.0, 0.0), (0.001, 0.0)]
    assert usage.models[0].usd == 0.001
    [row] = await desk.rows()
    assert (row.usd, row.reserved_usd) == (Decimal("0.001"), Decimal("0.003"))
    assert (row.plan_kind, row.clause) == ("remote", "energy_window")
    assert row.finish_reason == "stop_string"
    assert json.loads(row.plan) == {"remote": "far"}


@pytest.mark.parametrize(
    ("asked", "streamed", "usd"),
    [(False, 0, "0"), (True, 0, "0.003"), (True, 250, "0.0015"), (True, 5000, "0.011")],
)
async def test_a_remote_that_did_not_count_is_taken_to_charge_for_all_it_may(
    asked: bool, streamed: int, usd: str, desk: Desk
) -> None:
    attempt = await desk.open(far())
    assert attempt.remote is not None
    attempt.remote.asked, attempt.remote.generated_tokens = asked, streamed
    desk.recorder.abandon(attempt, CANCELLED)
    [row] = await desk.rows()
    assert row.usd == Decimal(usd)
    assert desk.windows()[1] == (float(usd), 0.0)


async def test_the_fourth_remote_call_does_not_fit_and_leaves_no_trace(desk: Desk) -> None:
    for _ in range(3):
        await desk.open(far())
    with pytest.raises(BudgetSpent, match="usd per day"):
        await desk.open(far())
    assert reservations(desk.path) == 3
    assert desk.windows()[1][1] == pytest.approx(0.009)


async def test_only_an_attempt_that_asks_a_remote_waits_for_the_disk(desk: Desk) -> None:
    with closing(sqlite3.connect(desk.path, isolation_level=None)) as another:
        another.execute("BEGIN IMMEDIATE")
        attempt = await desk.open(local())
        opening = asyncio.create_task(desk.open(far()))
        await asyncio.sleep(0)
        assert not opening.done()
        another.execute("ROLLBACK")
    await opening
    assert reservations(desk.path) == 2
    await desk.recorder.settle(attempt)
    assert [row.outcome for row in await desk.rows()] == [FINISHED]
    assert reservations(desk.path) == 1


async def test_a_caller_who_leaves_while_the_reservation_is_written_leaves_nothing_behind(
    desk: Desk,
) -> None:
    opening = asyncio.create_task(desk.open(far()))
    await asyncio.sleep(0)
    assert not opening.done()
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    assert desk.windows() == [(0.0, 0.0), (0.0, 0.0)]
    assert desk.meter.jobs == set()
    [row] = await desk.rows()
    assert (row.outcome, row.usd or 0) == (CANCELLED, 0)
    assert reservations(desk.path) == 0


async def test_a_ledger_that_cannot_be_written_stops_what_costs_money_and_nothing_else(
    desk: Desk,
) -> None:
    await desk.ledger.close()
    with pytest.raises(Unavailable):
        await desk.open(far())
    assert desk.windows() == [(0.0, 0.0), (0.0, 0.0)]
    attempt = await desk.open(local())
    await desk.recorder.settle(attempt)
    assert desk.windows()[0] == (0.0, 0.0)


@pytest.mark.parametrize("outcome", [FAILED, CANCELLED])
async def test_an_attempt_is_settled_once_and_teaches_nothing_unless_it_was_answered(
    outcome: str, desk: Desk
) -> None:
    attempt = await desk.open(local())
    desk.recorder.abandon(attempt, outcome)
    desk.recorder.abandon(attempt, CANCELLED)
    [row] = await desk.rows()
    assert row.outcome == outcome
    assert desk.recorder.costs.observations == 0
    assert desk.meter.jobs == set()


async def test_the_row_tells_who_asked_what_was_considered_and_why(desk: Desk) -> None:
    await desk.recorder.settle(await desk.open(local()))
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


async def test_what_the_server_asks_itself_is_told_apart(desk: Desk) -> None:
    await desk.recorder.settle(await desk.open(local(), replace(ASKED, probe=True)))
    assert [row.outcome for row in await desk.rows()] == [PROBE]


def test_a_part_that_is_not_known_counts_at_least_as_what_was_held() -> None:
    attempt = attempt_at(decision("a", "b"), reserved_joules=20.0)
    assert attempt.joules({"a": Energy(3.0), "b": Energy(4.0)}) == 7.0
    assert attempt.joules({"a": Energy(3.0), "b": Energy()}) == 20.0
    assert attempt.joules({"a": Energy(30.0), "b": Energy()}) == 30.0
    assert attempt.joules({"a": Energy(), "b": Energy()}) is None
    assert attempt.joules({}) is None


def test_rejections_are_written_with_what_is_known_of_them() -> None:
    decision = local()
    against = Rejection(Clause.LATENCY, "slow", 2.0, 1.0), Rejection(Clause.HEALTH, "é is down")
    forecast = Forecast(time_ms=1.5)
    told = Candidate("single:b", PlanKind.SINGLE, ("b",), forecast, rejections=against)
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
