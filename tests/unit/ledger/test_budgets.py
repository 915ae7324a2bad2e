from __future__ import annotations

import asyncio
import math
import random
from decimal import Decimal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from quorate.errors import BudgetSpent, Internal
from quorate.ledger.budgets import Budgets, Hold, WindowStatus
from quorate.ledger.ledger import Ledger
from quorate.ledger.settings import BudgetLimits, BudgetSettings
from quorate.ledger.spending import SpendEvent
from support.charges import bare_charge
from support.clocks import Clock

DAY = 86_400.0
ONE = Decimal(1)


def limited(clock: Clock | None = None, **limits: float) -> Budgets:
    return Budgets(BudgetSettings(BudgetLimits(**limits)), clock=clock or Clock())


def only(budgets: Budgets, key: str = "") -> WindowStatus:
    [status] = budgets.status(key)
    return status


def test_without_limits_there_is_no_window_and_no_end() -> None:
    budgets = limited()
    budgets.settle(budgets.hold("", 1e12, Decimal(10**6)), 1e12, Decimal(10**6))
    assert budgets.status("anybody") == ()


def test_a_limit_of_zero_allows_no_dollar_and_all_joules() -> None:
    budgets = limited(usd_per_day=0.0)
    budgets.hold("", 1e9, Decimal(0))
    with pytest.raises(BudgetSpent, match="1e-09 usd are more than its whole limit of 0") as caught:
        budgets.hold("", None, Decimal("1e-9"))
    # No time makes room for it.
    assert caught.value.retry_after_seconds == math.inf


def test_a_hold_takes_room_until_it_is_settled_for_less() -> None:
    budgets = limited(usd_per_hour=1.0)
    hold = budgets.hold("", None, Decimal("0.9"))
    assert only(budgets) == WindowStatus("usd per hour", "usd", 3600.0, 1.0, 0.0, 0.9, 0.1, 0.0)
    budgets.settle(hold, None, Decimal("0.3"))
    assert only(budgets) == WindowStatus("usd per hour", "usd", 3600.0, 1.0, 0.3, 0.0, 0.7, 3601.0)


def test_ten_tenths_fit_into_one_exactly() -> None:
    budgets = limited(usd_per_hour=1.0)
    for _ in range(10):
        budgets.hold("", None, Decimal("0.1"))
    with pytest.raises(BudgetSpent):
        budgets.hold("", None, Decimal("1e-9"))


def test_settling_and_releasing_count_once() -> None:
    budgets = limited(usd_per_hour=10.0)
    hold = budgets.hold("", None, ONE)
    for _ in range(3):
        budgets.settle(hold, None, ONE)
        budgets.release(hold)
    given_back = budgets.hold("", None, ONE)
    for _ in range(3):
        budgets.release(given_back)
        budgets.settle(given_back, None, ONE)
    assert (only(budgets).spent, only(budgets).held) == (1.0, 0.0)


def test_what_is_not_known_counts_as_what_was_held() -> None:
    budgets = limited(usd_per_hour=10.0, joules_per_day=100.0)
    budgets.settle(budgets.hold("", 5.0, ONE), None, None)
    assert [status.spent for status in budgets.status("")] == [5.0, 1.0]


def test_what_was_not_foreseen_counts_when_it_is_known() -> None:
    budgets = limited(joules_per_hour=100.0)
    budgets.settle(budgets.hold("", None, None), 30.0, None)
    assert only(budgets).spent == 30.0


def test_more_than_was_held_counts_in_full_and_leaves_nothing() -> None:
    budgets = limited(joules_per_hour=100.0)
    budgets.settle(budgets.hold("", 10.0, None), 150.0, None)
    assert (only(budgets).spent, only(budgets).remaining) == (150.0, 0.0)
    with pytest.raises(BudgetSpent):
        budgets.hold("", 0.000001, None)
    budgets.hold("", None, None)


