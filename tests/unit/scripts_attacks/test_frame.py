from __future__ import annotations

import json
from dataclasses import replace

import pytest
from attacks.__main__ import main
from attacks.frame.cases import Case, Target, all_cases, attack
from attacks.frame.report import line, table
from attacks.frame.run import Latencies, Outcome, judged, latencies

QUIET = Latencies(100, 10.0, 20.0, 30.0)
HELD = Outcome(
    case="some-fields",
    told="4 x INVALID_ARGUMENT",
    quiet=QUIET,
    attacked=Latencies(200, 11.0, 90.0, 250.0),
    failures=(),
    memory_before=100_000_000,
    memory_peak=300_000_000,
    memory_after=120_000_000,
    descriptors_before=30,
    descriptors_after=32,
    problems=(),
)


@attack(seconds=3.0)
def some_fields(target: Target) -> str:
    """Sends some fields.

    And more.
    """
    return target.address


def test_a_case_is_named_after_its_function_and_told_by_its_first_line() -> None:
    assert isinstance(some_fields, Case)
    assert (some_fields.name, some_fields.about) == ("some-fields", "Sends some fields.")
    assert some_fields.attack(Target("here", "t", 1.0, 1)) == "here"


def test_every_case_tells_what_it_does_and_ends_by_itself() -> None:
    cases = all_cases()
    assert {"long-stop-strings", "many-stages", "unread-log"} <= set(cases)
    for case in cases.values():
        assert case.about.endswith(".")
        assert case.seconds <= 60


def test_a_server_that_keeps_to_the_limits_holds() -> None:
    assert judged(HELD, some_fields, alive=True).problems == ()


@pytest.mark.parametrize(
    ("changes", "alive", "said"),
    [
        ({}, False, "the server died"),
        ({"attacked": replace(QUIET, worst_ms=250.1)}, True, "waited more than 250 ms"),
        ({"attacked": Latencies(0, 0.0, 0.0, 0.0)}, True, "asked nothing"),
        ({"failures": ("gone",)}, True, "1 requests of the neighbour were lost"),
        ({"memory_after": 120_000_001}, True, "memory did not come back"),
        ({"descriptors_after": 33}, True, "descriptors were left open"),
        ({"told": "the attacker itself failed with status 1"}, True, "did not happen"),
    ],
)
def test_what_does_not_hold_is_told(changes: dict[str, object], alive: bool, said: str) -> None:
    [problem] = judged(replace(HELD, **changes), some_fields, alive=alive).problems
    assert said in problem


def test_the_worst_request_is_among_the_latencies() -> None:
    seen = [(float(index), index / 1000, "") for index in range(101)]
    assert latencies(seen) == Latencies(101, 50.0, 99.0, 100.0)
    assert latencies([]) == Latencies(0, 0.0, 0.0, 0.0)


def test_a_report_has_a_row_for_each_case_and_what_is_wrong_with_it() -> None:
    fails = replace(HELD, problems=("the server died",), failures=("connection lost",))
    rows = table([HELD, fails]).splitlines()
    assert rows[1].split()[-1] == "holds"
    assert "11 / 90 / 250" in rows[1]
    assert "100 -> 300 -> 120" in rows[1]
    assert rows[3].endswith("FAILS")
    assert rows[5:] == ["    FAILS: the server died", "    lost: connection lost"]
    assert json.loads(line(HELD))["attacked"]["worst_ms"] == 250.0


def test_a_case_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["no-such-case"]) == 2
    assert capsys.readouterr().err.startswith("attack: no case 'no-such-case'")
