from __future__ import annotations

import json

from quorate.cli.views.explain import candidates_table, print_decision
from quorate.v1 import plan_pb2
from support.terminal import Capture, rendered

DECISION = plan_pb2.Decision(
    kind=plan_pb2.PLAN_KIND_SINGLE,
    members=[{"model": "beta", "weight": 1}],
    task="code",
    candidates=[
        {
            "name": "profile:pair",
            "kind": plan_pb2.PLAN_KIND_ENSEMBLE,
            "models": ["alpha", "beta"],
            "time_ms": 1200,
            "time_q90_ms": 2500,
            "joules": 12.5,
            "quality": 0.8,
            "cost": 0.31,
            "rejections": [
                {"clause": plan_pb2.CLAUSE_LATENCY, "message": "too slow by 500 ms"},
                {"clause": plan_pb2.CLAUSE_ENERGY, "message": "it would take 12.5 J"},
            ],
        },
        {
            "name": "single:beta",
            "kind": plan_pb2.PLAN_KIND_SINGLE,
            "models": ["beta"],
            "cold": True,
            "chosen": True,
        },
        {"name": "single:alpha", "kind": plan_pb2.PLAN_KIND_SINGLE, "models": ["alpha"]},
    ],
    over_budget={"clause": plan_pb2.CLAUSE_LATENCY, "message": "too slow by 20 ms"},
)


def test_a_pipe_gets_a_line_for_each_plan_with_the_reasons_in_words(capsys: Capture) -> None:
    print_decision(DECISION, as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "plan          kind         time  9 of 10  energy  quality  cost  verdict",
        "profile:pair  ensemble  1200 ms  2500 ms  12.5 J     0.80  0.31  "
        "too slow, too much energy: too slow by 500 ms; it would take 12.5 J",
        "single:beta   single          -        -       -        -     -  chosen",
        "single:alpha  single          -        -       -        -     -  costs more",
        "would run: beta · task code",
        "over budget: too slow by 20 ms; single:beta answers all the same",
    ]


def test_json_has_a_line_for_each_plan_and_a_last_one_for_the_decision(capsys: Capture) -> None:
    print_decision(DECISION, as_json=True)
    *candidates, decision = map(json.loads, capsys.readouterr().out.splitlines())
    assert [each["event"] for each in candidates] == ["candidate"] * 3
    assert [each["name"] for each in candidates] == ["profile:pair", "single:beta", "single:alpha"]
    assert candidates[0]["rejections"][0]["clause"] == "latency"
    assert (candidates[1]["joules"], candidates[1]["cold"]) == (None, True)
    assert decision["event"] == "decision"
    assert "candidates" not in decision
    assert decision["over_budget"]["message"] == "too slow by 20 ms"


def test_the_table_fits_into_80_columns_and_a_long_name_is_folded() -> None:
    decision = plan_pb2.Decision()
    decision.CopyFrom(DECISION)
    decision.candidates[1].name = "single:" + "x" * 60
    decision.candidates[0].usd = 0.00001
    decision.candidates[0].usd_ceiling = 0.00002
    lines = rendered(candidates_table(decision))
    assert max(map(len, lines)) <= 80
    told = "".join(line.split(" ")[0] for line in lines)
    assert "x" * 60 in told


def test_a_plan_that_was_spelled_out_has_nothing_beside_it(capsys: Capture) -> None:
    decision = plan_pb2.Decision(
        stages=[
            {"decision": {"members": [{"model": "a"}]}},
            {"decision": {"members": [{"model": "b"}, {"model": "c"}]}},
        ]
    )
    print_decision(decision, as_json=False)
    assert capsys.readouterr().out == "would run: a \N{RIGHTWARDS ARROW} b+c\n"


def test_names_cannot_steer_the_terminal(capsys: Capture) -> None:
    decision = plan_pb2.Decision(
        remote="\x1b[31m", candidates=[{"name": "\x1b[2J", "chosen": True}]
    )
    print_decision(decision, as_json=False)
    assert "\x1b" not in capsys.readouterr().out


def test_a_plan_that_stands_in_is_told_with_what_spoke_against_the_one_asked(
    capsys: Capture,
) -> None:
    decision = plan_pb2.Decision()
    decision.CopyFrom(DECISION)
    decision.instead_of = "profile:pair"
    print_decision(decision, as_json=False)
    told = capsys.readouterr().out
    assert told.splitlines()[-1] == "single:beta answers instead of profile:pair"
    assert told.count("too slow by 500 ms") == 1


def test_a_window_without_room_is_no_budget_that_may_be_exceeded(capsys: Capture) -> None:
    decision = plan_pb2.Decision()
    decision.CopyFrom(DECISION)
    decision.over_budget.clause = plan_pb2.CLAUSE_ENERGY_WINDOW
    print_decision(decision, as_json=False)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.endswith("; as the window stands, it would be refused")


def test_a_sentence_that_stands_in_the_table_is_not_said_again(capsys: Capture) -> None:
    decision = plan_pb2.Decision()
    decision.CopyFrom(DECISION)
    decision.over_budget.message = decision.candidates[0].rejections[0].message
    print_decision(decision, as_json=False)
    told = capsys.readouterr().out
    assert told.splitlines()[-1] == "over budget: single:beta answers all the same"
    assert told.count("too slow by 500 ms") == 1


def test_a_column_has_one_unit(capsys: Capture) -> None:
    figures = [(40.0, 0.002), (900.0, 1.5), (61_000.0, 2000.0)]
    candidates = [
        {"name": f"single:{joules}", "time_ms": ms, "joules": joules} for ms, joules in figures
    ]
    print_decision(plan_pb2.Decision(candidates=candidates), as_json=False)
    heading, *rows, _ = capsys.readouterr().out.splitlines()
    assert heading.split()[:4] == ["plan", "kind", "time", "energy"]
    assert [" ".join(row.split()[2:4]) for row in rows] == ["0.04 s", "0.9 s", "61.0 s"]
    assert [" ".join(row.split()[4:6]) for row in rows] == ["0.00 kJ", "0.00 kJ", "2.00 kJ"]