def test_a_refusal_names_the_window_to_wait_longest_for_and_holds_nothing() -> None:
    clock = Clock()
    settings = BudgetSettings(
        BudgetLimits(usd_per_hour=1.0), {"alice": BudgetLimits(usd_per_day=2.0)}
    )
    budgets = Budgets(settings, clock=clock)
    for _ in range(2):
        budgets.settle(budgets.hold("alice", None, ONE), None, ONE)
        clock.now += 4000
    clock.now -= 3000
    with pytest.raises(BudgetSpent) as caught:
        budgets.hold("alice", None, Decimal("0.5"))
    assert caught.value.window == "usd per day of key alice"
    assert caught.value.problem == "0.5 usd do not fit: 2 spent and 0 held of 2"
    assert caught.value.retry_after_seconds == 24.0 + DAY - 5000.0
    assert [status.held for status in budgets.status("alice")] == [0.0, 0.0]
    with pytest.raises(BudgetSpent) as caught:
        budgets.hold("bob", None, Decimal("0.5"))
    assert caught.value.window == "usd per hour"
    assert caught.value.retry_after_seconds == 4001.0 + 3600.0 - 5000.0


def test_a_key_has_its_own_windows_besides_those_of_everybody() -> None:
    settings = BudgetSettings(
        BudgetLimits(joules_per_hour=10.0), {"alice": BudgetLimits(joules_per_hour=6.0)}
    )
    budgets = Budgets(settings, clock=Clock())
    budgets.hold("alice", 6.0, None)
    with pytest.raises(BudgetSpent, match="joules per hour of key alice"):
        budgets.hold("alice", 1.0, None)
    budgets.hold("bob", 4.0, None)
    with pytest.raises(BudgetSpent, match="budget of joules per hour: "):
        budgets.hold("bob", 1.0, None)
    assert [status.name for status in budgets.status("alice")] == [
        "joules per hour",
        "joules per hour of key alice",
    ]


def test_a_leaked_hold_becomes_spent_dollars_and_free_joules() -> None:
    clock = Clock()
    budgets = Budgets(
        BudgetSettings(BudgetLimits(joules_per_day=100.0, usd_per_day=10.0)),
        hold_seconds=600.0,
        clock=clock,
    )
    hold = budgets.hold("", 50.0, Decimal(4))
    clock.now = 599.0
    assert [status.held for status in budgets.status("")] == [50.0, 4.0]
    clock.now = 600.0
    assert [(s.spent, s.held) for s in budgets.status("")] == [(0.0, 0.0), (4.0, 0.0)]
    budgets.settle(hold, 50.0, ONE)
    assert [(s.spent, s.held) for s in budgets.status("")] == [(0.0, 0.0), (4.0, 0.0)]


@pytest.mark.parametrize("joules", [-1.0, float("nan"), float("inf")])
def test_what_is_no_energy_is_a_defect(joules: float) -> None:
    with pytest.raises(Internal, match="cannot count"):
        limited(joules_per_day=1.0).hold("", joules, None)


def test_a_hold_outlives_a_figure_that_cannot_be_counted() -> None:
    budgets = limited(joules_per_day=10.0)
    hold = budgets.hold("", 4.0, None)
    with pytest.raises(Internal, match="cannot count nan joules"):
        budgets.settle(hold, float("nan"), None)
    assert (only(budgets).spent, only(budgets).held) == (0.0, 4.0)


@pytest.mark.parametrize("usd", ["-0.1", "NaN", "Infinity"])
def test_what_is_no_amount_is_a_defect(usd: str) -> None:
    with pytest.raises(Internal, match="cannot count"):
        limited(usd_per_day=1.0).hold("", None, Decimal(usd))


async def test_windows_are_filled_again_from_the_ledger(ledger: Ledger) -> None:
    epoch = 1_790_000_000.0
    for age, usd in ((2 * DAY, "4"), (7200.0, "2"), (60.0, "1")):
        at = epoch - age
        await ledger.settle(
            bare_charge(attempt_id=f"{age}", finished_at=at, usd=Decimal(usd), joules=3.0)
        )
    clock = Clock()
    budgets = limited(clock, usd_per_hour=10.0, usd_per_day=10.0, joules_per_hour=10.0)
    budgets.restore(await ledger.spent_since(epoch - 3 * DAY), epoch)
    assert [status.spent for status in budgets.status("")] == [3.0, 1.0, 3.0]
    clock.now = 3600.0 - 60.0 + 1.0
    assert [status.spent for status in budgets.status("")] == [0.0, 0.0, 3.0]


