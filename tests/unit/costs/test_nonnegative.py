from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.costs.nonnegative import Floats, solve_nonnegative


def objective(gram: Floats, moment: Floats, x: Floats) -> float:
    return float(x @ gram @ x - 2 * moment @ x)


def exhaustive(gram: Floats, moment: Floats) -> Floats:
    """The best of all sets of used features: what the active-set method must find."""
    size = len(moment)
    best = np.zeros(size)
    for count in range(1, size + 1):
        for chosen in combinations(range(size), count):
            used = list(chosen)
            x = np.zeros(size)
            x[used] = np.linalg.solve(gram[np.ix_(used, used)], moment[used])
            feasible = bool((x >= 0).all())
            if feasible and objective(gram, moment, x) < objective(gram, moment, best):
                best = x
    return best


@given(st.integers(0, 2**32), st.integers(1, 6))
def test_it_finds_the_best_of_all_active_sets(seed: int, size: int) -> None:
    random = np.random.default_rng(seed)
    rows = random.normal(size=(size + 2, size))
    gram = rows.T @ rows + 0.01 * np.eye(size)
    moment = random.normal(size=size)
    found = solve_nonnegative(gram, moment)
    expected = exhaustive(gram, moment)
    assert (found >= 0).all()
    assert objective(gram, moment, found) == pytest.approx(
        objective(gram, moment, expected), rel=1e-7, abs=1e-9
    )


def test_a_free_solution_without_negatives_is_kept() -> None:
    gram = np.array([[2.0, 0.5], [0.5, 1.0]])
    wanted = np.array([3.0, 4.0])
    assert solve_nonnegative(gram, gram @ wanted) == pytest.approx(wanted)


def test_a_feature_that_would_be_negative_is_zero_and_the_rest_fitted_again() -> None:
    gram = np.array([[1.0, 0.5], [0.5, 1.0]])
    moment = gram @ np.array([2.0, -1.0])
    assert solve_nonnegative(gram, moment) == pytest.approx([1.5, 0.0])


def test_where_nothing_helps_all_is_zero() -> None:
    assert solve_nonnegative(np.eye(3), np.array([-1.0, 0.0, -2.0])).tolist() == [0, 0, 0]
