"""The arithmetic of side-by-side comparisons."""

from __future__ import annotations

import json
from types import SimpleNamespace

import decode
import pytest
from continuations import KINDS
from figures import figure, report, round_by_round, side_by_side
from pace import Pace
from streams import tokens_per_second
from voting import SCORED_BYTES, scored_text


def test_the_ratio_is_the_median_of_rounds_and_not_of_sides():
    ours = [1.0, 20.0, 3.0]
    theirs = [2.0, 10.0, 1.0]
    found = round_by_round(ours.__getitem__, theirs.__getitem__, 3)
    assert found == (3.0, 2.0, 2.0)


def test_sides_take_turns_at_being_first():
    order: list[str] = []

    def side(name: str) -> float:
        order.append(name)
        return 1.0

    side_by_side(lambda: side("ours"), lambda: side("theirs"), 3)
    assert order == ["ours", "theirs", "theirs", "ours", "ours", "theirs"]


@pytest.mark.parametrize(
    ("bound", "goal", "holds"),
    [
        ({"at_most": 1.1}, "<= 1.1", False),
        ({"at_most": 1.2}, "<= 1.2", True),
        ({"at_least": 1.3}, ">= 1.3", False),
        ({"at_least": 1.2}, ">= 1.2", True),
        ({}, "", None),
    ],
)
def test_a_figure_is_held_against_its_goal(bound, goal, holds):
    found = figure("a", 1.2, "x", "b", **bound)
    assert (found.goal, found.holds) == (goal, holds)


def test_json_lines_hold_every_field(capsys):
    report([figure("a", 1.25, "x", "b", at_most=1.2)], "json")
    assert json.loads(capsys.readouterr().out) == {
        "name": "a",
        "value": 1.25,
        "unit": "x",
        "goal": "<= 1.2",
        "holds": False,
        "detail": "b",
    }


def test_throughput_counts_from_the_moment_that_all_streams_decode():
    # Behind the second stream's first token, at 2, come three tokens of two streams until 4.
    assert tokens_per_second([[0.0, 1.0, 3.0], [2.0, 3.5, 4.0]]) == 1.5


def test_a_pace_leaves_out_what_came_first():
    pace = Pace(seconds=2.0, tokens=8, bytes=30)
    assert pace.seconds_per_token == 0.25
    assert pace.bytes_per_second == 15.0


def test_each_round_has_another_prompt_of_its_kind():
    for prompts in KINDS.values():
        assert len(set(prompts)) == len(prompts) >= 5


def test_what_is_scored_has_the_size_that_is_told():
    assert len(scored_text().encode()) == SCORED_BYTES


def arguments(*models, peer=None):
    return SimpleNamespace(models=models, model="m.gguf", llama_server=peer, tokens=9, rounds=5)


@pytest.mark.parametrize(
    ("given", "present", "absent"),
    [
        (arguments(), {"bare", "streams"}, {"code", "bytes", "peer"}),
        (arguments("l", "s"), {"code", "idle", "score", "bare"}, {"bytes", "peer"}),
        (arguments("l", "s", "o", peer="p"), {"code", "bytes", "bare", "peer"}, set()),
    ],
)
def test_what_is_compared_depends_on_what_is_given(given, present, absent):
    names = decode.comparisons(given).keys()
    assert present <= names
    assert not absent & names