def test_an_event_of_the_future_counts_from_now() -> None:
    budgets = limited(usd_per_hour=10.0)
    budgets.restore([SpendEvent(2000.0, "", None, ONE)], 1000.0)
    assert only(budgets).resets_in_seconds == 3601.0


@pytest.mark.parametrize("seed", range(5))
async def test_a_thousand_requests_at_once_spend_no_more_than_a_budget_for_a_hundred(
    seed: int,
) -> None:
    luck = random.Random(seed)
    budgets = limited(usd_per_day=100.0)
    paid: list[Decimal] = []
    refused = 0

    async def request() -> None:
        nonlocal refused
        try:
            hold = budgets.hold("", None, ONE)
        except BudgetSpent:
            refused += 1
            return
        streamed = Decimal(0)
        try:
            for _ in range(luck.randrange(1, 6)):
                await asyncio.sleep(0)
                streamed += Decimal("0.2")
        finally:
            # A stream that is cancelled settles what was streamed.
            budgets.settle(hold, None, streamed)
            paid.append(streamed)

    tasks = [asyncio.create_task(request()) for _ in range(1000)]
    for _ in range(6):
        await asyncio.sleep(0)
        for task in luck.sample(tasks, 30):
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    status = only(budgets)
    assert status.held == 0.0
    assert status.spent == float(sum(paid)) <= 100.0
    assert len(paid) >= 100
    assert refused > 0


class BudgetMachine(RuleBasedStateMachine):
    """Requests of two keys come, settle, leave and leak while time goes on.

    A model of the windows that keeps every payment says what the truth is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        limits = BudgetLimits(usd_per_hour=10.0, usd_per_day=30.0)
        settings = BudgetSettings(limits, {"alice": BudgetLimits(usd_per_hour=6.0)})
        self.budgets = Budgets(settings, hold_seconds=1800.0, clock=self.clock)
        self.open: list[tuple[float, Hold, Decimal]] = []
        self.paid: list[tuple[float, str, Decimal]] = []

    @rule(key=st.sampled_from(["", "alice"]), cents=st.integers(0, 700))
    def reserve(self, key: str, cents: int) -> None:
        usd = Decimal(cents) / 100
        try:
            hold = self.budgets.hold(key, None, usd)
        except BudgetSpent as refusal:
            assert refusal.retry_after_seconds > 0
        else:
            self.open.append((self.clock.now, hold, usd))

    @rule(data=st.data(), share=st.integers(0, 100))
    def settle(self, data: st.DataObject, share: int) -> None:
        if self.open:
            _, hold, usd = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
            self.budgets.settle(hold, None, usd * share / 100)
            self.budgets.settle(hold, None, usd)
            self.paid.append((self.clock.now, hold.key, usd * share / 100))

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        if self.open:
            _, hold, _ = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
            self.budgets.release(hold)
            self.budgets.release(hold)

    @rule(seconds=st.floats(0, 5000))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds
        for entry in [e for e in self.open if e[0] + 1800.0 <= self.clock.now]:
            self.open.remove(entry)
            self.paid.append((self.clock.now, entry[1].key, entry[2]))

    @invariant()
    def nothing_is_ever_spent_and_held_beyond_a_limit(self) -> None:
        now = self.clock.now
        for status in self.budgets.status("alice"):
            mine = status.name.endswith("alice")
            seconds = DAY if " day" in status.name else 3600.0
            held = sum(usd for _, hold, usd in self.open if not mine or hold.key == "alice")
            spent = sum(
                usd
                for at, key, usd in self.paid
                if at > now - seconds and (not mine or key == "alice")
            )
            assert status.held == float(held)
            assert status.spent >= float(spent)
            assert spent + held <= Decimal(str(status.limit))
            assert status.spent + status.held <= status.limit + 1e-9


TestBudgetMachine = BudgetMachine.TestCase
TestBudgetMachine.settings = settings(max_examples=60, stateful_step_count=40)
