from __future__ import annotations

import importlib.util
import sys
import tomllib
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest

from support.repository import ROOT, read, run


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    done = run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder))
    assert done.returncode == 0, done.stdout
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def files(wheel: Path) -> set[str]:
    with ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_the_three_packages_and_nothing_else(files: set[str]) -> None:
    tops = {name.partition("/")[0] for name in files}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "quorate",
        "quorate_bench",
        "quorate_registry",
    }


def test_the_wheel_holds_every_module(files: set[str]) -> None:
    for source in (ROOT / "runtime", ROOT / "model_registry"):
        modules = {str(path.relative_to(source)) for path in source.rglob("*.py")}
        assert modules - files == set()


def test_the_wheel_is_typed(files: set[str]) -> None:
    assert {"quorate/py.typed", "quorate_registry/py.typed"} <= files


def test_the_wheel_holds_the_catalogue(files: set[str]) -> None:
    folder = ROOT / "model_registry" / "quorate_registry" / "models"
    catalogue = {f"quorate_registry/models/{path.name}" for path in folder.glob("*.toml")}
    assert catalogue
    assert catalogue == {name for name in files if name.endswith(".toml")}


def test_the_wheel_holds_the_embedded_specialist(files: set[str]) -> None:
    assert "quorate_registry/embedded/catalogue-specialist.gguf" in files


def test_the_wheel_says_what_the_project_says(wheel: Path) -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    with ZipFile(wheel) as archive:
        (info,) = {n.partition("/")[0] for n in archive.namelist() if ".dist-info/" in n}
        metadata = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
        scripts = archive.read(f"{info}/entry_points.txt").decode()
        assert f"{info}/licenses/LICENSE" in archive.namelist()
    assert (metadata["Name"], metadata["Version"]) == (project["name"], project["version"])
    assert metadata["Requires-Python"] == project["requires-python"]
    assert "quorate = quorate.cli:main" in scripts
