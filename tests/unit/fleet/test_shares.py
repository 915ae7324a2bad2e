from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.fleet.shares import compute_at_once, divided_cores, division_pays, limited_cores

MODELS = st.dictionaries(st.text(max_size=2), st.none() | st.integers(1, 70), max_size=8)
CORES = st.sets(st.integers(0, 63), min_size=1).map(sorted)


@given(CORES, MODELS)
def test_each_model_has_all_cores_or_as_many_as_its_limit_says(available, wanted):
    dealt = limited_cores(available, wanted)

    assert list(dealt) == list(wanted)
    for model, most in wanted.items():
        assert len(dealt[model]) == min(most or len(available), len(available))
        assert list(dealt[model]) == sorted(set(dealt[model]) & set(available))


@given(CORES, st.dictionaries(st.text(max_size=2), st.integers(1, 70), max_size=8))
def test_limits_that_fit_beside_each_other_share_no_core(available, limits):
    dealt = [core for cores in limited_cores(available, limits).values() for core in cores]

    if sum(limits.values()) <= len(available):
        assert len(dealt) == len(set(dealt))


@given(CORES, MODELS.filter(bool), st.data())
def test_a_division_gives_everyone_cores_of_its_own(available, wanted, data):
    work = {model: data.draw(st.floats(0.0, 1e3)) for model in wanted}

    shares = divided_cores(available, wanted, work)

    if len(available) < len(wanted):
        assert shares is None
        return
    assert shares is not None
    dealt = [core for cores in shares.values() for core in cores]
    assert len(dealt) == len(set(dealt))
    assert set(dealt) <= set(available)
    for model, most in wanted.items():
        assert 1 <= len(shares[model]) <= (most or len(available))
    if None in wanted.values():
        assert len(dealt) == len(available)


@given(st.integers(1, 16), st.lists(st.floats(0.01, 100.0), min_size=1, max_size=5))
def test_no_division_into_whole_cores_makes_the_slowest_faster(extra, costs):
    work = {str(index): cost for index, cost in enumerate(costs)}
    shares = divided_cores(range(len(costs) + extra), dict.fromkeys(work), work)
    assert shares is not None

    slowest = max(work, key=lambda model: work[model] / len(shares[model]))

    # Whoever gave it a core would be slower than it is now, or as slow.
    now = work[slowest] / len(shares[slowest])
    for model, cores in shares.items():
        if model != slowest and len(cores) > 1:
            assert work[model] / (len(cores) - 1) >= now * (1 - 1e-9)


@pytest.mark.parametrize(
    ("counts", "work", "pays"),
    [
        ((1, 1), (2.0, 2.0), True),
        ((1, 1), (2.0, 0.9), False),
        ((3, 1), (6.0, 2.0), True),
        ((2, 2), (6.0, 2.0), False),
        ((1, 1, 1), (3.0, 3.0, 2.7), True),
    ],
)
def test_a_division_pays_where_shares_are_not_lopsided(counts, work, pays):
    total = sum(counts)
    shares = {str(index): range(count) for index, count in enumerate(counts)}
    by_model = {str(index): one for index, one in enumerate(work)}
    in_turn = {model: one / total for model, one in by_model.items()}

    assert division_pays(shares, by_model, in_turn) is pays


@pytest.mark.parametrize(
    ("computed", "waited", "at_once"),
    [
        # In lock-step: the second waits for the first.
        ((1.0, 1.0), (0.0, 1.0), True),
        ((1.0, 1.0, 1.0), (0.0, 1.0, 2.0), True),
        # Streams that never wait for each other's answers wait for each other's steps.
        ((1.0, 1.0), (1.0, 1.0), True),
        # One drafts, two verify at once.
        ((1.0, 1.0, 1.0), (0.0, 0.0, 1.0), False),
        ((1.0, 1.0), (0.0, 0.0), False),
        ((1.0, 1.0), (0.1, 0.1), False),
    ],
)
def test_who_waits_for_others_shows_that_they_compute_at_once(computed, waited, at_once):
    names = "abc"

    assert (
        compute_at_once(
            dict(zip(names, computed, strict=False)), dict(zip(names, waited, strict=False))
        )
        is at_once
    )
