from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.calibration.pairs import pairs_of

TRUTHS = st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=30)


@given(TRUTHS)
def test_correlations_are_pearsons_and_nothing_between_two_beats_either(
    truths: list[tuple[bool, bool, bool]],
) -> None:
    right = {name: [row[at] for row in truths] for at, name in enumerate("abc")}
    pairs = pairs_of(right)
    assert [pair.either for pair in pairs] == sorted([pair.either for pair in pairs], reverse=True)
    assert {frozenset((pair.first, pair.second)) for pair in pairs} == {
        frozenset("ab"), frozenset("ac"), frozenset("bc")
    }  # fmt: skip
    for pair in pairs:
        ours, theirs = right[pair.first], right[pair.second]
        assert np.mean(theirs) <= pair.best == np.mean(ours) <= pair.either
        if pair.correlation is None:
            assert len(set(ours)) == 1 or len(set(theirs)) == 1
        else:
            assert pair.correlation == pytest.approx(np.corrcoef(ours, theirs)[0, 1])


def test_two_that_are_wrong_at_other_times_come_before_two_that_are_better_and_agree() -> None:
    right = {
        "large": [True] * 8 + [False] * 2,
        "twin": [True] * 8 + [False] * 2,
        "other": [False] * 5 + [True] * 5,
    }
    first, *rest = pairs_of(right)
    assert {first.first, first.second} in ({"large", "other"}, {"twin", "other"})
    assert (first.either, first.correlation) == (1.0, pytest.approx(-0.5))
    assert rest[-1].correlation == pytest.approx(1.0)
