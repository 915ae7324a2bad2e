from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.engines.worker.affinity import pin_all_threads
from quorate.fleet.placement import Placement, available_cores, cgroup_quota, divide_cores


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


def test_the_tightest_quota_up_to_the_root_counts(tmp_path):
    folder = tmp_path / "service" / "job"
    folder.mkdir(parents=True)
    (folder / "cpu.max").write_text("max 100000\n")
    (tmp_path / "service" / "cpu.max").write_text("150000 100000\n")
    (tmp_path / "cpu.max").write_text("400000 100000\n")
    membership = tmp_path / "membership"
    membership.write_text("1:name=systemd:/x\n0::/service/job\n")

    assert cgroup_quota(tmp_path, membership) == 1.5


@pytest.mark.parametrize("text", ["0::/\n", "1:cpu:/x\n", ""])
def test_no_quota_is_none(tmp_path, text):
    membership = tmp_path / "membership"
    membership.write_text(text)

    assert cgroup_quota(tmp_path, membership) is None


def test_a_missing_proc_file_means_no_quota(tmp_path):
    assert cgroup_quota(tmp_path, tmp_path / "absent") is None


def test_a_quota_cuts_the_affinity_and_leaves_one_core(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {3, 1, 2})
    for quota, expected in ((None, (1, 2, 3)), (1.5, (1, 2)), (0.2, (1,)), (9.0, (1, 2, 3))):
        monkeypatch.setattr("quorate.fleet.placement.cgroup_quota", lambda *_, quota=quota: quota)
        assert available_cores() == expected


def test_without_proc_the_calling_thread_is_pinned(monkeypatch):
    def absent(path):
        raise FileNotFoundError(path)

    pinned = []
    monkeypatch.setattr("os.listdir", absent)
    monkeypatch.setattr("os.sched_setaffinity", lambda *call: pinned.append(call))

    pin_all_threads([1])

    assert pinned == [(threading.get_native_id(), {1})]


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
