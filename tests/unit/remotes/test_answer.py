from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.remotes import RemoteEnd, RemoteRequest, RemoteText, RemoteUsage
from quorate.remotes.answer import Answer, CodePoints, TokenEstimate
from quorate.remotes.failures import CallFailed, FailureKind
from quorate.remotes.wire import Done
from quorate.request import FinishReason, TextPrompt
from support.faulty_remote import chunk, count

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "delta", "content", "text", "usage", "finish_reason", "reasoning"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def answer(max_tokens: int = 100, max_bytes: int | None = None) -> Answer:
    return Answer(RemoteRequest(TextPrompt("x"), max_tokens, max_bytes=max_bytes))


@given(st.lists(st.text(min_size=1), max_size=20))
def test_all_text_arrives_in_order(texts):
    reading = answer()
    shown = [reading.push(chunk(text)) for text in texts]
    reading.push(chunk(finish="stop"))
    rest, _ = reading.end()
    whole = "".join(item.text for item in (*shown, rest) if item)
    assert whole == "".join(texts)


@given(JSON)
def test_no_event_breaks_the_reader(event):
    reading = answer(max_bytes=7)
    try:
        shown = reading.push(event)
    except CallFailed as error:
        assert error.failure.kind is FailureKind.TRANSIENT
        assert not error.failure.retryable
    else:
        assert shown is None or isinstance(shown, RemoteText)


def test_the_last_count_holds():
    reading = answer()
    reading.push({**chunk("a"), "usage": count(3, 1)["usage"]})
    reading.push(chunk(finish="stop"))
    reading.push(count(3, 2))
    _, end = reading.end()
    assert end.usage == RemoteUsage(3, None, 2)


@pytest.mark.parametrize("wrong", [-1, 1.5, "3", True, None])
def test_a_count_that_is_none_is_unknown(wrong):
    reading = answer()
    reading.push(chunk(finish="stop"))
    reading.push({"usage": {"prompt_tokens": wrong, "completion_tokens": 5}})
    assert reading.end()[1].usage == RemoteUsage(None, None, 5)


def test_reasoning_is_counted_and_not_shown():
    reading = answer()
    assert reading.push(chunk(content=None, reasoning_content="hmm")) == RemoteText("", 1)
    assert reading.push(chunk("Yes")) == RemoteText("Yes", 2)


def test_text_after_the_end_is_ignored():
    reading = answer()
    reading.push(chunk("a", finish="stop"))
    assert reading.push(chunk("b")) is None
    assert reading.end() == (None, RemoteEnd(FinishReason.END_OF_GENERATION, RemoteUsage(), 1))


def test_an_answer_without_an_end_may_be_tried_again():
    reading = answer()
    with pytest.raises(CallFailed) as caught:
        reading.end()
    assert caught.value.failure.retryable


@given(st.text(min_size=1), st.integers(0, 12))
def test_the_byte_limit_keeps_the_longest_whole_start(text, limit):
    reading = answer(max_tokens=1000, max_bytes=limit)
    shown = ""
    for letter in text:
        if reading.complete:
            break
        shown += getattr(reading.push(chunk(letter)), "text", "")
    fits = [text[:size] for size in range(len(text) + 1) if len(text[:size].encode()) <= limit]
    assert shown == fits[-1]
    assert reading.complete == (len(text.encode()) >= limit)


def test_the_stop_string_that_a_server_names_is_believed():
    reading = answer()
    reading.push({"choices": [{"delta": {}, "finish_reason": "stop", "stop_reason": "END"}]})
    assert reading.end()[1].finish_reason is FinishReason.STOP_STRING


@given(st.lists(st.integers(2, 50), max_size=50), st.integers(1, 60))
def test_the_estimate_has_a_token_for_each_piece_of_some_bytes_and_keeps_to_the_limit(sizes, limit):
    estimate = TokenEstimate(limit)
    for size in sizes:
        estimate.add(size)
    assert min(limit, len(sizes)) <= estimate.tokens
    assert estimate.tokens >= min(limit, sum(sizes) / 4)
    assert estimate.exceeded == (sum(sizes) > 16 * limit + 256)
    assert estimate.tokens <= (sum(sizes) if estimate.exceeded else limit)


@given(st.integers(1, 2000), st.lists(st.integers(1, 9), min_size=1, max_size=300))
def test_the_estimate_never_falls_and_a_character_is_no_token(limit, sizes):
    estimate, before = TokenEstimate(limit), 0
    for size in sizes:
        estimate.add(size)
        assert estimate.tokens >= before
        before = estimate.tokens
    assert estimate.tokens <= -(-sum(sizes) // 2)


def test_a_long_answer_in_single_letters_is_not_cut():
    text, reading = "one letter in each event, as some servers do", answer(max_tokens=9)
    shown = "".join(piece.text for one in text if (piece := reading.push(chunk(one))))
    reading.push(chunk(finish="stop"))
    assert (shown, reading.complete) == (text, False)
    assert reading.end()[1].finish_reason is FinishReason.END_OF_GENERATION


def test_a_filter_in_the_middle_ends_the_answer_where_it_is():
    reading = answer()
    reading.push(chunk("So far"))
    reading.push(chunk(finish="content_filter"))
    assert reading.end()[1].finish_reason is FinishReason.CONTENT_FILTER


@pytest.mark.parametrize("generated", [2, 100])
def test_the_end_of_the_stream_after_a_count_is_the_end_of_the_answer(generated):
    reading = answer(max_tokens=100)
    reading.push(chunk("So be it"))
    reading.push(count(3, generated))
    reading.push(Done.DONE)
    _, end = reading.end()
    full = generated == 100
    assert end.finish_reason is (
        FinishReason.MAX_TOKENS if full else FinishReason.END_OF_GENERATION
    )
    assert end.word == "no word for why"


@given(st.text(st.characters(exclude_categories=()), max_size=20), st.data())
def test_code_points_survive_any_split_into_utf_16_halves(text, data):
    units = text.encode("utf-16-le", "surrogatepass")
    halves = [
        units[at : at + 2].decode("utf-16-le", "surrogatepass") for at in range(0, len(units), 2)
    ]
    points, shown = CodePoints(), ""
    while halves:
        size = data.draw(st.integers(1, len(halves)))
        piece = points.push("".join(halves[:size]))
        piece.encode()
        shown += piece
        halves = halves[size:]
    shown += points.flush()
    assert shown == units.decode("utf-16-le", "replace")
