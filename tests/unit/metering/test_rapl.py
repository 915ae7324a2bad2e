from __future__ import annotations

from pathlib import Path

import pytest

from quorate.metering.rapl import find_rapl
from quorate.request import EnergyTier
from support.powercap_tree import RANGE_MICROJOULES, PowercapTree


@pytest.fixture
def tree(tmp_path: Path) -> PowercapTree:
    """A laptop: a package with all its parts, and psys that covers everything."""
    tree = PowercapTree(tmp_path / "powercap")
    tree.add("intel-rapl:0", "package-0", 5_000_000)
    tree.add("intel-rapl:0:0", "core", 4_000_000)
    tree.add("intel-rapl:0:1", "uncore", 1_000_000)
    tree.add("intel-rapl:0:2", "dram", 2_000_000)
    tree.add("intel-rapl:1", "psys", 9_000_000)
    (tree.root / "intel-rapl-mmio:0").mkdir()
    (tree.root / "intel-rapl-mmio:0" / "name").write_text("package-0\n")
    return tree


def test_no_joule_is_in_two_domains(tree: PowercapTree) -> None:
    found = find_rapl(tree.root)
    assert [counter.name for counter in found.counters] == ["package-0", "package-0-dram"]
    assert {(counter.kind, counter.tier) for counter in found.counters} == {
        ("cpu", EnergyTier.MEASURED)
    }
    assert found.problem == ""


def test_two_sockets_are_two_domains_with_their_own_memory(tree: PowercapTree) -> None:
    tree.add("intel-rapl:2", "package-1")
    tree.add("intel-rapl:2:0", "dram")
    names = [counter.name for counter in find_rapl(tree.root).counters]
    assert names == ["package-0", "package-0-dram", "package-1", "package-1-dram"]


def test_what_covers_the_packages_serves_where_there_are_none(tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path)
    tree.add("intel-rapl:0", "psys")
    assert [counter.name for counter in find_rapl(tree.root).counters] == ["psys"]


def test_a_counter_counts_joules_from_its_first_reading(tree: PowercapTree) -> None:
    package, dram = find_rapl(tree.root).counters
    assert (package.read(), dram.read()) == (0.0, 0.0)
    tree.spend("intel-rapl:0", 12.5)
    tree.spend("intel-rapl:0:2", 0.25)
    assert (package.read(), dram.read()) == (pytest.approx(12.5), pytest.approx(0.25))


def test_a_wrapped_counter_goes_on_rising(tree: PowercapTree) -> None:
    tree.set("intel-rapl:0", RANGE_MICROJOULES - 1_000_000)
    package = find_rapl(tree.root).counters[0]
    package.read()
    tree.spend("intel-rapl:0", 3.0)
    assert package.read() == pytest.approx(3.0)


def test_a_register_that_is_not_a_number_is_unreadable(tree: PowercapTree) -> None:
    package = find_rapl(tree.root).counters[0]
    (tree.folder("intel-rapl:0") / "energy_uj").write_text("")
    assert package.read() is None


def test_counters_that_only_root_may_read_say_what_to_do(tree: PowercapTree) -> None:
    def refuse(file: Path) -> str:
        if file.name == "energy_uj":
            raise PermissionError(13, "Permission denied", str(file))
        return file.read_text()

    found = find_rapl(tree.root, refuse)
    assert found.counters == ()
    assert "package-0, package-0-dram" in found.problem
    assert "CVE-2020-8694" in found.problem
    assert f"chmod a+r {tree.root}/intel-rapl:*/energy_uj" in found.problem
    assert 'SUBSYSTEM=="powercap"' in found.problem
    assert "\n" not in found.problem


def test_what_is_allowed_is_used_although_the_rest_is_not(tree: PowercapTree) -> None:
    def refuse(file: Path) -> str:
        if file.parent.name == "intel-rapl:0:2" and file.name == "energy_uj":
            raise PermissionError(13, "Permission denied", str(file))
        return file.read_text()

    found = find_rapl(tree.root, refuse)
    assert [counter.name for counter in found.counters] == ["package-0"]
    assert "package-0-dram" in found.problem
