from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.engines.shared_rows import WorkDone
from quorate.engines.worker.affinity import pin_all_threads, places
from quorate.engines.worker.statuses import Activity
from quorate.fleet.cores import CoreClaims, Cores
from quorate.fleet.placement import Placement


def test_without_proc_the_calling_thread_is_pinned(monkeypatch):
    def absent(path):
        raise FileNotFoundError(path)

    pinned = []
    monkeypatch.setattr("os.listdir", absent)
    monkeypatch.setattr("os.sched_setaffinity", lambda *call: pinned.append(call))

    pin_all_threads([1])

    assert pinned == [(threading.get_native_id(), {1})]


def test_threads_that_are_pinned_no_more_go_back_to_what_the_process_began_with(monkeypatch):
    pinned = []
    monkeypatch.setattr("os.sched_setaffinity", lambda task, cores: pinned.append(cores))

    pin_all_threads(places(2))

    assert set(map(frozenset, pinned)) == {frozenset(os.sched_getaffinity(0))}


def test_threads_stay_where_they_are_when_a_cpuset_has_lost_their_cores(monkeypatch):
    def refuse(task, cores):
        raise OSError(errno.EINVAL, "no such core")

    monkeypatch.setattr("os.sched_setaffinity", refuse)

    pin_all_threads([4095])


class Machine:
    """A placement with models whose work is told by hand."""

    def __init__(self, cores: Cores | range | tuple[int, ...], claims: CoreClaims | None = None):
        self.placement = Placement(cores, claims)
        self.now = 0.0
        self.cores: dict[str, tuple[int, ...]] = {}
        self.told: list[tuple[str, tuple[int, ...]]] = []
        self.activities: dict[str, Activity] = {}

    def load(self, **wanted: int | None) -> Machine:
        for model, most in wanted.items():
            self.activities[model] = Activity()
            self.placement.add(
                model, most, lambda cores, m=model: self._move(m, cores), self._activity(model)
            )
        for model in wanted:
            self.cores[model] = self.placement.enter(model)
        self.told.clear()
        return self

    def review(self) -> float:
        return self.placement.review(self.now)

    def work(self, model: str, computed: float = 0.0, waited: float = 0.0, steps: int = 1) -> None:
        """Has a model do something on its cores, with a session open."""
        done = self.activities[model].done
        self.activities[model] = Activity(
            WorkDone(
                done.steps + steps,
                done.computed_seconds + computed,
                done.core_seconds + computed * len(self.cores[model]),
                done.waited_seconds + waited,
            ),
            sessions=1,
        )

    def rest(self, *models: str) -> None:
        for model in models:
            self.activities[model] = Activity(self.activities[model].done)

    def lockstep(
        self, seconds: float, alternate: bool = False, serial: float = 0.0, **costs: float
    ) -> None:
        """Has models compute step after step, all at once or one behind the other.

        Args:
            seconds: For how long.
            alternate: Whether one is only asked when the last has answered.
            serial: Share of each cost that no core but the first takes off.
            costs: Model -> core-seconds of a step.
        """
        end = self.now + seconds
        while self.now < end:
            took = {
                model: cost * (serial + (1 - serial) / len(self.cores[model]))
                for model, cost in costs.items()
            }
            busy: dict[int, float] = {}
            for model, own in took.items():
                waited = max((busy.get(core, 0.0) for core in self.cores[model]), default=0.0)
                busy |= dict.fromkeys(self.cores[model], waited + own)
                self.work(model, own, 0.0 if alternate else waited)
            self.now += sum(took.values()) if alternate else max(busy.values())
            self.review()

    def _move(self, model: str, cores: tuple[int, ...]) -> None:
        self.cores[model] = cores
        self.told.append((model, cores))

    def _activity(self, model: str) -> Callable[[], Activity]:
        return lambda: self.activities[model]


def test_idle_models_take_nothing_from_the_one_that_works():
    machine = Machine((0, 1, 2)).load(a=None, b=None, c=None)

    machine.lockstep(5.0, a=0.1)

    assert machine.cores == {"a": (0, 1, 2), "b": (0, 1, 2), "c": (0, 1, 2)}
    assert machine.told == []


def test_limits_hold_and_models_that_have_one_are_kept_apart():
    machine = Machine((0, 1, 2, 3)).load(a=1, b=None, c=2, d=9)

    assert machine.cores == {"a": (0,), "b": (0, 1, 2, 3), "c": (1, 2), "d": (0, 1, 2, 3)}


