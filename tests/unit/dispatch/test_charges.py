from __future__ import annotations

import json
from dataclasses import replace

from quorate.dispatch.charges import MAX_TEXT_CHARACTERS, candidates_json, plan_json
from quorate.request import (
    Candidate,
    Clause,
    DecidedStage,
    Forecast,
    PlanKind,
    Rejection,
    WeightedModel,
)
from support.attempts import decision


def test_a_row_keeps_as_many_candidates_as_it_has_room_for_and_the_chosen_one() -> None:
    against = (Rejection(Clause.HEALTH, "\x1b[2J" + "x" * 1_000_000),)
    told = [
        Candidate(f"single:{index}", PlanKind.SINGLE, (str(index),), Forecast(), rejections=against)
        for index in range(500)
    ]
    told[400] = replace(told[400], chosen=True)
    vote = decision("a")
    text = candidates_json(replace(vote, route=replace(vote.route, candidates=tuple(told))))
    assert len(text) <= MAX_TEXT_CHARACTERS
    kept = json.loads(text)
    assert [one["name"] for one in kept if one["chosen"]] == ["single:400"]
    numbers = [int(one["name"].removeprefix("single:")) for one in kept]
    assert numbers == [*range(len(kept) - 1), 400]
    assert "\x1b" not in kept[0]["rejections"][0]["message"]


def test_a_plan_that_is_too_large_for_a_row_is_told_by_its_size() -> None:
    members = tuple(WeightedModel(f"{index}{'m' * 255}", 0.01) for index in range(64))
    vote = replace(decision("a"), members=members)
    stages = tuple(DecidedStage(vote, 0.5) for _ in range(16))
    cascade = replace(vote, route=replace(vote.route, stages=stages))
    assert json.loads(plan_json(vote)) == {"left_out": {"members": 64}}
    assert json.loads(plan_json(cascade)) == {"left_out": {"stages": 16}}
