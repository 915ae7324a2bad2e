from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.amounts import duration_text, joules_text, span_text, usd_text
from quorate.cli.messages import total_energy
from quorate.cli.views.formatting import bar, energy_text, plain_table
from quorate.v1 import inference_pb2
from quorate.v1.inference_pb2 import ENERGY_TIER_ESTIMATED, ENERGY_TIER_MEASURED, Energy

MEASURED = Energy(joules=1.5, tier=ENERGY_TIER_MEASURED)
ESTIMATED = Energy(joules=0.5, tier=ENERGY_TIER_ESTIMATED)
UNAVAILABLE = Energy(tier=inference_pb2.ENERGY_TIER_UNAVAILABLE)


@pytest.mark.parametrize(
    ("joules", "text"),
    [
        (0.0, "0 J"),
        (0.00123, "1.23 mJ"),
        (0.9996, "1.00 J"),
        (12.34, "12.3 J"),
        (999.4, "999 J"),
        (1500.0, "1.50 kJ"),
        (2e6, "2.00 MJ"),
        (-2.0, "-2.00 J"),
        (5e-8, "0.05 \N{MICRO SIGN}J"),
    ],
)
def test_energy_has_three_digits_and_the_unit_that_suits_it(joules: float, text: str) -> None:
    assert joules_text(joules) == text


@given(st.floats(min_value=1e-5, max_value=1e8))
def test_the_digits_of_an_energy_are_those_of_its_value(joules: float) -> None:
    number, unit = joules_text(joules).split()
    scale = {"MJ": 1e6, "kJ": 1e3, "J": 1.0, "mJ": 1e-3, "\N{MICRO SIGN}J": 1e-6}[unit]
    assert float(number) * scale == pytest.approx(joules, rel=0.01)


def test_an_energy_is_told_with_its_tier_and_one_that_is_not_known_is_never_0() -> None:
    assert energy_text(MEASURED) == "1.50 J measured"
    assert energy_text(ESTIMATED) == "500 mJ estimated"
    assert energy_text(UNAVAILABLE) == "energy unknown"
    assert energy_text(Energy(joules=0.0, tier=ENERGY_TIER_MEASURED)) == "0 J measured"


def test_a_sum_of_energies_has_the_less_certain_tier() -> None:
    assert total_energy([MEASURED, ESTIMATED]) == Energy(joules=2.0, tier=ENERGY_TIER_ESTIMATED)
    assert total_energy([MEASURED, MEASURED]) == Energy(joules=3.0, tier=ENERGY_TIER_MEASURED)


def test_a_sum_with_a_gap_is_not_known() -> None:
    assert total_energy([MEASURED, UNAVAILABLE]) is None
    assert total_energy([]) is None


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (0.0, "$0"),
        (1234.5, "$1,234.50"),
        (0.5, "$0.50"),
        (0.00123, "$0.0012"),
        (0.000000123, "$0.00000012"),
    ],
)
def test_dollars_below_one_have_two_digits_that_count(usd: float, text: str) -> None:
    assert usd_text(usd) == text


@pytest.mark.parametrize(
    ("ms", "text"),
    [(0.4, "0.4 ms"), (999.6, "1000 ms"), (9999.0, "9999 ms"), (12_340.0, "12.3 s"),
     (90e3, "90.0 s"), (180e3, "3 min"), (399_389.0, "6 min 39 s"), (7.5e6, "2 h 5 min"),
     (3_599_600.0, "1 h"), (86_399e3, "1 d"), (math.inf, "for ever")],
)  # fmt: skip
def test_times_are_told_in_the_unit_that_suits_them(ms: float, text: str) -> None:
    assert duration_text(ms) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "1 s"), (11.2, "12 s"), (90.0, "1 min 30 s"), (7200.0, "2 h"), (86_400.0, "1 d")],
)
def test_a_span_is_never_told_too_short_to_wait_for(seconds: float, text: str) -> None:
    assert span_text(seconds) == text


@pytest.mark.parametrize(("share", "filled"), [(-1.0, 0), (0.0, 0), (0.5, 4), (1.0, 8), (3.0, 8)])
def test_a_bar_is_never_longer_than_its_width(share: float, filled: int) -> None:
    assert bar(share, 8) == "\N{FULL BLOCK}" * filled + "\N{LIGHT SHADE}" * (8 - filled)


def test_columns_of_names_begin_on_the_left_and_numbers_end_on_the_right() -> None:
    rows = [("name", "n", "why"), ("a", "100", "so"), ("long one", "1", "")]
    assert plain_table(rows, (0, 2)) == "name        n  why\na         100  so\nlong one    1"
