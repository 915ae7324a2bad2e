from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.engines.contract import LogProbs
from quorate.sampling.candidates import descend, largest, truncate
from quorate.sampling.coupling import Distribution, Truncation
from support.distributions import normalised, random_row, rows


def full_sort(row: LogProbs) -> list[int]:
    order = np.lexsort((np.arange(len(row)), -row.astype(np.float64)))
    return [int(i) for i in order if row[i] > -np.inf]


@given(
    st.integers(1, 3000),
    st.integers(0, 2**32),
    st.sampled_from([0, 1, 3]),
    st.sampled_from([0.0, 0.5, 0.99]),
    st.integers(0, 3100),
)
def test_largest_equals_a_full_sort(
    size: int, seed: int, decimals: int, impossible: float, count: int
) -> None:
    generator = np.random.default_rng(seed)
    row = generator.normal(size=size).round(decimals).astype(np.float32)
    row[generator.random(size) < impossible] = -np.inf
    assert largest(row, count).tolist() == full_sort(row)[:count]


@pytest.mark.parametrize("count", [1, 40, 384, 385, 5000, 49_152])
def test_largest_equals_a_full_sort_over_a_whole_vocabulary(count: int) -> None:
    row = random_row(49_152, 5).round(2)
    assert largest(row, count).tolist() == full_sort(row)[:count]


@given(rows(1), st.integers(1, 12), st.integers(0, 12), st.floats(0.01, 1), st.floats(0, 1))
def test_a_larger_limit_keeps_all_that_a_smaller_one_keeps(
    drawn: list[LogProbs], k: int, more: int, top_p: float, min_p: float
) -> None:
    (row,) = drawn
    kept = truncate(row, k, top_p, min_p).tolist()
    assert 1 <= len(kept) <= k
    assert set(kept) <= set(truncate(row, k + more, top_p, min_p).tolist())
    assert set(kept) <= set(truncate(row, k, top_p, min_p / 2).tolist())
    assert set(kept) <= set(truncate(row, k, (1 + top_p) / 2, min_p).tolist())


def test_the_nucleus_is_the_fewest_candidates_that_reach_top_p() -> None:
    row = normalised(np.log([0.5, 0.3, 0.15, 0.05]))
    assert truncate(row, 0, 0.45, 0.0).tolist() == [0]
    assert truncate(row, 0, 0.79, 0.0).tolist() == [0, 1]
    assert truncate(row, 0, 0.81, 0.0).tolist() == [0, 1, 2]


def test_top_p_counts_shares_of_what_top_k_kept() -> None:
    row = normalised(np.log([0.5, 0.3, 0.15, 0.05]))
    assert truncate(row, 2, 0.62, 0.0).tolist() == [0]
    assert truncate(row, 0, 0.62, 0.0).tolist() == [0, 1]


def test_min_p_is_a_share_of_the_best_candidate() -> None:
    row = normalised(np.log([0.15, 0.5, 0.05, 0.3]))
    assert truncate(row, 0, 1.0, 0.29).tolist() == [1, 3, 0]
    assert truncate(row, 0, 1.0, 0.31).tolist() == [1, 3]
    assert truncate(row, 0, 1.0, 1.0).tolist() == [1]


@given(rows(1), st.floats(0, 1, exclude_max=True), st.floats(0.1, 3))
def test_descending_to_a_share_draws_as_from_all_candidates(
    drawn: list[LogProbs], share: float, temperature: float
) -> None:
    (row,) = drawn
    everything = largest(row, len(row))
    mass = np.exp(row[everything].astype(np.float64) / temperature).cumsum()
    index = everything.tolist().index(int(descend(row, temperature, share)[-1]))
    assert mass[index] >= (share - 1e-6) * mass[-1]
    assert index == 0 or mass[index - 1] <= (share + 1e-6) * mass[-1]


def test_a_flat_vocabulary_can_be_drawn_from_to_its_end() -> None:
    row = normalised(np.zeros(49_152))
    assert descend(row, 1.0, 0.0).tolist() == [0]
    assert descend(row, 1.0, 0.5)[-1] == 24_575
    assert descend(row, 1.0, 1.0)[-1] == 49_151


def test_a_draw_never_gives_an_impossible_token() -> None:
    row = normalised([0.0, -np.inf, -2000.0])
    assert Distribution(row, Truncation(1.0, 2, 1.0, 0.0)).draw(1.0) == 0
    assert descend(row, 1.0, 1.0).tolist() == [0]
