from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.ensemble.hypotheses import END, SYMBOLS
from quorate.ensemble.utf8_guide import Utf8Guide

FLAT = np.full(SYMBOLS, -1.0, np.float32)


def allowed(guide: Utf8Guide) -> set[int]:
    return set(np.flatnonzero(guide.masked(FLAT) > -np.inf).tolist())


@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_every_text_is_allowed(text: str) -> None:
    guide = Utf8Guide()
    for byte in text.encode():
        assert byte in allowed(guide)
        guide.push(byte)
    assert END in allowed(guide)
    assert guide.missing == 0


@given(st.lists(st.floats(0, 1, exclude_max=True), max_size=60))
def test_whatever_walk_is_allowed_is_text_wherever_it_may_end(choices: list[float]) -> None:
    guide = Utf8Guide()
    walked = b""
    for choice in choices:
        options = sorted(allowed(guide) - {END})
        byte = options[int(choice * len(options))]
        assert (END in allowed(guide)) == (guide.missing == 0)
        guide.push(byte)
        walked += bytes((byte,))
    whole = walked[: len(walked) - _begun(walked, guide)]
    assert whole.decode("utf-8", errors="strict").encode() == whole


def _begun(walked: bytes, guide: Utf8Guide) -> int:
    """Bytes of a last code point that is not complete."""
    if not guide.missing:
        return 0
    return next(size for size in range(1, 4) if walked[-size] >= 0xC0)


def test_the_first_two_bytes_of_a_code_point_are_those_that_python_can_decode() -> None:
    for first in range(256):
        guide = Utf8Guide()
        decodable = _decodable(bytes((first,)))
        assert (first in allowed(guide)) == decodable
        if not decodable or first < 0x80:
            continue
        guide.push(first)
        seconds = {b for b in range(256) if _decodable(bytes((first, b)))}
        assert allowed(guide) == seconds


def _decodable(start: bytes) -> bool:
    """Whether some text begins so."""
    for tail in (b"", b"\x80", b"\xbf", b"\x80\x80", b"\xbf\xbf", b"\x80\x80\x80", b"\x90\x80\x80"):
        for middle in (b"", b"\x90", b"\xa0"):
            try:
                (start + middle + tail).decode("utf-8")
            except UnicodeDecodeError:
                continue
            return True
    return False


@pytest.mark.parametrize("start", [b"\xe2", b"\xe2\x82", b"\xf0\x9f", b"\xc3"])
def test_a_text_cannot_end_within_a_code_point(start: bytes) -> None:
    guide = Utf8Guide()
    for byte in start:
        guide.push(byte)
    assert END not in allowed(guide)


def test_what_is_allowed_keeps_its_log_prob_and_the_mixture_is_left_alone() -> None:
    mixture = np.linspace(-9, -1, SYMBOLS).astype(np.float32)
    before = mixture.copy()
    masked = Utf8Guide().masked(mixture)
    assert masked[ord("a")] == mixture[ord("a")]
    assert masked[0x80] == -np.inf
    assert np.array_equal(mixture, before)


def test_where_the_mixture_holds_nothing_that_may_come_all_that_may_is_as_probable() -> None:
    mixture = np.full(SYMBOLS, -np.inf, np.float32)
    mixture[0x80] = 0.0
    masked = Utf8Guide().masked(mixture)
    assert {float(value) for value in masked[[0, ord("a"), 0xC2, END]]} == {0.0}
    assert masked[0x80] == -np.inf
