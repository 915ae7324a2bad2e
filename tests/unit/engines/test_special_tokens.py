from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import islice

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quorate.engines.chat.special_tokens import Run, SpecialToken, SpecialTokens
from quorate.errors import InvalidRequest

SENTINEL = "\ue000"


def slow_partition(text: str, specials: Sequence[SpecialToken]) -> list[Run]:
    """The rule as llama.cpp has it: every special token in turn, over all that is still text."""
    runs: list[Run] = [text]
    for special in sorted(specials, key=lambda one: -len(one.text)):
        if special.text in text:
            runs = [part for run in runs for part in slow_split(run, special)]
    return [run for run in runs if run != ""]


def slow_split(run: Run, special: SpecialToken) -> list[Run]:
    if isinstance(run, int):
        return [run]
    pieces = run.split(special.text)
    parts: list[Run] = []
    for index, piece in enumerate(pieces):
        if special.strips_right and index > 0:
            piece = piece.lstrip(" \t\n\v\f\r")
        if special.strips_left and index < len(pieces) - 1:
            piece = piece.rstrip(" \t\n\v\f\r")
        parts += [special.token, piece] if index > 0 else [piece]
    return parts


def slow_shield(text: str, specials: Sequence[SpecialToken]) -> str:
    """The rule as it is meant: every special token in turn, and every cut of every one."""
    texts = [one.text for one in sorted(specials, key=lambda one: -len(one.text))]
    for special in texts:
        if special in text:
            text = text.replace(special, special[0] + SENTINEL + special[1:])
    core = text.strip()
    if not core:
        return text
    start = text.index(core)
    cuts = [(one[:cut], one[cut:]) for one in texts for cut in range(1, len(one))]
    before = SENTINEL if any(core.startswith(end) for _, end in cuts) else ""
    after = SENTINEL if any(core.endswith(beginning) for beginning, _ in cuts) else ""
    return text[:start] + before + core + after + text[start + len(core) :]


def slow_shield_role(role: str, specials: Sequence[SpecialToken]) -> str:
    if any(role in one.text for one in specials):
        return role[:1] + SENTINEL + role[1:]
    return slow_shield(role, specials)


# Few letters, so that special tokens overlap, hold each other, and are written twice.
LETTERS = st.text("<ab> ", min_size=1, max_size=5)
SPECIALS = st.lists(
    st.builds(SpecialToken, st.integers(0, 99), LETTERS, st.booleans(), st.booleans())
)
TEXTS = st.text("<ab> \n", max_size=40)


@given(SPECIALS, TEXTS)
@example([SpecialToken(1, "ab"), SpecialToken(2, "b>a")], "ab>a")
@example([SpecialToken(1, "a", True, True), SpecialToken(2, " <")], "a <")
def test_text_is_divided_as_by_one_special_token_after_the_other(specials, text):
    assert SpecialTokens(specials).partition(text) == slow_partition(text, specials)


@given(SPECIALS, TEXTS)
def test_text_is_shielded_as_by_one_special_token_after_the_other(specials, text):
    assert SpecialTokens(specials).shield(text, SENTINEL) == slow_shield(text, specials)


@given(SPECIALS, LETTERS)
def test_a_role_is_shielded_as_by_one_special_token_after_the_other(specials, role):
    assert SpecialTokens(specials).shield_role(role, SENTINEL) == slow_shield_role(role, specials)


def test_the_longest_special_wins_and_white_space_goes_where_a_special_says_so():
    specials = SpecialTokens((SpecialToken(7, "<ab>c", strips_left=True), SpecialToken(8, "<ab>")))
    assert specials.partition("x <ab>c y <ab>") == ["x", 7, " y ", 8]


def test_without_special_tokens_all_is_text():
    none = SpecialTokens(())
    assert (none.partition("<s>"), none.shield("<s>", SENTINEL), none.longest) == (
        ["<s>"],
        "<s>",
        0,
    )


def test_private_use_characters_are_handed_out_that_occur_nowhere():
    specials = SpecialTokens((SpecialToken(1, "<\ue001>"),))
    assert list(islice(specials.absent_characters("\ue000", "a\ue003"), 2)) == ["\ue002", "\ue004"]
    every = "".join(map(chr, (*range(0xE000, 0xF900), *range(0xF0000, 0x110000))))
    with pytest.raises(InvalidRequest, match="every private-use character"):
        next(specials.absent_characters(every))


def test_thousands_of_special_tokens_take_no_longer_than_a_few():
    few = [SpecialToken(number, f"<mark{number}>") for number in range(8)]
    many = [*few, *(SpecialToken(number, f"<unused{number}>") for number in range(8, 6249))]
    text = "<mark3>a text like any other, with an <unused> and a < b<mark1>\n" * 300
    taken = {}
    for name, specials in (("few", SpecialTokens(few)), ("many", SpecialTokens(many))):
        specials.shield(specials.partition(text)[1], SENTINEL)
        began = time.process_time()
        for _ in range(5):
            runs = specials.partition(text)
            specials.shield(text, SENTINEL)
        taken[name] = time.process_time() - began
        assert len(runs) == 4 * 300
    # It was a thousandfold.
    assert taken["many"] < 20 * taken["few"]


def test_a_text_of_thousands_of_special_tokens_takes_no_longer_than_one_of_a_few():
    many = [SpecialToken(number, f"<unused{number:04}>") for number in range(6000)]
    specials = SpecialTokens(many)
    texts = {
        "few": "".join(one.text + "x" for one in many[:8]) * 750,
        "many": "".join(one.text + "x" for one in many),
    }
    specials.shield(specials.partition(texts["few"])[1], SENTINEL)
    taken = {}
    for name, text in texts.items():
        began = time.process_time()
        assert len(specials.partition(text)) == 12_000
        assert specials.shield(text, SENTINEL).count(SENTINEL) == 6000
        taken[name] = time.process_time() - began
    # It was two hundredfold.
    assert taken["many"] < 20 * taken["few"]


def test_thousands_of_roles_beside_thousands_of_special_tokens_take_little_time():
    specials = SpecialTokens([SpecialToken(n, f"<unused{n:04}>") for n in range(6000)])
    specials.shield_role("warm", SENTINEL)
    began = time.process_time()
    shielded = [specials.shield_role(f"absent{number}", SENTINEL) for number in range(10_000)]
    assert specials.shield_role("unused0007", SENTINEL) == f"u{SENTINEL}nused0007"
    assert shielded[5] == "absent5"
    # Role by role and token by token it would be a minute.
    assert time.process_time() - began < 10.0