def test_equal_members_that_compute_at_once_get_cores_of_their_own():
    machine = Machine((0, 1)).load(a=None, b=None)

    machine.lockstep(2.0, a=0.01, b=0.01, serial=0.6)

    assert machine.cores == {"a": (0,), "b": (1,)}


def test_cores_are_divided_in_proportion_to_what_steps_cost():
    machine = Machine(range(8)).load(a=None, b=None, c=2)

    machine.lockstep(3.0, a=0.2, b=0.1, c=0.1)

    assert {model: len(cores) for model, cores in machine.cores.items()} == {"a": 4, "b": 2, "c": 2}
    dealt = [core for cores in machine.cores.values() for core in cores]
    assert sorted(dealt) == list(range(8))


@pytest.mark.parametrize(
    ("cores", "costs"),
    [(2, {"a": 0.2, "b": 0.08}), (4, {"a": 0.2, "b": 0.1}), (2, {"a": 0.1, "b": 0.1, "c": 0.1})],
)
def test_members_whose_shares_would_be_lopsided_or_too_few_take_turns(cores, costs):
    machine = Machine(range(cores)).load(**dict.fromkeys(costs))

    machine.lockstep(5.0, **costs)

    assert machine.told == []


def test_who_drafts_and_who_verifies_keep_all_cores():
    machine = Machine((0, 1)).load(a=None, b=None)

    machine.lockstep(5.0, a=0.05, b=0.05, alternate=True)

    assert machine.told == []


def test_who_is_left_has_the_whole_machine_within_50_ms():
    machine = Machine((0, 1)).load(a=None, b=None)
    machine.lockstep(2.0, a=0.01, b=0.01, serial=0.6)
    assert machine.cores["a"] == (0,)

    machine.rest("b")
    machine.now += machine.review()
    machine.review()

    assert machine.review() <= 0.1
    assert machine.cores == {"a": (0, 1), "b": (0, 1)}
    assert machine.placement.review(machine.now) <= 0.1


def test_models_that_work_together_again_share_as_they_did():
    machine = Machine((0, 1)).load(a=None, b=None)
    machine.lockstep(2.0, a=0.01, b=0.01, serial=0.6)
    machine.rest("a", "b")
    machine.now += 60.0
    machine.review()
    machine.lockstep(0.05, a=0.01)
    assert machine.cores == {"a": (0, 1), "b": (0, 1)}

    machine.lockstep(0.05, a=0.01, b=0.01, serial=0.6)

    assert machine.cores == {"a": (0,), "b": (1,)}
    # Unless one of them is not the same any more.
    machine.placement.leave("b")
    assert machine.cores["a"] == (0, 1)
    machine.activities["b"] = Activity()
    machine.cores["b"] = machine.placement.enter("b")
    machine.lockstep(0.05, a=0.01, b=0.01, serial=0.6)
    assert machine.cores == {"a": (0, 1), "b": (0, 1)}


def test_a_division_is_looked_at_often_enough():
    machine = Machine((0, 1)).load(a=None, b=None)
    machine.lockstep(2.0, a=0.01, b=0.01, serial=0.6)

    assert machine.review() <= 0.05


def test_one_more_that_works_ends_a_division():
    machine = Machine((0, 1, 2)).load(a=None, b=None, c=None)
    machine.lockstep(2.0, a=0.01, b=0.02, serial=0.6)
    assert machine.cores == {"a": (0,), "b": (1, 2), "c": (0, 1, 2)}

    machine.work("c", 0.01)
    machine.review()

    assert machine.cores == dict.fromkeys("abc", (0, 1, 2))


def test_a_division_that_is_slower_than_turns_ends_and_is_not_tried_again_for_a_while():
    machine = Machine((0, 1)).load(a=None, b=None)
    machine.lockstep(0.6, a=0.01, b=0.01)
    assert machine.cores == {"a": (0,), "b": (1,)}

    # Beside each other they cost more than alone: they share what no core has of its own.
    machine.lockstep(2.0, a=0.015, b=0.015)
    assert machine.cores == {"a": (0, 1), "b": (0, 1)}
    machine.told.clear()
    machine.lockstep(20.0, a=0.01, b=0.01)
    assert machine.told == []
    machine.lockstep(20.0, a=0.01, b=0.01)
    assert machine.cores == {"a": (0,), "b": (1,)}


def test_a_division_whose_cores_idle_ends():
    machine = Machine((0, 1)).load(a=None, b=None)
    machine.lockstep(2.0, a=0.01, b=0.01, serial=0.6)
    assert machine.cores["a"] == (0,)

    machine.lockstep(2.0, a=0.01, b=0.01, serial=0.6, alternate=True)

    assert machine.cores == {"a": (0, 1), "b": (0, 1)}


