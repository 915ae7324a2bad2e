from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.errors import Internal
from quorate.ledger.money import from_float, from_nano_usd, round_up, to_nano_usd


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_amount_that_a_ledger_can_hold_survives_both_ways(nano_usd: int) -> None:
    assert to_nano_usd(from_nano_usd(nano_usd)) == nano_usd


def test_a_fraction_of_a_nano_dollar_is_rounded_up() -> None:
    assert round_up(Decimal("0.0000000001")) == Decimal("0.000000001")
    assert to_nano_usd(Decimal("1.0000000010000000001")) == 1_000_000_002


def test_a_written_number_has_no_tail() -> None:
    assert from_float(0.1) + from_float(0.2) == Decimal("0.3")


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "-Infinity", "1e40"])
def test_what_is_no_amount_is_a_defect(amount: str) -> None:
    with pytest.raises(Internal, match="no amount of USD"):
        to_nano_usd(Decimal(amount))
