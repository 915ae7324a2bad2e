"""What counters of every source have in common."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.metering.counters import EnergyCounter, Found, RisingTotal
from quorate.metering.nvml import find_nvml
from quorate.metering.rapl import find_rapl
from quorate.metering.zeus import find_zeus
from quorate.request import EnergyTier
from support.powercap_tree import PowercapTree
from support.simulated_counters import SimulatedNvml, only
from support.simulated_zeus import SimulatedGpus, SimulatedZeus, zeus_importer

FIRST_JOULES = 5
Register = Callable[[int | None], None]
"""Sets the register behind a counter, in joules; None takes it away."""
Counted = tuple[EnergyCounter, Register]


def rapl(folder: Path) -> tuple[Found, Register]:
    tree, zone = PowercapTree(folder), "intel-rapl:0"
    tree.add(zone, "package-0", FIRST_JOULES * 10**6)

    def put(joules: int | None) -> None:
        if joules is None:
            tree.remove(zone)
        else:
            tree.set(zone, joules * 10**6)

    return find_rapl(tree.root), put


def nvml(_: Path) -> tuple[Found, Register]:
    library = SimulatedNvml([FIRST_JOULES * 1000])

    def put(joules: int | None) -> None:
        library.millijoules = ["GPU is lost" if joules is None else joules * 1000]

    return find_nvml(only(pynvml=library)), put


def zeus(_: Path) -> tuple[Found, Register]:
    gpus = SimulatedGpus([FIRST_JOULES * 1000])

    def put(joules: int | None) -> None:
        gpus.millijoules = [None if joules is None else joules * 1000]

    return find_zeus(zeus_importer(SimulatedZeus(gpus)), {}), put


@pytest.fixture(params=[rapl, nvml, zeus])
def counted(request: pytest.FixtureRequest, tmp_path: Path) -> Counted:
    found, put = request.param(tmp_path)
    assert found.problem == ""
    (counter,) = found.counters
    assert counter.read() == 0.0
    return counter, put


def test_a_counter_is_measured_and_counts_from_its_first_reading(counted: Counted) -> None:
    counter, put = counted
    put(7)
    assert counter.tier is EnergyTier.MEASURED
    assert counter.read() == pytest.approx(2.0)


def test_a_counter_that_is_lost_is_unreadable_until_it_is_back(counted: Counted) -> None:
    counter, put = counted
    put(None)
    assert counter.read() is None
    put(7)
    assert counter.read() == pytest.approx(2.0)


def test_a_register_that_is_set_back_takes_nothing_back(counted: Counted) -> None:
    counter, put = counted
    for joules in (8, 0):
        put(joules)
        assert counter.read() == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("find", "problem"),
    [
        (lambda folder: find_rapl(folder / "missing"), "virtual machines have none"),
        (lambda _: find_nvml(only()), "quorate[nvml]"),
        (
            lambda _: find_nvml(only(pynvml=SimulatedNvml(broken="Driver Not Loaded"))),
            "Driver Not Loaded",
        ),
        (lambda _: find_zeus(only(), {}), "quorate[zeus]"),
        (lambda _: find_zeus(zeus_importer(SimulatedZeus()), {}), "no gpus; no soc"),
    ],
)
def test_a_source_that_has_no_counter_says_what_is_missing(
    tmp_path: Path, find: Callable[[Path], Found], problem: str
) -> None:
    found = find(tmp_path)
    assert found.counters == ()
    assert problem in found.problem


RANGE = 1000


def test_a_wrapped_register_goes_on_rising() -> None:
    total = RisingTotal(RANGE)
    assert [total.follow(register) for register in (900, 990, 30, 40)] == [0, 90, 130, 140]


def test_a_register_that_was_set_back_adds_nothing_unknown() -> None:
    total = RisingTotal(RANGE)
    assert [total.follow(register) for register in (100, 400, 0, 5)] == [0, 300, 300, 305]


def test_a_register_without_a_range_never_wraps() -> None:
    total = RisingTotal()
    assert [total.follow(register) for register in (100, 700, 3, 4)] == [0, 600, 600, 601]


@given(st.lists(st.integers(0, RANGE // 2 - 1)), st.integers(0, RANGE - 1))
def test_whatever_is_spent_between_readings_is_counted_once(spent: list[int], start: int) -> None:
    total, register = RisingTotal(RANGE), start
    total.follow(register)
    for step in spent:
        register = (register + step) % RANGE
        total.follow(register)
    assert total.follow(register) == sum(spent)
