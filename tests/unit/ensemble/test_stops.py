from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.ensemble.stops import StopMatcher

letters = st.text(alphabet="ab€é", max_size=30)
stop_lists = st.lists(st.text(alphabet="ab€é", min_size=1, max_size=5), max_size=4)
byte_counts = st.lists(st.integers(0, 6), max_size=40)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data]


def find(data: bytes, stops: list[bytes]) -> tuple[bytes, bool]:
    """Joined text, first stop string that is complete, the longest of those."""
    for end in range(1, len(data) + 1):
        complete = [len(stop) for stop in stops if data[:end].endswith(stop)]
        if complete:
            return data[: end - max(complete)], True
    return data, False


@given(letters, stop_lists, byte_counts)
def test_any_cut_into_pieces_finds_what_a_search_of_the_whole_finds(
    text: str, stop: list[str], sizes: list[int]
) -> None:
    matcher = StopMatcher(stop)
    shown = b""
    matched = False
    for piece in cut(text.encode(), sizes):
        safe, matched = matcher.push(piece)
        shown += safe
        if matched:
            break
    shown += matcher.flush()
    assert (shown, matched) == find(text.encode(), [s.encode() for s in stop])


@given(letters, stop_lists, byte_counts)
def test_nothing_is_held_back_that_cannot_become_a_stop_string(
    text: str, stop: list[str], sizes: list[int]
) -> None:
    matcher = StopMatcher(stop)
    prefixes = {s.encode()[:n] for s in stop for n in range(1, len(s.encode()))}
    seen = shown = b""
    for piece in cut(text.encode(), sizes):
        safe, matched = matcher.push(piece)
        if matched:
            return
        seen, shown = seen + piece, shown + safe
        held = max((p for p in prefixes if seen.endswith(p)), key=len, default=b"")
        assert shown + held == seen


@pytest.mark.parametrize(
    ("stop", "pieces", "shown"),
    [
        (["</s>"], [b"hi<", b"/", b"s>", b"more"], b"hi"),
        (["abcd", "bc"], [b"xabcd"], b"xa"),
        (["bc", "abc"], [b"xabc"], b"x"),
        (["aab"], [b"aa", b"aab"], b"aa"),
        (["é"], [b"caf\xc3", b"\xa9!"], b"caf"),
        (["\n\n"], [b"a\n", b"b\n", b"\n"], b"a\nb"),
    ],
)
def test_a_stop_string_ends_the_text_before_it(
    stop: list[str], pieces: list[bytes], shown: bytes
) -> None:
    matcher = StopMatcher(stop)
    got = b""
    for piece in pieces:
        safe, matched = matcher.push(piece)
        got += safe
        if matched:
            break
    assert matched
    assert got == shown
    assert matcher.flush() == b""


def test_what_only_looked_like_a_stop_string_comes_out_at_the_end() -> None:
    matcher = StopMatcher(["</s>"])
    assert matcher.push(b"a</s") == (b"a", False)
    assert matcher.flush() == b"</s"


def test_without_stop_strings_bytes_pass_at_once() -> None:
    assert StopMatcher([]).push(b"\xff\x00") == (b"\xff\x00", False)


HOSTILE = [
    ["a" * 256 + "b" + "a" * (255 - index) for index in range(15)],
    [f"{index:08}" for index in range(1024)],
    ["a" * (index % 8 + 1) + "b" for index in range(900)],
]


@pytest.mark.parametrize("stops", HOSTILE)
def test_the_most_stop_strings_take_little_time_of_a_token(stops: list[str]) -> None:
    answer = b"a" * 4000
    started = time.process_time()
    matcher = StopMatcher(stops)
    shown = b""
    for at in range(0, len(answer), 4):
        safe, matched = matcher.push(answer[at : at + 4])
        shown += safe
        assert not matched
    shown += matcher.flush()
    assert shown == answer
    # One automaton each took fifteen milliseconds a token, which are a thousand here.
    assert time.process_time() - started < 5.0
