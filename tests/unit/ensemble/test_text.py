from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from quorate.ensemble.text import Utf8Stream

sizes = st.lists(st.integers(0, 5), max_size=60)


def decode(data: bytes, cuts: list[int]) -> tuple[str, int]:
    stream = Utf8Stream()
    texts = []
    for size in cuts:
        texts.append(stream.push(data[:size]))
        data = data[size:]
    texts.append(stream.push(data))
    return "".join(texts), stream.held_bytes


@given(st.text(max_size=60), sizes)
def test_valid_text_arrives_whole_however_it_is_cut(text: str, cuts: list[int]) -> None:
    assert decode(text.encode(), cuts) == (text, 0)


@given(st.binary(max_size=60), sizes)
def test_any_bytes_give_what_decoding_them_at_once_gives(data: bytes, cuts: list[int]) -> None:
    text, held = decode(data, cuts)
    assert text == data[: len(data) - held].decode("utf-8", "replace")
    assert held <= 3


def test_a_code_point_is_held_back_until_it_is_complete() -> None:
    stream = Utf8Stream()
    assert [stream.push(bytes([byte])) for byte in "😀".encode()] == ["", "", "", "😀"]


def test_a_code_point_never_completed_stays_held_back() -> None:
    stream = Utf8Stream()
    assert stream.push(b"ok\xf0\x9f") == "ok"
    assert stream.held_bytes == 2
