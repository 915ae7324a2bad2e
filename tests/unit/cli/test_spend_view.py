from __future__ import annotations

import csv
import json
from dataclasses import replace
from decimal import Decimal

import pytest
from rich.console import Console

from quorate.api.grpc.translation.accounting import charge_message, spend_message
from quorate.cli.messages import charge_of, spend_of
from quorate.cli.spending import SpendQuery, SpendReport
from quorate.cli.views import spend as view
from quorate.cli.views.spend import print_report
from quorate.ledger.charges import Charge, ModelCharge
from quorate.ledger.spending import Dimension, SpendRow
from quorate.request import EnergyTier
from quorate.v1 import accounting_pb2
from support.terminal import Capture

ALPHA = SpendRow(
    group={Dimension.MODEL: "alpha"},
    attempts=3,
    prompt_tokens=1200,
    cached_prompt_tokens=0,
    generated_tokens=30,
    joules=3.0,
    attempts_without_joules=1,
    tier=EnergyTier.ESTIMATED,
    usd=None,
)
CLOUD = SpendRow(
    group={Dimension.MODEL: "cloud"},
    attempts=1,
    prompt_tokens=10,
    cached_prompt_tokens=0,
    generated_tokens=5,
    joules=None,
    attempts_without_joules=1,
    tier=EnergyTier.UNAVAILABLE,
    usd=Decimal("0.0012"),
)
TOTAL = replace(ALPHA, group={}, attempts=4, attempts_without_joules=2, usd=CLOUD.usd)
WINDOW = accounting_pb2.BudgetWindow(
    name="usd per day",
    unit=accounting_pb2.BUDGET_UNIT_USD,
    seconds=86_400,
    limit=2.0,
    spent=0.75,
    held=0.25,
    left=1.0,
    resets_in_seconds=7200,
)
REPORT = SpendReport(rows=(ALPHA, CLOUD), total=TOTAL, windows=(WINDOW,))
BY_MODEL = SpendQuery(group_by=(Dimension.MODEL,))
CHARGE = Charge(
    attempt_id="a1",
    request_id="r1",
    started_at=1.5,
    finished_at=86_400.0,
    plan_kind="ensemble",
    outcome="finished",
    key="team",
    task="code",
    prompt_tokens=7,
    generated_tokens=9,
    time_to_first_token_ms=12.0,
    duration_ms=40.0,
    joules=0.5,
    tier=EnergyTier.ESTIMATED,
    idle_joules=0.1,
    reserved_usd=Decimal("0.2"),
    usd=Decimal("0.100000001"),
    models=(
        ModelCharge("alpha", 7, 1, 9, 30.0, 0.5, EnergyTier.ESTIMATED),
        ModelCharge("cloud", usd=Decimal("0.1")),
    ),
)
CHARGES = SpendQuery(charges=50)


def printed(capsys: Capture, report: SpendReport, query: SpendQuery, form: str = "") -> str:
    print_report(report, query, as_csv=form == "csv", as_json=form == "json")
    return capsys.readouterr().out


def test_a_pipe_gets_sums_and_windows_and_unknown_energy_is_called_so(capsys: Capture) -> None:
    assert printed(capsys, REPORT, BY_MODEL).splitlines() == [
        "model  requests  tokens in  out            energy  unknown      usd",
        "alpha         3      1,200   30  3.00 J estimated        1       $0",
        "cloud         1         10    5           unknown        1  $0.0012",
        "total         4      1,200   30  3.00 J estimated        2  $0.0012",
        "usd per day  ██████░░░░░░  $0.75 spent + $0.25 held of $2.00, all free in 2 h",
    ]


def test_columns_without_anything_in_them_are_left_out(capsys: Capture) -> None:
    row = replace(ALPHA, attempts_without_joules=0)
    assert printed(capsys, SpendReport(rows=(row,), total=row), BY_MODEL).splitlines() == [
        "model  requests  tokens in  out            energy",
        "alpha         3      1,200   30  3.00 J estimated",
    ]


