from __future__ import annotations

from collections.abc import Callable, Mapping
from math import fsum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.metering.attribution import ANSWERED, Attribution, Window, attribute_cpu, attribute_gpu
from quorate.request.work import Work, WorkCosts

Attribute = Callable[[float, Window, float, Mapping[str, WorkCosts]], Attribution]
BOTH = pytest.mark.parametrize("attribute", [attribute_cpu, attribute_gpu])

jobs = st.sampled_from(["j1", "j2", "j3", ANSWERED])
models = st.sampled_from(["a", "b", "c"])
works = st.builds(Work, *[st.integers(0, 10**9)] * 3)
seconds = st.floats(0, 1e6)
costs = st.builds(WorkCosts, *[st.floats(0, 1e6)] * 3)
windows = st.builds(
    Window,
    seconds,
    st.dictionaries(st.tuples(jobs, models), works),
    st.dictionaries(st.sampled_from(["", "a", "b", "c"]), seconds),
    st.dictionaries(jobs, seconds),
)


def window(work: dict[tuple[object, str], Work], **cpu_seconds: float) -> Window:
    """A window of ten seconds whose requests were all alive throughout."""
    alive = {job: 10.0 for job, _ in work}
    used = {model.replace("coordinator", ""): value for model, value in cpu_seconds.items()}
    return Window(10.0, work, used, alive)


@BOTH
@given(
    joules=st.floats(0, 1e9),
    window=windows,
    idle_watts=st.floats(0, 1e5),
    costs=st.dictionaries(models, costs),
)
def test_every_joule_goes_somewhere_and_none_goes_twice(
    attribute: Attribute,
    joules: float,
    window: Window,
    idle_watts: float,
    costs: dict[str, WorkCosts],
) -> None:
    parts = attribute(joules, window, idle_watts, costs)
    given_away = fsum([*parts.requests.values(), parts.idle, parts.unattributed])
    assert given_away == pytest.approx(joules, rel=1e-9, abs=1e-9)
    assert min([*parts.requests.values(), parts.idle, parts.unattributed]) >= 0
    assert parts.requests.keys() <= {share for share in window.work if share[0] is not ANSWERED}
    assert fsum(parts.idle_shares.values()) <= parts.idle * (1 + 1e-9)


@given(st.lists(windows, min_size=1, max_size=5))
def test_windows_that_are_joined_lose_nothing(parts: list[Window]) -> None:
    whole = Window()
    for part in parts:
        whole = whole.joined(part)
    assert whole.seconds == pytest.approx(fsum(part.seconds for part in parts))
    for key in ("work", "cpu_seconds", "alive_seconds"):
        assert getattr(whole, key).keys() == {name for part in parts for name in getattr(part, key)}
    decoded = sum(work.decode for part in parts for work in part.work.values())
    assert sum(work.decode for work in whole.work.values()) == decoded


@given(windows)
def test_the_work_of_an_answered_request_stays_in_the_window(before: Window) -> None:
    after = before.answered("j1")
    assert "j1" not in after.alive_seconds
    assert "j1" not in {job for job, _ in after.work}
    assert sum(work.kv for work in after.work.values()) == sum(
        work.kv for work in before.work.values()
    )
    assert fsum(after.alive_seconds.values()) == pytest.approx(fsum(before.alive_seconds.values()))


@BOTH
def test_a_window_without_a_request_is_idle(attribute: Attribute) -> None:
    parts = attribute(50.0, Window(10.0, {}, {"a": 3.0}), 2.0, {})
    assert (parts.requests, parts.idle, parts.unattributed) == ({}, 50.0, 0.0)


@BOTH
def test_the_idle_baseline_is_nobodys_work(attribute: Attribute) -> None:
    parts = attribute(50.0, window({("j", "a"): Work(decode=5)}, a=4.0), 2.0, {})
    assert parts.requests == {("j", "a"): pytest.approx(30.0)}
    assert parts.idle == pytest.approx(20.0)
    assert parts.idle_shares == {"j": pytest.approx(20.0)}


@BOTH
def test_a_baseline_above_the_counter_leaves_no_debt(attribute: Attribute) -> None:
    parts = attribute(5.0, window({("j", "a"): Work(decode=5)}, a=4.0), 2.0, {})
    assert (parts.requests, parts.idle) == ({("j", "a"): 0.0}, 5.0)


