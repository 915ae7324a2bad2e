from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any, cast

import pytest

from quorate.app.sources import Sources
from quorate.errors import CannotRun, ModelUnusable, NotFound, SettingsError
from quorate.settings import ModelSettings, parse_settings
from quorate_registry import Registry
from support.manifests import write_manifest


class EndlessDownload:
    """A registry whose download reports until a report raises, or the test is over."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.ended = threading.Event()
        self.over = threading.Event()

    def pull(self, model: str, on_progress: Any) -> Path:
        try:
            while not self.over.is_set():
                on_progress(1, 2)
                self.began.set()
            return Path("never")
        finally:
            self.ended.set()


async def test_a_download_ends_when_nobody_waits_for_it() -> None:
    registry = EndlessDownload()
    source = Sources(cast(Registry, registry)).configured(ModelSettings("a", "a", "llama_cpp"))
    preparing = asyncio.ensure_future(source.prepare(lambda done: None))
    try:
        assert await asyncio.to_thread(registry.began.wait, 10)
        preparing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await preparing
        assert await asyncio.to_thread(registry.ended.wait, 10)
    finally:
        registry.over.set()


def test_a_broken_manifest_is_told_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "models.d").mkdir()
    broken = tmp_path / "models.d" / "own.toml"
    broken.write_text("id =")
    with pytest.raises(CannotRun, match=r"own\.toml") as refusal:
        Sources(Registry(tmp_path)).find("own")
    assert "\n" not in refusal.value.message


@pytest.mark.parametrize("name", ["nothing", "/etc/passwd", "model.gguf"])
def test_what_no_registry_knows_and_paths_are_not_found(name: str, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=name):
        Sources(Registry(tmp_path)).find(name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A home whose registry knows a checkpoint and a file, and a checkpoint beside it."""
    write_manifest(tmp_path, "snapshot", kind="snapshot", repo="a/b")
    file = {"kind": "hub", "repo": "a/b", "file": "f.gguf"}
    write_manifest(tmp_path, "file", **file)
    write_manifest(tmp_path, "said", said='engine = "vllm"', **file)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "config.json").write_text("{}")
    (tmp_path / "one.gguf").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("model", "said", "engine"),
    [
        ("snapshot", "", "vllm"),
        ("file", "", "llama_cpp"),
        ("said", "", "vllm"),
        ("{0}/folder", "", "vllm"),
        ("{0}/one.gguf", "", "llama_cpp"),
        ("{0}/absent", "", "llama_cpp"),
        ("unknown", "", "llama_cpp"),
        ("~nobody-here/a", "", "llama_cpp"),
        ("snapshot", "llama_cpp", "llama_cpp"),
        ("{0}/one.gguf", "vllm", "vllm"),
        ("", "scripted", "scripted"),
    ],
)
def test_a_model_gets_the_engine_that_was_said_or_the_one_it_needs(
    folder: Path, model: str, said: str, engine: str
) -> None:
    sources = Sources(Registry(folder))
    named = ModelSettings(model.format(folder), "id", said)
    (settled,) = sources.settled([named])
    assert (settled.engine, settled.model) == (engine, named.model)
    assert sources.configured(named).engine == engine


def test_a_broken_manifest_is_left_to_be_told_when_the_model_loads(folder: Path) -> None:
    (folder / "models.d" / "c.toml").write_text("id =")
    (settled,) = Sources(Registry(folder)).settled([ModelSettings("snapshot", "id")])
    assert settled.engine == "llama_cpp"


def test_a_model_of_the_registry_alone_gets_its_engine(folder: Path) -> None:
    sources = Sources(Registry(folder))
    assert sources.find("snapshot").engine == "vllm"
    assert sources.find("file").engine == "llama_cpp"
    assert sources.find("said").engine == "vllm"


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("snapshot", {"gpu_layers": 1}, "models[1].options.gpu_layers: unknown key; "),
        ("file", {"tensor_parallel": 1}, "models[1].options.tensor_parallel: unknown key; "),
        ("file", {"sessions": 0}, "models[1].options.sessions: must be from 1 to 256"),
        ("snapshot", {"sessions": 0}, "models[1].options.sessions: must be from 1 to 1024"),
    ],
)
def test_options_of_another_engine_are_refused_with_their_key(
    folder: Path, model: str, options: dict[str, Any], message: str
) -> None:
    models = [ModelSettings("file", "first"), ModelSettings(model, "second", options=options)]
    with pytest.raises(SettingsError) as refusal:
        Sources(Registry(folder)).settled(models)
    assert refusal.value.message.startswith(message)


def test_options_of_any_engine_pass_until_it_is_known(folder: Path) -> None:
    for options in ({"gpu_layers": 1}, {"tensor_parallel": 2}, {"sessions": 2}):
        data = {"models": [{"model": "file", "options": options}]}
        (model,) = parse_settings(data, folder).models
        assert (model.engine, dict(model.options)) == ("", options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sesions": 1}, "models[0].options.sesions: unknown key; did you mean sessions?"),
        ({"tensor_paralel": 1}, "models[0].options.tensor_paralel: unknown key; did you mean te"),
        ({"tensor_parallel": 0}, "models[0].options.tensor_parallel: must be from 1 to 256"),
        ({"gpu_layers": "all"}, "models[0].options.gpu_layers: must be an integer"),
        ({"gpu_layers": 1, "tensor_parallel": 1}, "models[0].options.tensor_parallel: unknown"),
    ],
)
def test_options_that_no_engine_could_take_are_refused_with_the_file(
    folder: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError) as refusal:
        parse_settings({"models": [{"model": "file", "options": options}]}, folder)
    assert refusal.value.message.startswith(message)


def test_the_default_engine_can_be_written_down(folder: Path) -> None:
    (model,) = parse_settings({"models": [{"model": "file", "engine": ""}]}, folder).models
    assert model.engine == ""


@pytest.mark.parametrize(
    ("model", "engine", "message"),
    [
        ("{0}/folder", "llama_cpp", "is a checkpoint folder, and llama_cpp loads single GGUF"),
        ("{0}/one.gguf", "vllm", "is a single file, and vllm loads checkpoint folders"),
    ],
)
async def test_an_engine_that_cannot_load_what_the_model_is_is_refused(
    folder: Path, model: str, engine: str, message: str
) -> None:
    source = Sources(Registry(folder)).configured(ModelSettings(model.format(folder), "id", engine))
    with pytest.raises(ModelUnusable, match=f"{message}.*leave engine out") as refusal:
        await source.prepare(lambda done: None)
    assert "\n" not in refusal.value.message


async def test_a_checkpoint_is_handed_to_its_engine_as_a_folder(folder: Path) -> None:
    source = Sources(Registry(folder)).configured(ModelSettings(f"{folder}/folder", "id"))
    spec = await source.prepare(lambda done: None)
    assert (spec.engine, spec.path) == ("vllm", f"{folder}/folder")
