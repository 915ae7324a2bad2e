from __future__ import annotations

import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from support.repository import run

HEAVY = ("llama_cpp", "vllm", "torch", "huggingface_hub", "grpc", "rich")
LIGHT = [
    "quorate",
    "quorate.cli",
    "quorate.cli.program",
    "quorate.cli.commands.models",
    "quorate.settings",
    "quorate.engines",
    "quorate.engines.worker",
    "quorate.engines.llama_cpp",
    "quorate.engines.scripted",
    "quorate_registry",
]
SPEAKS_GRPC = ["quorate.client", "quorate.app.service"]


def loaded_by(module: str) -> set[str]:
    """Which heavy libraries a fresh interpreter has loaded after importing a module."""
    code = f"import sys, {module}; print(*(set(sys.modules) & set({HEAVY!r})))"
    done = run(sys.executable, "-c", code)
    assert done.returncode == 0, done.stdout
    return set(done.stdout.split())


@pytest.mark.parametrize("module", LIGHT)
def test_importing_it_loads_no_heavy_library(module: str) -> None:
    assert loaded_by(module) == set()


@pytest.mark.parametrize("module", SPEAKS_GRPC)
def test_importing_what_speaks_grpc_loads_nothing_else_heavy(module: str) -> None:
    assert loaded_by(module) == {"grpc"}


def test_the_layers_only_look_down() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    if not lint.exists():
        pytest.skip("import-linter is not installed beside this interpreter")
    done = run(str(lint))
    assert done.returncode == 0, done.stdout


def test_no_modules_import_each_other_in_a_circle() -> None:
    grimp = pytest.importorskip("grimp", reason="it comes with import-linter")
    graph = grimp.build_graph("quorate", "quorate_registry", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert any(imports.values())
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(" is imported by ".join(error.args[1]))
