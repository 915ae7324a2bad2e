"""What the ledger makes of clocks that jump, on a simulated pair of them."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.clocks import Clocks, Reading
from quorate.errors import BudgetSpent
from quorate.ledger.budgets import Budgets
from quorate.ledger.ledger import Ledger
from quorate.ledger.ledger_file import create_tables
from quorate.ledger.moments import EARLIEST, Moments, jump
from quorate.ledger.settings import BudgetLimits, BudgetSettings
from support.charges import bare_charge

TRUE_START = EARLIEST + 200 * 86_400.0
HOUR, DAY, YEAR = 3600.0, 86_400.0, 31_536_000.0


@dataclass
class SimulatedClocks:
    """A machine whose clock of UTC is off by so much; time passes where the test says so."""

    true: float = TRUE_START
    error: float = 0.0
    boots: int = 0
    booted_at: float = TRUE_START - 300.0

    def boot(self, error: float = 0.0) -> None:
        self.boots, self.booted_at, self.error = self.boots + 1, self.true - 5.0, error

    def read(self) -> Reading:
        return Reading(self.true + self.error, f"boot-{self.boots}", self.true - self.booted_at)

    @property
    def clocks(self) -> Clocks:
        return Clocks(
            lambda: self.true + self.error,
            lambda: self.true - self.booted_at,
            lambda: f"boot-{self.boots}",
        )


class Row(NamedTuple):
    """What stands in a ledger, what time it really was, and by how much the clock was off."""

    reading: Reading
    true: float
    error: float


@dataclass
class Machine(SimulatedClocks):
    """A machine that writes rows."""

    rows: list[Row] = field(default_factory=list)

    def write(self) -> None:
        self.rows.append(Row(self.read(), self.true, self.error))


ERRORS = st.one_of(
    st.just(0.0),
    st.floats(-5 * DAY, 5 * DAY),
    st.sampled_from([10 * YEAR, -TRUE_START, -HOUR, HOUR, 30 * DAY]),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.floats(1.0, 2 * DAY)),
        st.tuples(st.just("write"), st.just(0.0)),
        st.tuples(st.just("set"), ERRORS),
        st.tuples(st.just("boot"), ERRORS),
    ),
    max_size=24,
)


def lived(steps: list[tuple[str, float]]) -> Machine:
    """A machine after these steps, whose clock is right in the end. A jump is written down."""
    machine = Machine()
    machine.write()
    for step, amount in steps:
        if step == "pass":
            machine.true += amount
        elif step == "set":
            machine.error = amount
        elif step == "boot":
            machine.boot(amount)
        if step != "pass":
            machine.write()
    machine.error = 0.0
    return machine


def dated(machine: Machine) -> list[tuple[Row, float]]:
    moments = Moments(machine.read())
    return [(row, moments.of(row.reading)) for row in reversed(machine.rows)]


@given(STEPS)
def test_once_the_clock_is_right_nothing_is_younger_than_the_time_since(steps) -> None:
    machine = lived(steps)
    right_since = machine.true
    for row in reversed(machine.rows):
        if row.error:
            break
        right_since = row.true
    for row, at in dated(machine):
        assert at <= max(row.true, right_since) + 1.0


@given(STEPS)
def test_nothing_is_older_than_it_is_unless_a_boot_ended_with_its_clock_behind(steps) -> None:
    machine = lived(steps)
    last_of_boots = {row.reading.boot: row for row in machine.rows}
    last_of_boots.pop(machine.read().boot, None)
    if any(row.error < 0 and row.reading.utc >= EARLIEST for row in last_of_boots.values()):
        return
    for row, at in dated(machine):
        assert at >= row.true - 1.0


@given(STEPS)
def test_rows_of_the_present_boot_are_dated_exactly(steps) -> None:
    machine = lived(steps)
    for row, at in dated(machine):
        if row.reading.boot == machine.read().boot:
            assert at == pytest.approx(row.true, abs=1.0)


@given(st.lists(st.floats(0, 4e9), max_size=20), st.floats(0, 4e9))
def test_rows_without_a_boot_are_dated_in_their_order_and_never_in_the_future(dates, now) -> None:
    moments = Moments(Reading(now))
    found = [moments.of(Reading(date)) for date in reversed(dates)]
    assert all(at <= now + 1.0 for at in found)
    assert all(later >= earlier - 1.0 for later, earlier in pairwise(found))


def test_a_jump_is_what_utc_moved_beyond_the_time_since_boot() -> None:
    before = Reading(TRUE_START, "b", 100.0)
    assert jump(before, Reading(TRUE_START + 60.5, "b", 160.0)) == 0.0
    assert jump(before, Reading(TRUE_START + YEAR, "b", 160.0)) == YEAR - 60.0
    assert jump(before, Reading(TRUE_START - 7.0, "b", 100.0)) == -7.0
    assert jump(before, Reading(TRUE_START + YEAR, "c", 160.0)) == 0.0


async def spend(path: Path, machine: SimulatedClocks, name: str, usd: str) -> None:
    """A server that starts, answers one request and ends."""
    ledger = Ledger.open(path, clocks=machine.clocks)
    at = machine.true + machine.error
    await ledger.settle(bare_charge(attempt_id=name, finished_at=at, usd=Decimal(usd)))
    await ledger.close()


async def started(path: Path, machine: SimulatedClocks) -> Budgets:
    """The budgets of a server that starts now: a dollar a day."""
    limits = BudgetSettings(BudgetLimits(usd_per_day=1.0))
    budgets = Budgets(limits, clock=lambda: machine.true - machine.booted_at)
    ledger = Ledger.open(path, clocks=machine.clocks)
    now = machine.true + machine.error
    budgets.restore(await ledger.spent_since(now - DAY), now)
    await ledger.close()
    return budgets


async def test_a_charge_dated_in_the_future_blocks_no_longer_than_a_window(tmp_path: Path) -> None:
    machine = SimulatedClocks(error=3 * YEAR)
    await spend(tmp_path / "ledger", machine, "a", "1")
    machine.boot()
    with pytest.raises(BudgetSpent):
        (await started(tmp_path / "ledger", machine)).hold("", None, Decimal("0.01"))
    # However often it starts anew meanwhile.
    for _ in range(5):
        machine.true += DAY / 4
        machine.boot()
        budgets = await started(tmp_path / "ledger", machine)
    machine.true += 100.0
    budgets.hold("", None, Decimal(1))


async def test_a_clock_without_a_battery_gives_no_budget_away(tmp_path: Path) -> None:
    machine = SimulatedClocks()
    await spend(tmp_path / "ledger", machine, "before", "0.25")
    machine.true += 600.0
    machine.boot(-machine.true)
    await spend(tmp_path / "ledger", machine, "in 1970", "0.5")
    machine.true += 600.0
    machine.boot()
    [window] = (await started(tmp_path / "ledger", machine)).status("")
    assert window.spent == 0.75


@pytest.mark.parametrize("error", [3 * YEAR, -3 * DAY, -40 * DAY])
async def test_a_clock_that_is_set_right_again_leaves_a_window_as_it_was(
    tmp_path: Path, error: float
) -> None:
    machine = SimulatedClocks()
    await spend(tmp_path / "ledger", machine, "right", "0.25")
    machine.true += HOUR
    machine.error = error
    await spend(tmp_path / "ledger", machine, "wrong", "0.5")
    machine.true += HOUR
    machine.error = 0.0
    [window] = (await started(tmp_path / "ledger", machine)).status("")
    assert window.spent == 0.75
    machine.true += DAY - 1.5 * HOUR
    [window] = (await started(tmp_path / "ledger", machine)).status("")
    assert window.spent == 0.5


async def test_a_ledger_from_another_machine_is_taken_at_its_dates(tmp_path: Path) -> None:
    machine = SimulatedClocks()
    await spend(tmp_path / "ledger", machine, "there", "0.75")
    machine.boots, machine.booted_at = 77, machine.true - 100 * DAY
    machine.true += HOUR
    [window] = (await started(tmp_path / "ledger", machine)).status("")
    assert window.spent == 0.75


async def test_a_clock_that_leaps_ahead_rolls_nothing_up_until_it_is_believed(
    tmp_path: Path,
) -> None:
    machine = SimulatedClocks()
    await spend(tmp_path / "ledger", machine, "a", "1")
    machine.boot(10 * YEAR)
    ledger = Ledger.open(tmp_path / "ledger", clocks=machine.clocks)
    before = machine.true + machine.error - 400 * DAY
    assert await ledger.compact(before) == 0
    machine.true += 3 * DAY
    assert await ledger.compact(before) == 1
    await ledger.close()


async def test_a_jump_under_a_running_server_is_noticed_once(tmp_path: Path) -> None:
    machine = SimulatedClocks()
    ledger = Ledger.open(tmp_path / "ledger", clocks=machine.clocks)
    machine.true += 60.0
    assert await ledger.note_clock() == 0.0
    machine.error = -HOUR
    assert await ledger.note_clock() == pytest.approx(-HOUR)
    assert await ledger.note_clock() == 0.0
    await ledger.close()


async def test_a_ledger_of_an_older_release_goes_on(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "ledger", isolation_level=None)
    create_tables(connection)
    connection.close()
    machine = SimulatedClocks()
    await spend(tmp_path / "ledger", machine, "a", "0.5")
    [window] = (await started(tmp_path / "ledger", machine)).status("")
    assert window.spent == 0.5


def test_windows_age_and_holds_do_not_while_a_machine_sleeps() -> None:
    slept, awake = [0.0], [0.0]
    budgets = Budgets(
        BudgetSettings(BudgetLimits(usd_per_hour=1.0, joules_per_hour=10.0)),
        hold_seconds=1800.0,
        clock=lambda: awake[0] + slept[0],
        awake=lambda: awake[0],
    )
    budgets.settle(budgets.hold("", None, Decimal(1)), None, Decimal(1))
    hold = budgets.hold("", 10.0, None)
    slept[0] = 2 * HOUR
    budgets.hold("", None, Decimal(1))
    budgets.settle(hold, 10.0, None)
    assert [window.spent for window in budgets.status("")] == [10.0, 0.0]
