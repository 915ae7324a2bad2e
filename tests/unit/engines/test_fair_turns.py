"""Whose turn it is: against arrivals, turns and departures in any order."""

from __future__ import annotations

from collections import Counter
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from quorate.engines.fair_turns import Caller, FairTurns, kept_free

NAMES = ("a", "b", "c")
WEIGHTS = {"a": 1.0, "b": 2.0, "c": 4.0}


def caller(name: str, weight: float = 1.0) -> Caller:
    return Caller(name, weight)


def served(turns: FairTurns[int], how_many: int, cost: float = 1.0) -> list[str]:
    """Whose turns are the next ones, while each takes as long as it was expected to."""
    order = []
    for _ in range(how_many):
        whose, waiter = next(turns.heads())
        turns.leave(whose, waiter)
        turns.begin(whose, cost)
        turns.end(whose)
        order.append(whose.name)
    return order


def backlog(**weights: float) -> FairTurns[int]:
    """Everybody has more waiting than will be served."""
    turns: FairTurns[int] = FairTurns()
    number = count()
    for name, weight in weights.items():
        for _ in range(1000):
            turns.wait(caller(name, weight), next(number))
    return turns


def test_of_one_caller_who_came_first_is_first() -> None:
    turns: FairTurns[int] = FairTurns()
    for waiter in (3, 1, 2):
        turns.wait(caller("a"), waiter)
    order = []
    for _ in range(3):
        whose, waiter = next(turns.heads())
        turns.leave(whose, waiter)
        order.append(waiter)
    assert order == [3, 1, 2]


def test_one_with_a_thousand_waiting_delays_the_first_of_another_by_one_turn_at_most() -> None:
    turns = backlog(hog=1.0)
    served(turns, 500)
    turns.wait(caller("late"), -1)
    assert "late" in served(turns, 2)


@given(st.lists(st.sampled_from([0.5, 1.0, 2.0, 3.0]), min_size=2, max_size=4))
@settings(deadline=None, max_examples=30)
def test_turns_go_by_weight(weights: list[float]) -> None:
    turns = backlog(**{str(index): weight for index, weight in enumerate(weights)})
    rounds = 40
    got = Counter(served(turns, round(rounds * sum(weights))))
    for index, weight in enumerate(weights):
        assert abs(got[str(index)] - rounds * weight) <= len(weights) / min(weights)


def test_whose_turns_take_longer_than_expected_gets_fewer() -> None:
    turns = backlog(long=1.0, short=1.0)
    order = []
    for _ in range(400):
        whose, waiter = next(turns.heads())
        turns.leave(whose, waiter)
        turns.begin(whose, 1.0)
        turns.end(whose, 2.0 if whose.name == "long" else 0.0)
        order.append(whose.name)
    assert Counter(order)["short"] == pytest.approx(300, abs=3)


def test_who_was_away_has_saved_nothing_up() -> None:
    turns = backlog(stays=1.0)
    served(turns, 300)
    for waiter in range(-100, 0):
        turns.wait(caller("back"), waiter)
    assert Counter(served(turns, 100))["stays"] == pytest.approx(50, abs=1)


def test_whoever_has_most_waiting_by_weight_loses_the_last_that_came() -> None:
    turns: FairTurns[int] = FairTurns()
    for waiter in range(5):
        turns.wait(caller("many"), waiter)
    for waiter in range(10, 18):
        turns.wait(caller("heavy", 4.0), waiter)
    assert turns.last_of_longest(caller("few")) == (caller("many"), 4)
    assert turns.last_of_longest(caller("many")) is None


def test_others_are_expected_for_a_minute_after_they_were_there() -> None:
    now = [0.0]
    turns: FairTurns[int] = FairTurns(lambda: now[0])
    turns.begin(caller("a"), 1.0)
    assert not turns.contended(caller("a"))
    turns.begin(caller("b"), 1.0)
    now[0] = 100.0
    assert turns.contended(caller("a"))
    turns.end(caller("b"))
    assert not turns.contended(caller("a"))
    assert turns.contended(Caller("a", shares=True))


@pytest.mark.parametrize(("places", "kept"), [(1, 0), (3, 0), (4, 1), (8, 1), (64, 8), (4096, 512)])
def test_an_eighth_is_kept_free_where_there_are_some_places(places: int, kept: int) -> None:
    assert kept_free(places) == kept


def test_callers_who_are_gone_are_forgotten() -> None:
    turns: FairTurns[int] = FairTurns()
    for number in range(5000):
        turns.begin(caller(str(number)), 1.0)
        turns.end(caller(str(number)))
    assert len(turns._accounts) <= 1025


class AnyOrder(RuleBasedStateMachine):
    """Callers come, have turns and go away in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.turns: FairTurns[int] = FairTurns()
        self.number = count()
        self.waiting: dict[int, str] = {}
        self.running: list[str] = []
        self.passed_over: Counter[int] = Counter()

    def whose(self, name: str) -> Caller:
        return caller(name, WEIGHTS[name])

    @rule(name=st.sampled_from(NAMES))
    def comes(self, name: str) -> None:
        waiter = next(self.number)
        self.turns.wait(self.whose(name), waiter)
        self.waiting[waiter] = name

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def goes_away(self, data: st.DataObject) -> None:
        waiter = data.draw(st.sampled_from(sorted(self.waiting)))
        self.turns.leave(self.whose(self.waiting.pop(waiter)), waiter)

    @precondition(lambda self: self.waiting)
    @rule(cost=st.floats(0.5, 2.0))
    def has_its_turn(self, cost: float) -> None:
        whose, waiter = next(self.turns.heads())
        assert waiter == min(one for one, name in self.waiting.items() if name == whose.name)
        self.turns.leave(whose, waiter)
        self.turns.begin(whose, cost)
        del self.waiting[waiter]
        self.running.append(whose.name)
        # Nobody starves: what others may have before a head is bounded by weights and costs.
        heads = {name: one for one, name in sorted(self.waiting.items(), reverse=True)}
        self.passed_over = Counter({one: self.passed_over[one] + 1 for one in heads.values()})
        assert not self.passed_over or max(self.passed_over.values()) <= 60

    @precondition(lambda self: self.running)
    @rule(more=st.floats(-0.5, 2.0), data=st.data())
    def ends(self, more: float, data: st.DataObject) -> None:
        name = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.turns.end(self.whose(name), more)

    @invariant()
    def knows_who_is_there(self) -> None:
        assert self.turns.waiting == len(self.waiting)
        assert {waiter for _, waiter in self.turns.everyone()} == set(self.waiting)
        assert {whose.name for whose, _ in self.turns.heads()} == set(self.waiting.values())
        for name in NAMES:
            assert self.turns.running_of(self.whose(name)) == self.running.count(name)


AnyOrder.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
TestAnyOrder = AnyOrder.TestCase
