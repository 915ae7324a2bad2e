from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate import large_texts
from quorate.large_texts import as_json, json_string, slices, utf8, utf8_size

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)  # fmt: skip


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_texts, "SLICE", 3)
    monkeypatch.setattr(large_texts, "_SMALL", 4)
    monkeypatch.setattr(large_texts, "_CHARACTERS", 1)


@given(st.text())
def test_a_text_in_slices_is_the_text(text: str) -> None:
    pieces = list(slices(text))
    assert "".join(pieces) == text
    assert all(len(piece) <= 3 for piece in pieces)
    assert utf8(text) == text.encode()
    assert utf8_size(text) == len(text.encode())
    assert json_string(text) == json.dumps(text, ensure_ascii=False)


def test_half_a_surrogate_pair_is_three_bytes() -> None:
    assert utf8_size("\ud800") == len(utf8("\ud800")) == 3


@settings(max_examples=40)
@given(VALUES)
def test_json_is_that_of_the_standard_library(value: object) -> None:
    written = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    assert as_json(value) == written.encode()


def test_what_is_no_number_of_json_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        as_json({"x": float("nan")})


def test_many_small_values_are_written_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []

    def noted(value: object) -> str:
        written.append(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
        return written[-1]

    monkeypatch.undo()
    monkeypatch.setattr(large_texts, "_json_of", noted)
    told = {"content": [{"token": "x", "bytes": [1, 2, 3], "top": [{"a": -1.5}] * 20}] * 512}
    assert json.loads(as_json(told)) == told
    assert max(map(len, written)) <= large_texts.SLICE // 16
