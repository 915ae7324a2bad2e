from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.fleet import cores as rooms
from quorate.fleet.cores import Cores, cgroup_quota, machine_cores

PERIOD = 100_000


class Tree(NamedTuple):
    """Cgroups of both versions in a folder of the test, as the kernel shows them."""

    root: Path

    def limit(self, path: str, quota: int | None, version: int = 2, period: int = PERIOD) -> None:
        folder = self.place(version) / path.strip("/")
        folder.mkdir(parents=True, exist_ok=True)
        if version == 2:
            shown = "max" if quota is None else quota
            (folder / "cpu.max").write_text(f"{shown} {period}\n")
        else:
            (folder / "cpu.cfs_quota_us").write_text(f"{-1 if quota is None else quota}\n")
            (folder / "cpu.cfs_period_us").write_text(f"{period}\n")

    def place(self, version: int) -> Path:
        return self.root / ("unified" if version == 2 else "cpu,cpuacct")

    def quota(self, *memberships: str, roots: tuple[str, str] = ("/", "/")) -> float | None:
        """Of a process with these lines, where hierarchies are mounted from these folders."""
        membership, mounts = self.root / "cgroup", self.root / "mountinfo"
        membership.write_text("".join(f"{line}\n" for line in memberships))
        mounts.write_text(
            f"29 1 0:1 {roots[0]} {self.place(1)} rw - cgroup cgroup rw,cpu,cpuacct\n"
            f"30 1 0:2 / {self.root}/memory rw - cgroup cgroup rw,memory\n"
            f"31 1 0:3 {roots[1]} {self.place(2)} rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"
            "broken line\n"
        )
        return cgroup_quota(self.root / "nowhere", membership, mounts)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_the_tightest_quota_up_to_the_root_counts(tree: Tree) -> None:
    tree.limit("service/job", None)
    tree.limit("service", 150_000)
    tree.limit("", 400_000)
    assert tree.quota("1:name=systemd:/x", "0::/service/job") == 1.5


def test_a_quota_of_version_1_counts(tree: Tree) -> None:
    tree.limit("docker/a", 50_000, version=1, period=20_000)
    tree.limit("docker", None, version=1)
    assert tree.quota("4:cpuacct,cpu:/docker/a", "3:cpuset:/tight", "0::/") == 2.5


def test_the_tighter_of_both_versions_counts(tree: Tree) -> None:
    tree.limit("a", 300_000, version=1)
    tree.limit("a", 200_000, version=2)
    assert tree.quota("4:cpu:/a", "0::/a") == 2.0


@pytest.mark.parametrize("roots", ["/docker/abc", "/"])
def test_in_a_container_the_path_of_the_host_means_what_is_mounted(tree: Tree, roots: str) -> None:
    tree.limit("", 70_000, version=1)
    assert tree.quota("4:cpu,cpuacct:/docker/abc", roots=(roots, "/")) == 0.7


def test_a_path_out_of_what_can_be_seen_means_what_can(tree: Tree) -> None:
    tree.limit("", 120_000)
    assert tree.quota("0::/../../other") == 1.2


def test_without_mounts_the_usual_places_are_looked_at(tree: Tree) -> None:
    tree.limit("a", 250_000, version=1)
    membership = tree.root / "cgroup"
    membership.write_text("4:cpu,cpuacct:/a\n")
    assert cgroup_quota(tree.root, membership) == 2.5
    assert cgroup_quota(tree.root, membership, tree.root / "absent") == 2.5


@pytest.mark.parametrize("content", ["", "max", "1 0\n", "x y\n", "-1 100000\n", "0 100000"])
def test_a_file_that_says_nothing_limits_nothing(tree: Tree, content: str) -> None:
    tree.limit("", None)
    (tree.place(2) / "cpu.max").write_text(content)
    assert tree.quota("0::/", "nonsense", "") is None


def test_no_cgroups_at_all_limit_nothing(tmp_path: Path) -> None:
    assert cgroup_quota(tmp_path, tmp_path / "absent", tmp_path / "absent") is None


QUOTAS = st.none() | st.integers(1000, 6_400_000)


@given(
    st.lists(QUOTAS, min_size=1, max_size=5),
    st.lists(QUOTAS, min_size=1, max_size=5),
    st.sampled_from([20_000, PERIOD]),
)
def test_no_quota_of_any_tree_is_passed_over(tmp_path_factory, first, second, period) -> None:
    tree = Tree(tmp_path_factory.mktemp("tree"))
    for version, quotas in ((1, first), (2, second)):
        for depth, quota in enumerate(quotas):
            tree.limit("/".join("abcde"[:depth]), quota, version, period)
    paths = ["/" + "/".join("abcde"[: len(quotas) - 1]) for quotas in (first, second)]

    found = tree.quota(f"4:cpu:{paths[0]}", f"0::{paths[1]}")

    known = [quota / period for quota in (*first, *second) if quota is not None]
    assert found == min(known, default=None)


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        (None, Cores((1, 2, 3), 3)),
        (3.0, Cores((1, 2, 3), 3)),
        (9.0, Cores((1, 2, 3), 3)),
        (2.0, Cores((1, 2, 3), 2, pin=False)),
        (1.5, Cores((1, 2, 3), 1, pin=False)),
        (0.2, Cores((1, 2, 3), 1, pin=False)),
    ],
)
def test_a_quota_means_fewer_threads_on_all_cores(monkeypatch, quota, expected) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {3, 1, 2})
    monkeypatch.setattr(rooms, "cgroup_quota", lambda *_: quota)
    assert machine_cores() == expected
    assert machine_cores(pin=False).pin is False


@given(st.integers(1, 128), st.floats(0.01, 200))
def test_threads_never_exceed_quota_or_cores_but_for_the_first(count: int, quota: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.sched_getaffinity", lambda _: set(range(count)))
        patch.setattr(rooms, "cgroup_quota", lambda *_: quota)
        found = machine_cores()
    assert 1 <= found.threads <= max(1, min(count, math.floor(quota)))
    assert found.pin is (quota >= count)
