from __future__ import annotations

import io
import json
import math

import pytest
from rich.console import Console

from quorate.cli.text_scores import ScoreLine, TextScores
from quorate.cli.views.score import json_line, plain_table, print_scores, scores_table, verdict
from quorate.v1 import inference_pb2, plan_pb2
from support.terminal import Capture, rendered


def member(
    name: str, bits: float, *, weight: float = 0.5, dropped: float | None = None, tokens: int = 4
) -> inference_pb2.MemberScore:
    return inference_pb2.MemberScore(
        model=name,
        logprob=-bits * math.log(2),
        tokens=tokens,
        forwards=2 * tokens,
        weight=weight,
        dropped_mass=dropped,
    )


def score(size: int, bits: float, *members: inference_pb2.MemberScore) -> TextScores:
    scores = TextScores()
    scores.add(response(size, bits, *members))
    return scores


def response(
    size: int, bits: float, *members: inference_pb2.MemberScore
) -> inference_pb2.ScoreResponse:
    return inference_pb2.ScoreResponse(
        bytes=size,
        logprob=-bits * math.log(2),
        members=members,
        decision=plan_pb2.Decision(
            rule=plan_pb2.COMBINATION_RULE_LINEAR,
            alignment=plan_pb2.ALIGNMENT_BYTE_EXACT,
            weighting=plan_pb2.WEIGHTING_BAYESIAN,
        ),
    )


def test_pieces_add_up_and_means_count_by_bytes() -> None:
    scores = TextScores()
    scores.add(response(10, 20, member("a", 30, weight=0.8, dropped=0.1), member("b", 40)))
    scores.add(response(30, 40, member("a", 50, weight=0.4, dropped=0.3), member("b", 40)))
    first, second = scores.members()
    assert (first.name, first.bytes, first.bits_per_byte) == ("a", 40, pytest.approx(2.0))
    assert first.weight == pytest.approx(0.5)
    assert first.dropped_mass == pytest.approx(0.25)
    assert first.forwards_per_token == pytest.approx(2.0)
    assert second.dropped_mass is None
    assert scores.ensemble().bits_per_byte == pytest.approx(1.5)


def test_the_dropped_mass_of_the_ensemble_counts_members_by_their_weight() -> None:
    scores = score(
        10,
        10,
        member("a", 10, weight=0.75, dropped=0.1, tokens=1),
        member("b", 10, weight=0.25, dropped=0.2, tokens=3),
    )
    ensemble = scores.ensemble()
    assert (ensemble.name, ensemble.weight) == ("ensemble", None)
    assert ensemble.dropped_mass == pytest.approx(0.125)
    assert ensemble.forwards_per_token == pytest.approx(2.0)


def test_one_member_and_the_ensemble_are_equal() -> None:
    scores = score(10, 20, member("a", 20, weight=1.0))
    (line,), ensemble = scores.members(), scores.ensemble()
    assert ensemble == ScoreLine(
        "ensemble", line.bits_per_byte, line.bytes, line.forwards_per_token, None
    )
    assert verdict(scores).startswith("one member alone: the ensemble is that member; ")


def test_json_has_exactly_the_keys_that_programs_rely_on() -> None:
    line = ScoreLine("a", 1.5, 10, 2.0, None, 0.5)
    assert json.loads(json_line(line)) == {
        "event": "score",
        "name": "a",
        "bits_per_byte": 1.5,
        "bytes": 10,
        "forwards_per_token": 2.0,
        "dropped_mass": None,
    }


def test_json_has_null_for_a_text_that_was_ruled_out() -> None:
    assert json.loads(json_line(ScoreLine("a", math.inf, 1, 1.0, 0.0)))["bits_per_byte"] is None


@pytest.mark.parametrize(
    ("ensemble", "told"),
    [
        (18.0, "the ensemble beats its best member, b, by 10.0 % (0.2000 bits per byte)"),
        (21.0, "the ensemble loses to its best member, b, by 5.0 % (0.1000 bits per byte)"),
        (20.0001, "the ensemble is as good as its best member, b"),
        (math.inf, "the ensemble rules the text out"),
    ],
)
def test_the_verdict_says_plainly_whether_the_ensemble_is_best(ensemble: float, told: str) -> None:
    scores = score(10, ensemble, member("a", 30), member("b", 20))
    assert verdict(scores) == f"{told}; linear, byte-exact, bayesian"


