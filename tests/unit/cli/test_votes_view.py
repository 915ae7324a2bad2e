from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from rich.cells import cell_len
from rich.console import Console

from quorate.cli.views.formatting import percent, visible
from quorate.cli.views.votes import (
    Agreement,
    agreement,
    candidates_table,
    disagreements,
    print_candidates,
    print_votes,
    summary,
    votes_table,
)
from quorate.cli.views.writers import TerminalWriter, TokenColours
from quorate.foreign_text import harmless
from quorate.v1 import inference_pb2, plan_pb2
from support.terminal import rendered, shown_by


def token(piece: str, *favourites: str, share: float = 0.5) -> inference_pb2.Token:
    votes = [
        inference_pb2.Vote(
            model=f"m{number}",
            piece=favourite.encode(),
            weight=1 / len(favourites),
            logprob=math.log(share),
            chosen_logprob=math.log(share if favourite == piece else share / 10),
        )
        for number, favourite in enumerate(favourites)
    ]
    return inference_pb2.Token(piece=piece.encode(), token_id=1, votes=votes)


def word(piece: str, *favourites: tuple[str, float]) -> inference_pb2.Token:
    """A word of a byte-exact vote, with each member's favourite and its weight."""
    made = token(piece, *(favourite for favourite, _ in favourites))
    made.ClearField("token_id")
    for vote, (_, weight) in zip(made.votes, favourites, strict=True):
        vote.weight = weight
    return made


def members(count: int) -> list[plan_pb2.Member]:
    return [plan_pb2.Member(model=f"m{number}", weight=1 / count) for number in range(count)]


def printed(tokens: Sequence[inference_pb2.Token], count: int, width: int = 80) -> str:
    return shown_by(lambda console: print_votes(tokens, members(count), console), width)


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


def test_control_tokens_are_told_apart_by_how_probable_they_were_and_shown_by_their_ids() -> None:
    agreed, split = token("", "", share=0.9), token("", "", "", share=0.5)
    for one in (agreed, split):
        one.control, one.token_id = True, 42
    # The second member wanted another token without bytes.
    split.votes[1].chosen_logprob = math.log(0.1)
    assert agreement(agreed) is Agreement.ALL
    assert agreement(split) is Agreement.SOME
    assert "<42>" in printed([split], 2)
    split.ClearField("token_id")
    assert "<control>" in printed([split], 2)


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
    lines = rendered(votes_table(tokens, members(count), 80))
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


@pytest.mark.parametrize(("count", "width"), [(2, 60), (2, 80), (3, 80)])
def test_weights_that_move_are_shown_beside_each_vote_where_there_is_room(
    count: int, width: int
) -> None:
    tokens = [word(" park", (" park", 0.9), *((" forest", 0.1 / (count - 1)),) * (count - 1))]
    report = printed(tokens, count, width)
    assert "A m0, prior" in report
    row = next(line for line in report.splitlines() if line.startswith("   1 "))
    assert row.count("90%") == 1
    assert row.count("%") == 3 * count
    assert "w: its weight" in " ".join(report.split())
    assert max(map(cell_len, report.splitlines())) <= width


def test_weights_that_move_give_way_to_the_pieces_where_there_is_no_room() -> None:
    tokens = [word("a", *(("b", weight) for weight in (0.4, 0.3, 0.2, 0.1)))]
    report = printed(tokens, 4)
    assert "w: its weight" not in report
    assert "A m0, prior 0.25" in report


def test_words_are_counted_as_words_and_a_favourite_of_the_same_bytes_is_agreement() -> None:
    tokens = [word(" a", (" a", 0.5), (" a", 0.5)), word(" b", (" c", 0.5), (" b", 0.5))]
    report = printed(tokens, 2)
    assert report.endswith("agreed on 1 of 2 words\n")
    assert "p(✓): the chosen word" in report
    assert "A m0, weight 0.5" in report
    assert "wants: the word as far as it agreed" in report


def test_candidates_of_words_are_told_to_be_bytes() -> None:
    made = word(" a", (" a", 1.0))
    made.top.add(piece=b"\xe4", logprob=-1.0)
    told = shown_by(lambda console: print_candidates([made], console))
    assert r"\xe4" in told
    assert told.endswith("the candidates are those for the first byte of a word\n")


def test_full_agreement_needs_no_table() -> None:
    assert printed([token("a", "a", "a")], 2).split("\n") == ["", "agreed on 1 of 1 token", ""]


def test_a_member_that_was_dropped_has_no_vote_in_later_rows() -> None:
    late = token("a", "b")
    late.votes[0].weight = 0.5
    report = printed([token("a", "b", "c"), late], 2)
    row = next(line for line in report.splitlines() if line.startswith("   2 "))
    assert row.split() == ["2", "a", "b", "50%", "5%", "-"]


def test_one_member_alone_has_nothing_to_vote_on() -> None:
    assert printed([token("a", "a")], 1) == "one member alone: there was nothing to vote on\n"


def test_only_as_many_candidates_are_shown_as_fit() -> None:
    top = [inference_pb2.TopCandidate(piece=b"c", logprob=-1.0) for _ in range(20)]
    lines = rendered(candidates_table([inference_pb2.Token(piece=b"c", top=top)], 80))
    assert max(map(len, lines)) <= 80
    assert "\n".join(lines).count("37%") == 4


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


def test_text_that_comes_before_its_word_waits_for_the_colour_of_the_word() -> None:
    colours = TokenColours()
    first = inference_pb2.Delta(text="Hi ", tokens=[token("Hi", "Hi", "Ho")])
    assert colours.runs(first) == [("Hi", "yellow")]
    second = inference_pb2.Delta(text="you, ", tokens=[token(" you", "a", "b")])
    assert colours.runs(second) == [(" you", "magenta")]
    assert colours.rest() == ", "
    assert colours.rest() == ""


def test_a_terminal_gets_the_whole_text_in_order() -> None:
    def write(console: Console) -> None:
        writer = TerminalWriter(console)
        writer.write(inference_pb2.Delta(text="Hi ", tokens=[token("Hi", "Hi", "Ho")]))
        writer.write(inference_pb2.Delta(text="you,", tokens=[token(" you", "a", "b")]))
        writer.end_line()
        writer.end_line()

    assert shown_by(write) == "Hi you,\n"