def test_the_idle_energy_is_divided_among_requests_by_their_time() -> None:
    shared = Window(10.0, {}, {}, {"early": 10.0, "late": 5.0, ANSWERED: 5.0})
    parts = attribute_gpu(40.0, shared, 2.0, {})
    assert parts.idle_shares == {"early": pytest.approx(10.0), "late": pytest.approx(5.0)}
    assert parts.idle == pytest.approx(20.0)


def test_models_share_a_processor_by_cpu_time_and_requests_by_their_work() -> None:
    work = {
        ("j1", "a"): Work(decode=3),
        ("j2", "a"): Work(decode=1),
        ("j1", "b"): Work(decode=1000),
    }
    parts = attribute_cpu(100.0, window(work, a=8.0, b=2.0), 0.0, {})
    assert parts.requests == {
        ("j1", "a"): pytest.approx(60.0),
        ("j2", "a"): pytest.approx(20.0),
        ("j1", "b"): pytest.approx(20.0),
    }


def test_the_coordinator_is_shared_by_all_the_work() -> None:
    work = {("j1", "a"): Work(decode=3), ("j2", "b"): Work(decode=1)}
    parts = attribute_cpu(100.0, window(work, a=4.0, b=4.0, coordinator=2.0), 0.0, {})
    assert parts.requests == {("j1", "a"): pytest.approx(55.0), ("j2", "b"): pytest.approx(45.0)}


def test_a_model_that_computes_for_no_request_is_unattributed() -> None:
    parts = attribute_cpu(100.0, window({("j", "a"): Work(decode=1)}, a=6.0, loading=4.0), 0.0, {})
    assert parts.requests == {("j", "a"): pytest.approx(60.0)}
    assert parts.unattributed == pytest.approx(40.0)


@pytest.mark.parametrize("cpu_seconds", [{}, {"a": 5.0}, {"a": 0.0, "b": 0.0}])
def test_work_decides_where_cpu_time_is_not_known(cpu_seconds: dict[str, float]) -> None:
    work = {("j", "a"): Work(decode=1), ("j", "b"): Work(decode=3)}
    parts = attribute_cpu(100.0, window(work, **cpu_seconds), 0.0, {})
    assert parts.requests == {("j", "a"): pytest.approx(25.0), ("j", "b"): pytest.approx(75.0)}


def test_each_model_has_its_own_costs() -> None:
    work = {("j", "a"): Work(10, 5, 1000), ("j", "b"): Work(10, 5, 1000)}
    costs = {"a": WorkCosts(1.0, 2.0, 0.01)}
    parts = attribute_gpu(90.0, window(work), 0.0, costs)
    assert parts.requests == {("j", "a"): pytest.approx(30.0), ("j", "b"): pytest.approx(60.0)}


def test_a_request_whose_prompt_is_not_yet_counted_pays_for_its_model() -> None:
    work = {("waits", "a"): Work(), ("decodes", "b"): Work(decode=7)}
    parts = attribute_cpu(100.0, window(work, a=9.0, b=1.0), 0.0, {})
    assert parts.requests == {
        ("waits", "a"): pytest.approx(90.0),
        ("decodes", "b"): pytest.approx(10.0),
    }


@BOTH
def test_active_joules_with_nobody_at_work_are_unattributed(attribute: Attribute) -> None:
    parts = attribute(50.0, Window(10.0, {}, {}, {"waits": 10.0}), 2.0, {})
    assert (parts.requests, parts.idle, parts.unattributed) == ({}, 20.0, 30.0)


@BOTH
def test_what_belongs_to_answered_requests_is_unattributed(attribute: Attribute) -> None:
    work = {("j", "a"): Work(decode=1), (ANSWERED, "a"): Work(decode=3)}
    parts = attribute(100.0, window(work, a=1.0), 0.0, {})
    assert parts.requests == {("j", "a"): pytest.approx(25.0)}
    assert parts.unattributed == pytest.approx(75.0)


def test_work_that_falls_adds_nothing() -> None:
    assert Work(5, 1, 9).since(Work(3, 4, 9)) == Work(2, 0, 0)
