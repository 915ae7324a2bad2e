from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from decimal import Decimal

from quorate.ledger.charges import Charge, ModelCharge
from quorate.ledger.export import csv_lines, plain_charges
from quorate.request import EnergyTier
from support.charges import bare_charge

CHARGE = bare_charge(
    request_id='=cmd("x")',
    plan='{"a": "b, c"}',
    key="line\nbreak",
    joules=0.5,
    tier=EnergyTier.MEASURED,
    usd=Decimal("0.100000001"),
    models=(ModelCharge("m", usd=Decimal("0.1")),),
)


def test_every_charge_is_what_json_has_with_gaps_as_none_and_no_json_in_texts() -> None:
    values, other = plain_charges([CHARGE, CHARGE])
    assert json.loads(json.dumps(values)) == values == other
    assert (values["plan"], values["candidates"]) == ({"a": "b, c"}, [])
    assert values["usd"] == 0.100000001
    assert values["tier"] == "measured"
    assert values["reserved_usd"] is None
    assert values["request_id"] == '=cmd("x")'
    assert values["models"][0] == {
        "model": "m",
        "prompt_tokens": 0,
        "cached_prompt_tokens": 0,
        "generated_tokens": 0,
        "busy_ms": 0.0,
        "joules": None,
        "tier": "unavailable",
        "usd": 0.1,
    }


def test_what_another_hand_wrote_into_a_ledger_stays_a_text() -> None:
    [values] = plain_charges([bare_charge(plan="{nothing", candidates="[" * 100_000)])
    assert (values["plan"], len(values["candidates"])) == ("{nothing", 100_000)


def test_csv_survives_commas_quotes_and_line_breaks() -> None:
    [row] = csv.DictReader("".join(csv_lines([CHARGE])).splitlines(keepends=True))
    assert row["plan"] == '{"a": "b, c"}'
    assert row["key"] == "line\nbreak"
    assert (row["usd"], row["reserved_usd"], row["tier"]) == ("0.100000001", "", "measured")
    assert json.loads(row["models"])[0]["model"] == "m"


def test_a_cell_that_a_spreadsheet_would_run_is_made_harmless() -> None:
    [row] = csv.DictReader("".join(csv_lines([CHARGE])).splitlines(keepends=True))
    assert row["request_id"] == '\'=cmd("x")'


def test_exports_take_no_more_charges_than_are_asked_for() -> None:
    taken = []

    def endless() -> Iterator[Charge]:
        while True:
            taken.append(CHARGE)
            yield CHARGE

    lines = csv_lines(endless())
    next(lines)
    assert taken == []
    next(lines)
    next(plain_charges(endless()))
    assert len(taken) == 2
