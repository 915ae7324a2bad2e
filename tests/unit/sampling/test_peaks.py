from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.sampling.peaks import Logits, Peaks, best_of
from support.distributions import maxima_of


@st.composite
def rows_alike(draw: st.DrawFn) -> list[Logits]:
    """Rows of one length, with ties within and between them, and entries of -inf."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    size, decimals = draw(st.integers(1, 1500)), draw(st.sampled_from([0, 1, 7]))
    drawn = []
    for _ in range(draw(st.integers(1, 3))):
        row = generator.normal(size=size).round(decimals).astype(np.float32)
        row[generator.random(size) < draw(st.sampled_from([0.0, 0.5]))] = -np.inf
        # One that all may agree on.
        row[size // 3] = draw(st.sampled_from([0.0, 9.0]))
        drawn.append(row)
    return drawn


@given(rows_alike())
def test_the_largest_entry_is_the_first_of_equals_with_maxima_and_without(
    drawn: list[Logits],
) -> None:
    for row in drawn:
        assert best_of(row) == best_of(row, maxima_of(row)) == int(row.argmax())


@pytest.mark.parametrize("at", [0, 700, 1499])
def test_of_numbers_and_no_number_the_largest_is_no_number(at: int) -> None:
    row = np.arange(1500, dtype=np.float32)
    row[at] = np.nan
    assert best_of(row, maxima_of(row)) == at


@given(rows_alike(), st.integers(1, 1600), st.floats(-2, 0, width=32), st.booleans())
def test_as_many_entries_as_asked_for_reach_a_bound_and_all_that_do_are_found(
    drawn: list[Logits], count: int, share: float, told: bool
) -> None:
    peaks = Peaks(drawn, [*map(maxima_of, drawn)] if told else ())
    shares = [0.0, share, share][: len(drawn)]
    bound = peaks.bound(count, shares)
    best = np.max([row + np.float32(one) for row, one in zip(drawn, shares, strict=True)], axis=0)
    assert np.count_nonzero(best >= bound) >= min(count, len(best))
    reached = np.max(drawn, axis=0) >= max(bound, np.finfo(np.float32).min)
    assert peaks.reaching(bound).tolist() == reached.nonzero()[0].tolist()
