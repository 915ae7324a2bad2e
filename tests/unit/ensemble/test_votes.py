from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.engines.contract import LogProbs
from quorate.ensemble.alignments.tokens import TokenPredictor
from quorate.ensemble.member import Member, MemberPrompt
from quorate.ensemble.mixture import Mixture
from quorate.ensemble.votes import top_candidates, votes
from quorate.request import TopCandidate
from support.distributions import normalised, rows
from support.scripted_models import scripted_engine

FIRST = 5
PIECES = tuple(b"<%d>" % i for i in range(12))


def member(model: str) -> Member:
    engine = scripted_engine(model, pieces=["<0>", "<1>", "<2>"])
    return Member(model, engine, MemberPrompt((0,), 8), TokenPredictor(engine, (0,), 8))


def distribution(*probabilities: float) -> LogProbs:
    """A row of the three pieces behind the control tokens."""
    with np.errstate(divide="ignore"):
        return normalised(np.log([0.0] * FIRST + [*probabilities]))


def test_each_member_tells_its_favourite_and_what_it_thought_of_the_choice() -> None:
    members = [distribution(0.7, 0.2, 0.1), distribution(0.1, 0.3, 0.6)]
    first, second = votes([member("a"), member("b")], members, [0.25, 0.75], FIRST + 1)
    assert (first.model, first.piece, first.weight) == ("a", b"<0>", 0.25)
    assert (second.model, second.piece, second.weight) == ("b", b"<2>", 0.75)
    assert np.exp([first.logprob, first.chosen_logprob]) == pytest.approx([0.7, 0.2])
    assert np.exp([second.logprob, second.chosen_logprob]) == pytest.approx([0.6, 0.3])


def test_models_rows_and_weights_must_go_together() -> None:
    with pytest.raises(ValueError):
        votes([member("a")], [], [], 0)


@given(rows(1), st.integers(0, 20))
def test_top_candidates_descend_and_leave_nobody_better_out(
    drawn: list[LogProbs], count: int
) -> None:
    (row,) = drawn
    expected = sorted((-float(p), i) for i, p in enumerate(row) if p > -np.inf)[:count]
    assert top_candidates(Mixture.of(row), PIECES, count) == tuple(
        TopCandidate(i, PIECES[i], -negative) for negative, i in expected
    )
