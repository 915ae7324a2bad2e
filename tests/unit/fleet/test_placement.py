from __future__ import annotations

import errno
import logging
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.engines.worker.affinity import ANY_CORE, pin_all_threads
from quorate.fleet.cores import CoreClaims, Cores
from quorate.fleet.placement import Placement, divide_cores


@pytest.mark.parametrize(
    ("available", "wanted", "expected"),
    [
        ([0, 1], {"a": None, "b": None}, {"a": (0,), "b": (1,)}),
        ([0, 1, 2], {"a": None, "b": None}, {"a": (0, 1), "b": (2,)}),
        ([0, 1, 2, 3], {"a": None, "b": 1}, {"a": (1, 2, 3), "b": (0,)}),
        ([4, 6], {"a": None, "b": None, "c": None}, {"a": (4,), "b": (6,), "c": (4,)}),
        ([0, 1], {"a": 8}, {"a": (0, 1)}),
        ([0, 1], {"a": 2, "b": None}, {"a": (0, 1), "b": (0,)}),
        ([0, 1, 2], {"a": 2, "b": 2}, {"a": (0, 1), "b": (0, 2)}),
        ([0], {}, {}),
    ],
)
def test_cores_are_divided(available, wanted, expected):
    assert divide_cores(available, wanted) == expected


@given(
    st.sets(st.integers(0, 63), min_size=1),
    st.dictionaries(st.text(max_size=2), st.none() | st.integers(1, 70), max_size=8),
)
def test_everyone_gets_a_core_and_none_is_shared_without_need(available, wanted):
    cores = sorted(available)

    division = divide_cores(cores, wanted)

    dealt = [core for share in division.values() for core in share]
    assert list(division) == list(wanted)
    assert all(share and set(share) <= available for share in division.values())
    assert all(len(set(share)) == len(share) for share in division.values())
    configured = sum(count or 1 for count in wanted.values())
    if configured <= len(cores):
        assert len(dealt) == len(set(dealt))
        assert all(len(division[model]) == count for model, count in wanted.items() if count)
    uses = [dealt.count(core) for core in cores]
    assert max(uses) - min(uses) <= 1


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

    pin_all_threads([ANY_CORE, ANY_CORE])

    assert set(map(frozenset, pinned)) == {frozenset(os.sched_getaffinity(0))}


def test_threads_stay_where_they_are_when_a_cpuset_has_lost_their_cores(monkeypatch):
    def refuse(task, cores):
        raise OSError(errno.EINVAL, "no such core")

    monkeypatch.setattr("os.sched_setaffinity", refuse)

    pin_all_threads([4095])


def shares(placement: Placement, **wanted: int | None) -> dict[str, tuple[int, ...]]:
    told: dict[str, tuple[int, ...]] = {}
    for model, count in wanted.items():
        placement.add(model, count, lambda cores, model=model: told.update({model: cores}))
    for model in wanted:
        placement.enter(model)
    return told


@given(
    st.integers(1, 64),
    st.integers(1, 64),
    st.dictionaries(st.text(max_size=2), st.none() | st.integers(1, 70), min_size=1, max_size=8),
)
def test_without_pinning_threads_are_divided_as_cores_are(cores, threads, wanted):
    placement = Placement(Cores(tuple(range(cores)), threads, pin=False))

    told = shares(placement, **wanted)

    assert {core for share in told.values() for core in share} == {ANY_CORE}
    alike = divide_cores(range(threads), wanted)
    assert {model: len(share) for model, share in told.items()} == {
        model: len(share) for model, share in alike.items()
    }


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


def test_two_servers_never_pin_to_one_core(claims):
    first = shares(Placement(range(4), claims()), a=1, b=1)
    second = shares(Placement(range(4), claims()), a=1, b=None)

    assert first == {"a": (0,), "b": (1,)}
    assert second == {"a": (2,), "b": (3,)}


def test_a_server_that_finds_no_free_core_lets_its_models_run_anywhere(claims, caplog):
    caplog.set_level(logging.INFO)
    shares(Placement(range(4), claims()), a=3)
    crowded = Placement(range(4), claims())

    assert shares(crowded, a=None, b=None) == {"a": (ANY_CORE,) * 2, "b": (ANY_CORE,) * 2}
    assert len(caplog.messages) == 1
    # It has left the one free core to a server that can do with it.
    assert shares(Placement(range(4), claims()), a=1) == {"a": (3,)}


def test_cores_are_given_back_when_models_leave_and_when_a_server_ends(claims):
    ending, own = claims(), claims()
    first = Placement(range(4), ending)
    shares(first, a=2, b=2)
    first.leave("a")
    assert shares(Placement(range(4), own), c=2) == {"c": (2, 3)}
    ending.release()
    assert shares(Placement(range(4), claims()), c=2) == {"c": (0, 1)}


def test_a_lone_server_shares_its_cores_where_it_has_more_models(claims):
    assert shares(Placement((5,), claims()), a=None, b=None) == {"a": (5,), "b": (5,)}


def test_models_are_told_their_cores_when_they_change_and_in_the_order_they_were_added() -> None:
    told: list[tuple[str, tuple[int, ...]]] = []
    placement = Placement((0, 1, 2, 3))
    for model, wanted in (("a", None), ("b", 1), ("c", None)):
        placement.add(model, wanted, lambda cores, model=model: told.append((model, cores)))
    assert placement.enter("c") == (0, 1, 2, 3)
    assert placement.enter("b") == (0,)
    assert told == [("c", (0, 1, 2, 3)), ("b", (0,)), ("c", (1, 2, 3))]
    told.clear()
    assert placement.enter("a") == (1, 2)
    assert told == [("a", (1, 2)), ("c", (3,))]
    told.clear()
    placement.leave("c")
    placement.leave("c")
    assert told == [("a", (1, 2, 3))]
