from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.engines.vocabulary import END
from quorate.ensemble.alignments.bytes.hypotheses import SYMBOLS
from quorate.ensemble.alignments.bytes.utf8 import Utf8Constraint
from quorate.sampling.shortlist import Whole

FLAT = np.full(SYMBOLS, -1.0, np.float32)


def allowed(constraint: Utf8Constraint) -> set[int]:
    return set(np.flatnonzero(constraint.mask(Whole(FLAT)).row > -np.inf).tolist())


@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_every_text_is_allowed(text: str) -> None:
    constraint = Utf8Constraint()
    for byte in text.encode():
        assert byte in allowed(constraint)
        constraint.accept(byte)
    assert END in allowed(constraint)
    assert constraint.missing == 0


@given(st.lists(st.floats(0, 1, exclude_max=True), max_size=60))
def test_whatever_walk_is_allowed_is_text_wherever_it_may_end(choices: list[float]) -> None:
    constraint = Utf8Constraint()
    walked = b""
    for choice in choices:
        options = sorted(allowed(constraint) - {END})
        byte = options[int(choice * len(options))]
        assert (END in allowed(constraint)) == (constraint.missing == 0)
        constraint.accept(byte)
        walked += bytes((byte,))
    whole = walked[: len(walked) - _begun(walked, constraint)]
    assert whole.decode("utf-8", errors="strict").encode() == whole


def _begun(walked: bytes, constraint: Utf8Constraint) -> int:
    """Bytes of a last code point that is not complete."""
    if not constraint.missing:
        return 0
    return next(size for size in range(1, 4) if walked[-size] >= 0xC0)


def test_the_first_two_bytes_of_a_code_point_are_those_that_python_can_decode() -> None:
    for first in range(256):
        constraint = Utf8Constraint()
        decodable = _decodable(bytes((first,)))
        assert (first in allowed(constraint)) == decodable
        if not decodable or first < 0x80:
            continue
        constraint.accept(first)
        seconds = {b for b in range(256) if _decodable(bytes((first, b)))}
        assert allowed(constraint) == seconds


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
    constraint = Utf8Constraint()
    for byte in start:
        constraint.accept(byte)
    assert END not in allowed(constraint)


def test_what_is_allowed_keeps_its_log_prob_and_the_mixture_is_left_alone() -> None:
    mixture = np.linspace(-9, -1, SYMBOLS).astype(np.float32)
    before = mixture.copy()
    mask = Utf8Constraint().mask(Whole(mixture)).row
    assert mask[ord("a")] == mixture[ord("a")]
    assert mask[0x80] == -np.inf
    assert np.array_equal(mixture, before)


def test_where_the_mixture_holds_nothing_that_may_come_all_that_may_is_as_probable() -> None:
    mixture = np.full(SYMBOLS, -np.inf, np.float32)
    mixture[0x80] = 0.0
    mask = Utf8Constraint().mask(Whole(mixture)).row
    assert {float(value) for value in mask[[0, ord("a"), 0xC2, END]]} == {0.0}
    assert mask[0x80] == -np.inf
