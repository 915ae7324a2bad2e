"""Answers that vote: who wins, whatever the order, and when that is settled."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.ensemble.ballot import Ballot

READINGS = st.sampled_from(["a", "b", "c", None])
WEIGHTS = st.sampled_from([0.0, 0.1, 0.2, 0.3, 1 / 3, 0.5, 1.0])
VOTES = st.lists(st.tuples(WEIGHTS, READINGS), min_size=1, max_size=5)


def winner(votes: Sequence[tuple[float, str | None]], order: Sequence[int]) -> str | None:
    ballot = Ballot([weight for weight, _ in votes])
    for voter in order:
        ballot.cast(voter, votes[voter][1])
    assert ballot.settled
    return ballot.groups[0].reading if ballot.groups else None


@given(VOTES, st.randoms(use_true_random=False))
def test_the_order_in_which_answers_come_changes_nothing(votes: list, random) -> None:
    order = list(range(len(votes)))
    first = winner(votes, order)
    random.shuffle(order)
    assert winner(votes, order) == first


@given(VOTES, st.data())
def test_what_is_settled_no_later_answer_changes(votes: list, data) -> None:
    order = data.draw(st.permutations(range(len(votes))))
    ballot = Ballot([weight for weight, _ in votes])
    for came, voter in enumerate(order):
        ballot.cast(voter, votes[voter][1])
        coming = order[came + 1 :]
        # Whatever they say: what anybody said, what nobody did, or nothing.
        endings = {
            winner([(w, said.get(v, r)) for v, (w, r) in enumerate(votes)], range(len(votes)))
            for answers in product(["a", "b", "c", "new", None], repeat=len(coming))
            for said in [dict(zip(coming, answers, strict=True))]
        }
        assert not ballot.settled or endings == {
            ballot.groups[0].reading if ballot.groups else None
        }


def test_the_heaviest_group_wins_and_of_equal_ones_that_of_the_first_voter() -> None:
    ballot = Ballot([0.1, 0.1, 0.1, 0.3])
    for voter, reading in enumerate(["x", "y", "y", "x"]):
        ballot.cast(voter, reading)
    assert [(one.reading, one.answers) for one in ballot.groups] == [("x", (0, 3)), ("y", (1, 2))]
    tied = Ballot([0.1, 0.2, 0.3])
    for voter, reading in ((2, "x"), (1, "y"), (0, "y")):
        tied.cast(voter, reading)
    # 0.1 + 0.2 is more than 0.3 as floats, and no vote is to be won by that.
    assert tied.groups[0].reading == "y" and tied.tied
    equal = Ballot([0.5, 0.5])
    equal.cast(1, "x")
    assert not equal.settled
    equal.cast(0, "y")
    assert equal.tied and equal.groups[0].reading == "y"


def test_a_majority_settles_it_and_so_does_who_withdraws() -> None:
    ballot = Ballot([1, 1, 1, 1, 1])
    for voter in (0, 1):
        ballot.cast(voter, "x")
    assert not ballot.settled
    ballot.withdraw(4)
    # Two against two at most, and the first voter is among these.
    assert ballot.settled
    assert ballot.groups[0].weight == 2


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_an_answer_may_weigh_less_than_its_voter(share: float) -> None:
    ballot = Ballot([1.0, 0.6])
    ballot.cast(0, "sure", share)
    assert not ballot.settled
    ballot.cast(1, "surer")
    assert ballot.groups[0].reading == "surer"


def test_one_voter_is_its_answer_and_nobody_is_none() -> None:
    one = Ballot([1.0])
    one.cast(0, "x")
    assert one.settled and one.groups[0].answers == (0,)
    nobody = Ballot([1.0, 1.0])
    nobody.cast(0, None)
    nobody.withdraw(1)
    assert nobody.settled and not nobody.groups
