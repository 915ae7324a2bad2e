from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.remotes.sse import EventReader, EventTooLarge, ServerEvent

LIMIT = 10_000
NOISE_LIMIT = 50_000
LINE_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
NOISE = st.sampled_from([b": ping", b":", b"retry: 3000", b"id: 7", b"id", b"other: x", b"\xff"])
DATA = st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=12)


def read(stream: bytes, *cuts: int) -> list[ServerEvent]:
    """What a stream gives that comes in pieces, cut at these places."""
    reader, events, start = EventReader(LIMIT, NOISE_LIMIT), [], 0
    for cut in (*sorted(cuts), len(stream)):
        events += reader.feed(stream[start:cut])
        start = cut
    return events + reader.finish()


@given(st.lists(st.tuples(st.lists(DATA, min_size=1, max_size=3), NOISE), max_size=5), st.data())
def test_every_event_arrives_however_it_is_written_and_cut(blocks, data):
    stream, expected = b"\xef\xbb\xbf" * data.draw(st.integers(0, 1)), []
    for lines, noise in blocks:
        colon = data.draw(st.sampled_from([b"data: ", b"data:"]))
        # A space that belongs to the data is only kept behind the one that does not.
        lines = [line if colon == b"data: " else line.lstrip(" ") for line in lines]
        end = data.draw(LINE_ENDS)
        stream += noise + end
        stream += b"".join(colon + line.encode() + end for line in lines) + end
        stream += data.draw(
            st.sampled_from([b"", b"\n", b": keep-alive\n\n", b"event: ping\r\n\r\n"])
        )
        if any(lines):
            expected.append(ServerEvent("", "\n".join(lines).encode()))
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8))
    assert read(stream, *cuts) == expected


def test_blocks_without_data_are_no_events_and_leave_no_name_behind():
    assert read(b"retry: 3000\n\nevent: ping\n\nid: 4\n\ndata: x\n\n") == [ServerEvent("", b"x")]


def test_a_name_is_told():
    assert read(b"event: ping\ndata: {}\n\n") == [ServerEvent("ping", b"{}")]


def test_a_last_event_without_its_blank_line_counts():
    assert read(b"data: x\n\ndata: y") == [ServerEvent("", b"x"), ServerEvent("", b"y")]


@pytest.mark.parametrize(
    "stream",
    [b"data: " + b"x" * LIMIT, b": " + b"x" * LIMIT, b"data: x\n" * LIMIT, b"id:\n" * LIMIT],
)
@pytest.mark.parametrize("size", [1, 4096])
def test_what_grows_without_end_is_refused(stream, size):
    reader = EventReader(LIMIT, NOISE_LIMIT)
    with pytest.raises(EventTooLarge, match="more than 10000 bytes"):
        for start in range(0, len(stream), size):
            reader.feed(stream[start : start + size])


def test_many_comments_and_blank_lines_may_come():
    noise = b": ping\n\n" * 5000
    assert read((noise + b"data: x\n\n") * 3) == [ServerEvent("", b"x")] * 3


@pytest.mark.parametrize("noise", [b"\n", b"\r\n", b": ping\n\n", b"data:\n\n", b"event: ping\n\n"])
@pytest.mark.parametrize("size", [1, 4096])
def test_noise_without_end_is_refused(noise, size):
    reader, stream = EventReader(LIMIT, NOISE_LIMIT), noise * (NOISE_LIMIT + 10)
    with pytest.raises(EventTooLarge, match="more than 50000 bytes that say nothing"):
        for start in range(0, len(stream), size):
            reader.feed(stream[start : start + size])


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=5))
def test_no_bytes_break_the_reader_and_cuts_change_nothing(stream, cuts):
    assert read(stream, *(cut for cut in cuts if cut <= len(stream))) == read(stream)
