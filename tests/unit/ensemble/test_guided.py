"""What is allowed of a mixture is found in its few most probable symbols, or in all of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.ensemble.guided import Allowed, Masked
from quorate.ensemble.mixture import Mixture
from quorate.sampling.peaks import Logits
from quorate.sampling.shortlist import Ranked, Shortlist, Whole

SIZE = 20_000


def masked(seed: int, share: float, possible: bool = True) -> tuple[Masked, Logits]:
    """A mixture of two rows of which a share is allowed, and what it is by brute force."""
    draw = np.random.default_rng(seed)
    every = draw.random(SIZE) < share
    every[draw.integers(SIZE)] = True
    rows = []
    for _ in range(2):
        row = draw.normal(0, 6, SIZE).astype(np.float32)
        if not possible:
            row[every] = -np.inf
        rows.append(row - np.float32(np.logaddexp.reduce(row.astype(np.float64))))
    whole = np.logaddexp(rows[0] + np.log(0.25), rows[1] + np.log(0.75)).astype(np.float32)
    allowed = Allowed(every)
    mixture: Ranked = Mixture(rows, [0.25, 0.75], lambda *_: whole)
    return Masked(mixture, allowed), np.where(every, whole, np.float32(-np.inf))


def listed(found: Shortlist) -> dict[int, float]:
    ids = range(SIZE) if found.ids is None else found.ids.tolist()
    return {at: value for at, value in zip(ids, found.logprobs.tolist(), strict=True)}


@given(
    st.integers(0, 2**32),
    st.sampled_from([0.0, 1e-3, 0.01, 0.3, 0.9, 1.0]),
    st.sampled_from([1, 5, 40, 1000]),
    st.lists(st.integers(0, SIZE - 1), max_size=5, unique=True),
)
def test_the_most_probable_of_what_is_allowed_are_listed_and_nothing_else_is_possible(
    seed: int, share: float, count: int, always: list[int]
) -> None:
    found, expected = masked(seed, share)
    ids = np.array(sorted(always), np.intp)
    shown = listed(found.shortlist(count, ids))
    others = np.delete(np.arange(SIZE), ids)
    best = others[np.argsort(-expected[others], kind="stable")][:count]
    for at in (*best.tolist(), *always):
        if expected[at] > -np.inf or at in always:
            assert shown[at] == pytest.approx(expected[at], abs=1e-5)
    for at, value in shown.items():
        assert value == pytest.approx(expected[at], abs=1e-5)


@given(st.integers(0, 2**32), st.sampled_from([0.0, 0.001, 0.5, 1.0]))
def test_the_best_is_the_best_of_what_is_allowed(seed: int, share: float) -> None:
    found, expected = masked(seed, share)
    assert found.best().best() == int(expected.argmax())


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_where_nothing_allowed_is_possible_all_of_it_is_as_probable(share: float) -> None:
    found, _ = masked(7, share, possible=False)
    every = {at for at, value in listed(Shortlist(None, found.row)).items() if value == 0.0}
    assert every
    chosen = found.best().best()
    assert chosen in every
    shown = {at for at, value in listed(found.shortlist(3)).items() if value > -np.inf}
    assert len(shown) >= min(3, len(every)) and shown <= every


def test_a_row_that_is_whole_is_masked_as_well() -> None:
    row = np.log(np.array([0.5, 0.3, 0.2], np.float32))
    found = Masked(Whole(row), Allowed(np.array([False, True, True])))
    assert found.row.tolist() == [-np.inf, row[1], row[2]]
    assert found.best().best() == 1


def test_what_one_row_alone_finds_probable_does_not_pass_for_what_both_do() -> None:
    rows = [np.full(SIZE, -40.0, np.float32) for _ in range(2)]
    for row in rows:
        row[:64] = np.linspace(-2.0, -3.0, 64)
        row[200] = -3.01
    rows[0][100], rows[1][100] = -2.9, -np.inf
    every = np.zeros(SIZE, bool)
    every[[100, 200]] = True
    mixture = Mixture(rows, [0.5, 0.5], lambda *_: np.logaddexp(*rows) + np.float32(np.log(0.5)))
    assert Masked(mixture, Allowed(every)).best().best() == 200
