from __future__ import annotations

import io
import math
from collections.abc import Sequence

import pytest
from rich.cells import cell_len
from rich.console import Console

from quorate.cli.pieces import harmless, percent, visible
from quorate.cli.token_colours import TokenColours
from quorate.cli.votes import Agreement, agreement, disagreements, summary
from quorate.cli.votes_table import candidates_table, print_votes, votes_table
from quorate.v1 import inference_pb2, plan_pb2


def token(piece: str, *wanted: str, share: float = 0.5) -> inference_pb2.Token:
    votes = [
        inference_pb2.Vote(
            model=f"m{number}",
            piece=favourite.encode(),
            logprob=math.log(share),
            chosen_logprob=math.log(share if favourite == piece else share / 10),
        )
        for number, favourite in enumerate(wanted)
    ]
    return inference_pb2.Token(piece=piece.encode(), votes=votes)


def members(count: int) -> list[plan_pb2.Member]:
    return [plan_pb2.Member(model=f"m{number}", weight=1 / count) for number in range(count)]


def printed(tokens: Sequence[inference_pb2.Token], count: int, width: int = 80) -> str:
    out = io.StringIO()
    print_votes(tokens, members(count), Console(file=out, width=width, highlight=False))
    return out.getvalue()


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        (("a", "a"), Agreement.ALL),
        (("a", "b"), Agreement.SOME),
        (("b", "c"), Agreement.NONE),
        ((), Agreement.ALL),
    ],
)
def test_agreement_compares_the_favourites_with_the_chosen(
    votes: tuple[str, ...], expected: Agreement
) -> None:
    assert agreement(token("a", *votes)) is expected


def test_disagreements_keep_their_step_and_the_summary_counts_the_rest() -> None:
    tokens = [token("a", "a", "a"), token("b", "b", "c"), token("d", "d", "d")]
    assert [step for step, _ in disagreements(tokens)] == [2]
    assert summary(tokens) == "agreed on 2 of 3 tokens"
    assert summary(tokens[:1]) == "agreed on 1 of 1 token"


@pytest.mark.parametrize(
    ("piece", "expected"),
    [
        (b" Paris", "␣Paris"),
        (b"\n\n", r"\n\n"),
        (b"\x1b[31m", r"\x1b[31m"),
        (b"\xe2\x82", r"\xe2\x82"),
        ("é世".encode(), "é世"),
        ("\u202e".encode(), r"\u202e"),
        (b"", "<end>"),
    ],
)
def test_pieces_show_what_cannot_be_seen(piece: bytes, expected: str) -> None:
    assert visible(piece) == expected


def test_text_for_a_terminal_keeps_lines_and_loses_control_sequences() -> None:
    assert harmless("a\n\tb\x1b]0;title\x07") == "a\n\tb\\x1b]0;title\\x07"


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (1.0, "100%"),
        (0.999, ">99%"),
        (0.994, "99%"),
        (0.5, "50%"),
        (0.006, "1%"),
        (0.001, "<1%"),
        (0.0, "<1%"),
    ],
)
def test_percent_takes_at_most_four_characters(share: float, expected: str) -> None:
    assert percent(math.log(share) if share else -math.inf) == expected


@pytest.mark.parametrize("count", [2, 3, 4])
def test_the_votes_of_two_to_four_members_fit_in_80_columns(count: int) -> None:
    tokens = [token("世界世界世界世界世界", *(f"favourite {n} of all" for n in range(count)))]
    out = io.StringIO()
    models = [member.model for member in members(count)]
    Console(file=out, width=80).print(votes_table(tokens, models, 80))
    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert max(map(cell_len, lines)) <= 80
    assert lines[1].count("50%") == count
    assert lines[1].count("  5%") == count


def test_the_report_names_the_members_and_leaves_out_what_all_agreed_on() -> None:
    report = printed([token("same", "same", "same"), token(" x", " x", "y")], 2)
    assert "same" not in report
    assert "   2 ␣x" in report
    assert "A m0, weight 0.5" in report
    assert report.endswith("agreed on 1 of 2 tokens\n")


def test_full_agreement_needs_no_table() -> None:
    assert printed([token("a", "a", "a")], 2).split("\n") == ["", "agreed on 1 of 1 token", ""]


def test_a_member_that_was_dropped_has_no_vote_in_later_rows() -> None:
    late = token("a", "b")
    report = printed([token("a", "b", "c"), late], 2)
    row = next(line for line in report.splitlines() if line.startswith("   2 "))
    assert row.split() == ["2", "a", "b", "50%", "5%", "-"]


def test_one_member_alone_has_nothing_to_vote_on() -> None:
    assert printed([token("a", "a")], 1) == "one member alone: there was nothing to vote on\n"


def test_only_as_many_candidates_are_shown_as_fit() -> None:
    top = [inference_pb2.TopCandidate(piece=b"c", logprob=-1.0) for _ in range(20)]
    table = candidates_table([inference_pb2.Token(piece=b"c", top=top)], 80)
    out = io.StringIO()
    Console(file=out, width=80).print(table)
    assert max(map(len, out.getvalue().splitlines())) <= 80
    assert out.getvalue().count("37%") == 4


def test_text_takes_the_colour_of_its_token_also_when_it_comes_late() -> None:
    colours = TokenColours()
    held = inference_pb2.Delta(text="", tokens=[token("S", "T", "U")])
    assert colours.runs(held) == []
    late = inference_pb2.Delta(text="Sab", tokens=[token("ab", "ab", "cd")])
    assert colours.runs(late) == [("S", "magenta"), ("ab", "yellow")]


def test_a_character_of_two_tokens_takes_the_colour_of_the_one_that_completes_it() -> None:
    colours = TokenColours()
    first = inference_pb2.Token(piece=b"\xc3")
    assert colours.runs(inference_pb2.Delta(tokens=[first])) == []
    second = token("x", "y", "z")
    second.piece = b"\xa9"
    assert colours.runs(inference_pb2.Delta(text="é", tokens=[second])) == [("é", "magenta")]