def test_a_terminal_shows_the_share_of_the_energy_where_there_is_room(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    for width, bars in ((100, 1), (60, 0)):
        monkeypatch.setattr(
            view, "Console", lambda width=width, **_: Console(width=width, color_system=None)
        )
        out = printed(capsys, replace(REPORT, windows=()), BY_MODEL)
        assert out.count("100%") == bars
        assert max(map(len, out.splitlines())) <= width


def test_nothing_is_told_as_nothing(capsys: Capture) -> None:
    assert printed(capsys, SpendReport(), BY_MODEL) == "nothing was spent\n"


def test_the_energy_of_the_machine_adds_up_before_the_readers_eyes(capsys: Capture) -> None:
    machine = accounting_pb2.MachineEnergy(
        tier=1, counter_joules=10, request_joules=6, idle_joules=3, unattributed_joules=1
    )
    assert printed(capsys, SpendReport(machine=machine), BY_MODEL).splitlines()[1:] == [
        "machine since the server started: 10.0 J measured = 6.00 J for requests + 3.00 J idle + "
        "1.00 J unattributed"
    ]
    unknown = accounting_pb2.MachineEnergy(tier=3)
    assert "machine" not in printed(capsys, SpendReport(machine=unknown), BY_MODEL)


def test_a_limit_of_nothing_is_full(capsys: Capture) -> None:
    window = accounting_pb2.BudgetWindow(name="w", unit=1, limit=0)
    assert "████████████  0 J spent of 0 J" in printed(
        capsys, SpendReport(windows=(window,)), BY_MODEL
    )


def test_json_has_null_for_energy_that_is_not_known(capsys: Capture) -> None:
    alpha, cloud, window = map(json.loads, printed(capsys, REPORT, BY_MODEL, "json").splitlines())
    assert alpha == {
        "event": "spend",
        "group": {"model": "alpha"},
        "requests": 3,
        "prompt_tokens": 1200,
        "generated_tokens": 30,
        "joules": 3.0,
        "tier": "estimated",
        "without_energy": 1,
        "usd": 0.0,
    }
    assert (cloud["joules"], cloud["tier"], cloud["usd"]) == (None, "unavailable", 0.0012)
    assert (window["event"], window["unit"], window["held"]) == ("budget", "usd", 0.25)


def test_csv_has_an_empty_cell_for_energy_that_is_not_known(capsys: Capture) -> None:
    evil = replace(CLOUD, group={Dimension.MODEL: "=1+1"})
    out = printed(capsys, SpendReport(rows=(ALPHA, evil)), BY_MODEL, "csv")
    first, second = csv.DictReader(out.splitlines())
    assert (first["model"], first["joules"]) == ("alpha", "3.0")
    assert (second["model"], second["joules"], second["usd"]) == ("'=1+1", "", "0.0012")


def test_charges_are_listed_with_what_is_estimated_marked(capsys: Capture) -> None:
    lost = replace(CHARGE, outcome="lost", duration_ms=None, joules=None, usd=None, models=(),
                   tier=EnergyTier.UNAVAILABLE)  # fmt: skip
    assert printed(capsys, SpendReport(charges=(CHARGE, lost)), CHARGES).splitlines() == [
        "ended, UTC        plan      models       outcome   tokens     time   energy    usd",
        "1970-01-02 00:00  ensemble  alpha+cloud  finished       9    40 ms  ~500 mJ  $0.10",
        "1970-01-02 00:00  ensemble  -            lost           9  unknown  unknown      -",
        "~ estimated",
    ]


def test_exported_charges_are_those_of_the_ledger_whoever_is_asked(capsys: Capture) -> None:
    told = charge_of(charge_message(CHARGE))
    assert told == CHARGE
    [line] = printed(capsys, SpendReport(charges=(told,)), CHARGES, "json").splitlines()
    assert json.loads(line)["usd"] == 0.100000001


def test_a_lost_attempt_has_no_duration_after_the_wire_either() -> None:
    lost = replace(CHARGE, duration_ms=None, joules=None, tier=EnergyTier.UNAVAILABLE, usd=None)
    assert charge_of(charge_message(lost)) == lost


@pytest.mark.parametrize("row", [CLOUD, replace(ALPHA, usd=Decimal(1))])
def test_sums_survive_the_wire(row: SpendRow) -> None:
    assert spend_of(spend_message(row)) == row
