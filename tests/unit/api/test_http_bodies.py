"""From the bytes of a body to what they say, at a cost that goes by how many there are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.api.http import json_reader
from quorate.api.http.bodies import MOST_VALUES, MOST_VALUES_OF_TOKENS, json_object
from quorate.api.http.json_reader import MOST_DEPTH, count_values, read_json
from quorate.errors import InvalidRequest
from quorate.large_texts import SLICE

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
MANY = 10**9


@given(json_values)
def test_an_object_is_what_its_bytes_say(value: Any) -> None:
    assert json_object(json.dumps({"a": value}).encode()) == {"a": value}


@given(json_values, st.booleans(), st.sampled_from([None, 1]))
def test_what_is_read_in_slices_is_what_is_read_at_once(
    value: Any, ascii_only: bool, indent: int | None
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert read_json(text.encode(), MANY) == value


@given(st.text(st.sampled_from('"\\,[{}]:0-1e.ntu \n\x01\ud7ff'), max_size=40))
def test_what_json_refuses_is_refused_in_slices_too(text: str) -> None:
    try:
        known = json.loads(text)
    except ValueError:
        with pytest.raises(ValueError):
            read_json(text.encode(), MANY)
    else:
        assert read_json(text.encode(), MANY) == known


@pytest.mark.parametrize("before", range(8))
def test_an_escape_at_the_border_of_a_slice_stays_whole(
    before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_reader, "SLICE", 16)
    said = "x" * before + '\\"\n\U0001f600\u00e9' * 40
    data = json.dumps({"a": said}).encode()
    assert read_json(data, MANY) == {"a": said}
    assert count_values(data) == 1


@given(st.text(st.sampled_from('"\\x,['), max_size=80))
def test_values_are_counted_outside_of_texts_wherever_slices_end(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_reader, "SLICE", 3)
        assert count_values(json.dumps([text, [text, 1]]).encode()) == 4


@pytest.mark.parametrize(
    "unit",
    [b'\\"', b"\\\\", b"\\u00e9", b" ", b'"', b"1", "\U0001f600".encode(), b"\\ud800"],
)
@pytest.mark.parametrize("begun", [b'"', b'{"a":"', b"", b'{"'])
def test_a_body_takes_time_by_its_length_whatever_it_repeats(begun: bytes, unit: bytes) -> None:
    # Of a text that does not end there are as many ways to look for its end as it has characters:
    # at a megabyte only what looks once comes to an end before the time limit of a test.
    with pytest.raises(InvalidRequest):
        json_object(begun + unit * (2**20 // len(unit)))


def test_a_large_body_is_read_in_steps_none_of_which_is_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[int] = []

    decode = json.JSONDecoder().raw_decode

    def noted(text: str, at: int) -> Any:
        seen.append(len(text))
        return decode(text, at)

    monkeypatch.setattr(json_reader, "_decoded_at", noted)
    said = '\\"' * 2**20
    assert json_object(json.dumps({said: said}).encode()) == {said: said}
    assert seen and max(seen) <= SLICE + 2


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{",
        b'{"a": NaN}',
        b"\xff\xfe",
        b'{"a": "\xff"}',
        b'{"a": "\\ud800"}',
        b'{"a": "' + b"x" * 70_000 + b'\\ud800"}',
        b"[" * 100_000,
        b'{"a":' * (MOST_DEPTH + 1) + b"1" + b"}" * (MOST_DEPTH + 1) + b" " * 70_000,
        b'{"a": [' + b"[]," * MOST_VALUES + b"[]]}",
        b'{"a": ' + b"9" * 10_000 + b"}",
        b'{"a": ' + b"9" * 100_000 + b"}",
        b'{"a": [' + b"01, " * 20_000 + b"1]}",
    ],
)
def test_what_is_no_object_is_refused_before_it_costs_anything(data: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        json_object(data)
    assert caught.value.field == "body"


def test_commas_and_brackets_in_texts_are_no_values() -> None:
    told = "[,{" * MOST_VALUES + '\\"\\'
    assert json_object(json.dumps({"prompt": told}).encode()) == {"prompt": told}


def test_only_paths_that_take_tokens_take_as_many_values() -> None:
    ids = list(range(200_000))
    data = json.dumps({"tokens": ids}).encode()
    with pytest.raises(InvalidRequest, match="values"):
        json_object(data)
    assert json_object(data, MOST_VALUES_OF_TOKENS) == {"tokens": ids}
