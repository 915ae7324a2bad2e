from __future__ import annotations

import itertools
import os
import re

import pytest

from quorate.engines.worker.affinity import places
from quorate.engines.worker.turns import Turns, TurnTaker
from support.turn_takers import turn_processes


def test_who_computes_alone_waits_for_nobody():
    with turn_processes((0, 1)) as (lone,):
        assert lone.take() == 0.0
        # It has them already.
        assert lone.take() == 0.0
        assert lone.ask("end") == ["ended"]


@pytest.mark.parametrize(
    ("first", "second"), [((0, 1), (0, 1)), ((0, 1, 2), (2,)), (places(2), places(1))]
)
def test_models_with_the_same_cores_compute_one_after_the_other(first, second):
    with turn_processes(first, second) as (one, other):
        one.take()
        other.send("take")
        assert other.is_silent()
        one.ask("end")

        word, waited = other.hear()

        assert word == "taken"
        assert float(waited) > 0.2
        # While it waited it told that it was alive.
        assert int(other.ask("ticks")[1]) >= 2


@pytest.mark.parametrize(("first", "second"), [((0,), (1,)), ((0, 2), (1, 3)), (places(1), (0,))])
def test_models_with_different_cores_compute_at_the_same_time(first, second):
    with turn_processes(first, second) as (one, other):
        assert one.take() == 0.0
        assert other.take() == 0.0


def test_nobody_comes_past_who_is_next(tmp_path):
    log = tmp_path / "log"
    with turn_processes((0, 1), (0, 1), (0, 1), log=str(log)) as (first, *others):
        first.take()
        for other in others:
            other.send("rounds 100")
        first.ask("end")
        for other in others:
            assert other.hear() == ["done"]

    turns = [len(list(run)) for _, run in itertools.groupby(log.read_text())]

    assert sum(turns) == 200
    # One that the machine does not wake in time misses a turn; else they alternate.
    assert len(turns) > 100


def test_a_model_that_dies_in_its_turn_holds_up_nobody():
    with turn_processes((0, 1), (0, 1)) as (dies, other):
        dies.take()
        other.send("take")
        assert other.is_silent(0.1)

        dies.kill()

        assert other.hear(1.0)[0] == "taken"


def test_models_take_turns_without_one_that_was_stopped_in_its_own():
    with turn_processes((0, 1), (0, 1), (0, 1)) as (stopped, one, other):
        stopped.take()
        stopped.stop()

        assert one.take() < 1.0
        other.send("take")
        assert other.is_silent(0.4)
        one.ask("end")
        assert other.hear()[0] == "taken"
        # For a while nobody waits for it again.
        other.ask("end")
        assert one.take() < 0.05
        one.ask("end")

        stopped.go_on()
        assert stopped.ask("end") == ["ended"]
        assert one.take() == 0.0
        stopped.send("take")
        assert stopped.is_silent()
        one.ask("end")
        assert stopped.hear()[0] == "taken"


def test_models_take_turns_without_one_that_does_not_end():
    with turn_processes((0,), (0,), (0,), patience=0.4) as (endless, one, other):
        endless.take()

        assert 0.3 < one.take() < 2.0
        other.send("take")
        assert other.is_silent(0.3)
        one.ask("end")
        assert other.hear()[0] == "taken"


def test_less_and_less_is_waited_for_those_that_do_not_end():
    with turn_processes((0,), (0,), patience=0.4) as (endless, one):
        endless.take()
        waits = []
        for _ in range(4):
            waits.append(one.take())
            one.ask("end")
            # As it were another process.
            endless.ask("end")
            endless.take()

        assert waits[0] > 0.3
        assert sum(waits) < 1.5


def test_a_model_that_is_given_other_cores_ends_its_turn():
    with turn_processes((0, 1), (0, 1)) as (one, other):
        one.take()
        assert one.ask("move 1") == ["moved", "1"]
        assert other.take() == 0.0
        one.send("take")
        assert one.is_silent()
        assert other.ask("move 0") == ["moved", "1"]
        assert one.hear()[0] == "taken"
        assert other.take() == 0.0


def test_company_is_known_as_long_as_it_lives():
    with turn_processes((0,), (1,)) as (one, other):
        assert one.ask("company") == ["company", "True"]
        other.kill()
        assert one.ask("company") == ["company", "False"]


def test_a_model_that_uses_no_cores_takes_no_turns():
    with turn_processes((), (0, 1)) as (none, other):
        assert other.take() == 0.0
        assert none.take() == 0.0
        assert none.ask("move 0 1") == ["moved", "0"]
        assert none.take() == 0.0
        assert other.ask("company") == ["company", "False"]


def test_nothing_can_be_written_to_what_workers_share():
    turns = Turns()
    with pytest.raises(PermissionError, match=re.escape("Operation not permitted")):
        os.write(turns.descriptor, b"x")
    with pytest.raises(PermissionError):
        os.ftruncate(turns.descriptor, 1)
    assert TurnTaker(turns.descriptor, (0, 3, 1), lambda: None).cores == 3


def test_a_model_that_computes_is_waited_for_longer_than_one_that_does_not():
    with turn_processes((0,), (0,)) as (computes, one):
        computes.take()
        computes.send("compute 1.6")

        one.send("take")

        assert computes.hear() == ["computed"]
        assert one.is_silent(0.1)
        assert float(one.hear()[1]) > 0.5


def test_who_waits_behind_the_next_one_judges_by_the_one_that_computes():
    with turn_processes((0,), (0,), (0,)) as (computes, one, other):
        computes.take()
        computes.send("compute 1.6")
        one.send("take")
        assert one.is_silent(0.1)
        other.send("take")

        assert computes.hear() == ["computed"]
        assert other.is_silent(0.1)
        computes.ask("end")
        first = one.hear()
        assert first[0] == "taken"
        assert other.is_silent(0.1)
