"""What ``scripts/setup_clients`` says where toolchains are missing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support.repository import ROOT, run

BASICS = ("bash", "dirname", "env", "id", "sort")


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder with the programs that every system has, and none to build or install anything."""
    for name in BASICS:
        place = shutil.which(name)
        assert place is not None
        (tmp_path / name).symlink_to(place)
    return tmp_path


def test_what_is_missing_is_named_with_the_package_that_has_it(bare: Path) -> None:
    done = run(str(ROOT / "scripts" / "setup_clients"), "node", PATH=str(bare))
    assert done.returncode == 1
    assert done.stdout == (
        "setup_clients: missing for node; on Debian, as root: apt-get install nodejs npm\n"
    )


@pytest.mark.parametrize("client", ["cpp", "go"])
def test_each_client_needs_packages_of_its_own(bare: Path, client: str) -> None:
    done = run(str(ROOT / "scripts" / "setup_clients"), "--check", client, PATH=str(bare))
    assert done.returncode == 1
    packages = done.stdout.split("apt-get install ")[1].split()
    assert "protobuf-compiler" in packages
    assert ("libgrpc++-dev" in packages, "golang-go" in packages) == (
        client == "cpp",
        client == "go",
    )


def test_a_client_that_there_is_not_is_refused() -> None:
    done = run(str(ROOT / "scripts" / "setup_clients"), "cobol")
    assert done.returncode == 2
    assert done.stdout == "setup_clients: no client in cobol; there are node, cpp and go\n"
