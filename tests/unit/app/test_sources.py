from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any, cast

import pytest

from quorate.app.sources import Sources
from quorate.errors import CannotRun, NotFound
from quorate.settings import ModelSettings
from quorate_registry import Registry


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
    source = Sources(cast(Registry, registry)).configured(ModelSettings(model="a", id="a"))
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