def test_a_pause_within_an_answer_ends_no_division():
    machine = Machine((0, 1)).load(a=None, b=None)
    machine.lockstep(2.0, a=0.01, b=0.01, serial=0.6)

    machine.work("a", 0.005)
    machine.now += 0.1
    machine.review()
    assert machine.cores == {"a": (0,), "b": (1,)}
    machine.now += 0.3
    machine.work("a", 0.005)
    machine.review()
    assert machine.cores == {"a": (0, 1), "b": (0, 1)}


def test_a_worker_that_started_anew_is_measured_anew():
    machine = Machine((0, 1)).load(a=None, b=None)
    machine.lockstep(2.0, a=0.01, b=0.01, serial=0.6)

    machine.activities["a"] = Activity(WorkDone(1, 0.01, 0.01, 0.0), 1)
    machine.lockstep(2.0, a=0.01, b=0.01, serial=0.6)

    assert machine.cores == {"a": (0,), "b": (1,)}


@given(
    st.lists(st.tuples(st.integers(), st.floats(), st.floats(), st.floats()), max_size=30),
    st.integers(1, 4),
)
def test_nothing_that_workers_say_of_themselves_takes_a_core_from_all(claims, cores):
    machine = Machine(range(cores)).load(a=None, b=None, c=1)
    for index, (steps, *seconds) in enumerate(claims):
        machine.activities["abc"[index % 3]] = Activity(
            WorkDone(steps, *seconds), 1, index % 2 == 0
        )
        machine.now += 0.3
        assert 0.0 < machine.review() < 1.0

    assert all(cores and set(own) <= set(range(cores)) and own for own in machine.cores.values())


def test_without_pinning_models_have_places_that_are_no_cores():
    machine = Machine(Cores(tuple(range(8)), 3, pin=False)).load(a=None, b=1, c=1)

    assert machine.cores == {"a": places(3), "b": (-1,), "c": (-2,)}


def test_a_model_that_comes_or_goes_moves_nobody_else():
    machine = Machine((0, 1, 2, 3)).load(a=None, b=1, c=None)
    assert machine.told == []

    machine.placement.leave("c")
    machine.placement.leave("c")

    assert machine.told == []
    assert machine.placement.enter("c") == (0, 1, 2, 3)


@pytest.fixture
def claims():
    """Makes claims of one machine, for servers of their own."""
    prefix, made = f"quorate-test/{os.getpid()}/{id(object())}/", []

    def another() -> CoreClaims:
        made.append(CoreClaims(prefix))
        return made[-1]

    yield another
    for one in made:
        one.release()


def test_two_servers_that_work_never_pin_to_one_core(claims):
    first = Machine(range(4), claims()).load(a=1, b=1)
    second = Machine(range(4), claims()).load(a=1, b=None)

    first.lockstep(0.1, a=0.01)
    second.lockstep(0.1, a=0.01)

    assert first.cores == {"a": (0,), "b": (1,)}
    assert second.cores == {"a": (2,), "b": (2, 3)}


def test_a_server_that_finds_no_free_core_lets_its_models_run_anywhere(claims, caplog):
    caplog.set_level(logging.INFO)
    first = Machine(range(4), claims()).load(a=None)
    first.lockstep(0.1, a=0.01)
    crowded = Machine(range(4), claims()).load(a=None, b=1)

    crowded.lockstep(1.0, a=0.01)

    assert crowded.cores == {"a": places(4), "b": (-1,)}
    assert len(caplog.messages) == 1


def test_an_idle_server_leaves_its_cores_to_others(claims):
    first = Machine(range(4), claims()).load(a=None)
    second = Machine(range(4), claims()).load(a=None)
    first.lockstep(0.1, a=0.01)
    second.lockstep(0.1, a=0.01)
    assert second.cores == {"a": places(4)}

    first.rest("a")
    first.now += 1.0
    first.review()
    second.lockstep(0.1, a=0.01)
    assert second.cores == {"a": places(4)}
    first.now += 2.0
    first.review()
    second.lockstep(0.1, a=0.01)

    assert second.cores == {"a": (0, 1, 2, 3)}
    first.lockstep(0.1, a=0.01)
    assert first.cores == {"a": places(4)}


def test_a_server_takes_what_others_have_left(claims):
    first = Machine(range(4), claims()).load(a=3)
    first.lockstep(0.1, a=0.01)
    second = Machine(range(4), claims()).load(a=None)

    second.lockstep(0.1, a=0.01)

    assert second.cores == {"a": (3,)}
