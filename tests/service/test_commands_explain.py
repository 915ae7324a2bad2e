from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from support.command_line import TWO_MODELS, Ask, complaint

CONFIG = f"""{TWO_MODELS}
[profiles.both]
members = [{{ model = "alpha" }}, {{ model = "beta" }}]

[routing]
policy = "reject"

[ledger]
path = "off"
"""
GREEDY = ("--temperature", "0", "--seed", "1")


def test_json_has_every_plan_and_the_decision_and_nothing_was_run(ask: Ask) -> None:
    done = ask(
        *("explain", "go on", "--auto", "--max-tokens", "5", "--task", "code", "--local-only"),
        "--json",
    )
    assert (done.returncode, done.stderr) == (0, "")
    *candidates, decision = map(json.loads, done.stdout.splitlines())
    assert {each["event"] for each in candidates} == {"candidate"}
    assert {each["name"] for each in candidates} == {
        "single:alpha",
        "single:beta",
        "profile:both",
    }
    [chosen] = [each for each in candidates if each["chosen"]]
    assert decision["event"] == "decision"
    assert decision["task"] == "code"
    assert [member["model"] for member in decision["members"]] == chosen["models"]


def test_a_pipe_gets_a_table_and_what_would_run(ask: Ask) -> None:
    done = ask("explain", "go on", "--auto")
    heading, *rows, last = done.stdout.splitlines()
    assert heading.split()[:2] == ["plan", "kind"]
    assert heading.endswith("verdict")
    assert len(rows) == 3
    assert sum(row.endswith("chosen") for row in rows) == 1
    assert last.startswith("would run: ")
    assert "\x1b" not in done.stdout


def test_a_cascade_that_is_spelled_out_is_explained_stage_by_stage(ask: Ask) -> None:
    done = ask("explain", "go on", "--cascade", "alpha@0.25", "--cascade", "alpha:2,beta", "--json")
    decision = json.loads(done.stdout.splitlines()[-1])
    assert decision["kind"] == "cascade"
    first, last = decision["stages"]
    assert first["confidence"] == 0.25
    assert [member["model"] for member in first["decision"]["members"]] == ["alpha"]
    weights = {member["model"]: member["weight"] for member in last["decision"]["members"]}
    assert weights == {"alpha": pytest.approx(2 / 3), "beta": pytest.approx(1 / 3)}


@pytest.mark.parametrize(
    ("confidence", "answer", "notices"),
    [("0", "yes indeed\n", 0), ("1", "yet another\n", 1)],
)
@pytest.mark.parametrize("early", [(), ("--stream-early",)])
def test_a_pipe_gets_the_answer_of_a_cascade_that_is_kept_and_no_other(
    ask: Ask, confidence: str, answer: str, notices: int, early: tuple[str, ...]
) -> None:
    done = ask(
        *("generate", "go on", "--cascade", f"alpha@{confidence}", "--cascade", "beta", *early),
        *GREEDY,
    )
    assert (done.returncode, done.stdout) == (0, answer)
    assert done.stderr.count("alpha gives way to beta") == notices
    assert done.stderr.count("\n") == notices


def test_a_request_that_no_plan_can_afford_is_refused_in_one_line(ask: Ask) -> None:
    # Measured first, since what was never measured is not over a limit.
    ask("generate", "go on", "--model", "alpha")
    done = ask("generate", "go on", "--model", "alpha", "--latency-ms", "0.001")
    assert "ms allowed" in complaint(done, 1)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--cascade", "alpha"), "one stage is no cascade"),
        (("--cascade", "alpha", "--cascade", "beta@0.5"), "the last stage's answer is always kept"),
        (("--cascade", "alpha@2", "--cascade", "beta"), "the confidence must be from 0 to 1"),
        (("--auto", "--model", "alpha"), "exclude each other"),
        (("--stream-early",), "--stream-early belongs to a cascade"),
        (("--latency-ms", "soon"), "--latency-ms"),
    ],
)
@pytest.mark.parametrize("command", ["generate", "explain"])
def test_wrong_usage_is_one_line_and_exit_code_2(
    misused: Callable[..., str], command: str, arguments: tuple[str, ...], told: str
) -> None:
    assert told in misused(command, "x", *arguments, "--target", "127.0.0.1:1")
