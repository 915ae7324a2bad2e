from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import quorate
from quorate.app.registry import open_registry
from quorate.engines.registry import default_engine, engines, find_engine
from quorate.errors import SettingsError
from quorate_registry import FileKind, ManifestError

THIRD = """
from quorate.engines.registry import EngineRegistration
from quorate.engines.scripted.options import ScriptedOptions

def environment(base):
    return {"SAID_BY_THE_THIRD": "hello"}

ENGINE = EngineRegistration(
    "third", ScriptedOptions, "quorate.engines.third.loading:load", "gguf", environment=environment
)
"""
LOADING = """
import dataclasses, os
from quorate.engines.scripted.model import load as load_scripted

def load(path, options, threads, on_progress):
    say = f"{os.environ['SAID_BY_THE_THIRD']} of {os.path.basename(path)}"
    return load_scripted(path, dataclasses.replace(options, say=say), threads, on_progress)
"""
CONFIGURATION = """
[[models]]
model = "m.gguf"
engine = "third"
options = { confidence = 0.999 }
[ledger]
path = "off"
"""
PROGRAM = """
import asyncio
from pathlib import Path
from quorate.app.service import running
from quorate.request import TextPrompt
from quorate.settings import load_settings

async def main():
    async with running(load_settings(Path("quorate.toml"))) as service:
        print((await service.fleet.load("m")).engine)
        with service.fleet.muster(["m"]) as (engines, _):
            engine = engines["m"]
            session = await engine.open(100)
            tokens = await engine.encode(TextPrompt("Hi. "))
            while tokens[-1] not in engine.vocabulary.end_of_generation:
                tokens = [int((await session.feed(tokens)).argmax())]
                print(engine.vocabulary.pieces[tokens[-1]].decode(), end="")

asyncio.run(main())
"""


def test_the_engines_are_the_folders_that_register_themselves() -> None:
    assert tuple(engines()) == ("llama_cpp", "scripted", "vllm")
    kinds = {kind.value for kind in FileKind}
    for name, engine in engines().items():
        assert engine.name == name
        assert engine.files in {"", *kinds}
    assert {default_engine(kind) for kind in kinds} == {"llama_cpp", "vllm"}


def test_an_unknown_engine_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        SettingsError, match="no engine named 'x'; known: llama_cpp, scripted, vllm"
    ):
        find_engine("x")


def test_options_are_read_by_the_engine_before_its_loader_is_called() -> None:
    with pytest.raises(SettingsError, match=r"^options\.sessions: must be"):
        find_engine("scripted").load("", {"sessions": 0}, 1, lambda share: None)


def test_finding_engines_imports_nothing_heavy() -> None:
    code = (
        "import sys; from quorate.engines.registry import engines; engines();"
        "heavy = {'numpy', 'jinja2', 'llama_cpp', 'vllm', 'torch', 'asyncio'};"
        "sys.exit(','.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_engines_of_manifests_are_those_that_need_files(tmp_path: Path) -> None:
    assert open_registry(tmp_path).get("smollm2-135m-instruct").manifest.engine == ""
    (tmp_path / "models.d").mkdir()
    (tmp_path / "models.d" / "own.toml").write_text(
        'id = "own"\nengine = "scripted"\ndescription = "d"\nlicence = "MIT"\n'
        '[source]\nkind = "path"\npath = "m"\n'
    )
    with pytest.raises(ManifestError, match="must be one of llama_cpp, vllm, not 'scripted'"):
        open_registry(tmp_path).list()


@pytest.fixture
def with_a_third(tmp_path: Path) -> Path:
    """The package as it is, with one more folder among its engines."""
    package = Path(quorate.__file__).parent
    copied = tmp_path / "runtime" / "quorate"
    (copied / "engines" / "third").mkdir(parents=True)
    for original, copy in ((package, copied), (package / "engines", copied / "engines")):
        for entry in original.iterdir():
            if entry.name not in {"engines", "__pycache__"}:
                (copy / entry.name).symlink_to(entry)
    (copied / "engines" / "third" / "__init__.py").touch()
    (copied / "engines" / "third" / "registration.py").write_text(THIRD)
    (copied / "engines" / "third" / "loading.py").write_text(LOADING)
    return copied.parent


def test_one_more_folder_is_one_more_engine(with_a_third: Path, tmp_path: Path) -> None:
    (tmp_path / "quorate.toml").write_text(CONFIGURATION)
    (tmp_path / "m.gguf").touch()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(with_a_third), "QUORATE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.stdout, done.returncode) == ("third\nhello of m.gguf", 0), done.stderr