def test_a_member_that_scored_a_part_only_is_not_compared() -> None:
    scores = TextScores()
    scores.add(response(10, 20, member("a", 30), member("b", 1)))
    scores.add(response(10, 20, member("a", 30)))
    assert "best member, a," in verdict(scores)


def test_a_text_that_all_members_rule_out_is_told() -> None:
    scores = score(10, 20, member("a", math.inf), member("b", math.inf))
    assert verdict(scores).startswith("the ensemble beats its members, which all rule the text out")


def test_plain_text_is_aligned_and_fits_80_columns() -> None:
    lines = [
        ScoreLine("smollm2-135m-instruct.q4_1", 1.0218, 3000000, 1.54, 6.3e-4, 0.533),
        ScoreLine("ensemble", 10.98, 3000000, 1.57, None),
    ]
    assert plain_table(lines).splitlines() == [
        "name                        bits/byte    bytes  forwards/token  dropped  weight",
        "smollm2-135m-instruct.q4_1     1.0218  3000000            1.54  6.3e-04   0.533",
        "ensemble                      10.9800  3000000            1.57        -       -",
    ]


@pytest.mark.parametrize("width", [50, 60, 80])
def test_the_table_fits_a_narrow_terminal(width: int) -> None:
    lines = [ScoreLine("smollm2-135m-instruct.q4_1", 1.0, 10, 1.0, 1e-4, 0.5)]
    printed = rendered(scores_table(lines), width)
    assert max(map(len, printed)) <= width
    assert "1.0000" in "\n".join(printed)
    assert "0.500" in "\n".join(printed)


def test_the_best_value_is_highlighted() -> None:
    out = io.StringIO()
    lines = [ScoreLine("a", 2.0, 10, 1.0, None, 1.0), ScoreLine("ensemble", 1.0, 10, 1.0, None)]
    Console(file=out, width=80, force_terminal=True, color_system="standard").print(
        scores_table(lines)
    )
    rows = out.getvalue().splitlines()
    assert "\x1b[1;32mensemble" in rows[-1]
    assert "\x1b[1;32m" not in rows[-2]


def test_a_name_cannot_steer_the_terminal(capsys: Capture) -> None:
    print_scores(score(10, 20, member("a\x1b[2J", 30), member("b", 40)), as_json=False)
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert r"a\x1b[2J" in printed


def test_json_prints_a_line_for_each_member_and_one_for_the_ensemble(capsys: Capture) -> None:
    print_scores(score(10, 20, member("a", 30), member("b", 40)), as_json=True)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["name"] for line in lines] == ["a", "b", "ensemble"]
    assert [line["bits_per_byte"] for line in lines] == pytest.approx([3.0, 4.0, 2.0])


def test_energy_has_a_column_where_it_is_known_of_somebody() -> None:
    scores = TextScores()
    for joules in (1.0, 0.5):
        piece = response(10, 20, member("a", 30), member("b", 40))
        piece.usage.models.add(model="a", energy={"joules": joules, "tier": 1})
        piece.usage.models.add(model="b", energy={"tier": 3})
        piece.usage.models.add(model="dropped", energy={"joules": 1.0, "tier": 1})
        scores.add(piece)
    heading, first, second, ensemble = plain_table(
        [*scores.members(), scores.ensemble()]
    ).splitlines()
    assert heading.endswith("energy")
    assert first.endswith("1.50 J")
    assert second.endswith("unknown")
    assert ensemble.endswith("unknown")


def test_the_energy_of_the_ensemble_counts_members_that_were_dropped() -> None:
    scores = TextScores()
    piece = response(10, 20, member("a", 30))
    piece.usage.models.add(model="a", energy={"joules": 1.0, "tier": 1})
    piece.usage.models.add(model="dropped", energy={"joules": 2.0, "tier": 2})
    scores.add(piece)
    assert verdict(scores).endswith("; 3.00 J estimated")
