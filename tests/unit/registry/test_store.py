from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quorate_registry.errors import StoreUnusable
from quorate_registry.manifest import HubSource, RemoteSource, SnapshotSource
from quorate_registry.records import PullRecord, Record, RecordedFile, SnapshotRecord
from quorate_registry.store import Store, default_home

SOURCE = HubSource("someone/tiny", "q/tiny.gguf")
RECORD = PullRecord(
    repo="someone/tiny",
    file="q/tiny.gguf",
    revision="main",
    commit="c" * 40,
    sha256="a" * 64,
    size_bytes=4,
    pulled_at="2026-01-01T00:00:00+00:00",
)
SNAPSHOT = SnapshotSource("someone/tiny")
SNAPSHOT_RECORD = SnapshotRecord(
    repo="someone/tiny",
    revision="main",
    commit="c" * 40,
    patterns=(),
    files=(RecordedFile("config.json", "a" * 64, 2), RecordedFile("sub/m", "b" * 64, 3)),
    pulled_at="2026-01-01T00:00:00+00:00",
)


def install_snapshot(store: Store) -> Path:
    with store.locked("tiny"):
        part = store.part("tiny", SNAPSHOT, "d" * 64)
        (part / "sub").mkdir(parents=True)
        (part / "config.json").write_bytes(b"{}")
        (part / "sub" / "m").write_bytes(b"abc")
        return store.install("tiny", part, SNAPSHOT_RECORD)


def install(store: Store) -> Path:
    with store.locked("tiny"):
        part = store.part("tiny", SOURCE, "a" * 64)
        part.write_bytes(b"GGUF")
        return store.install("tiny", part, RECORD)


@pytest.fixture
def store(home: Path) -> Store:
    return Store(home)


INSTALLED: dict[RemoteSource, tuple[Callable[[Store], Path], Record, str]] = {
    SOURCE: (install, RECORD, "tiny.gguf"),
    SNAPSHOT: (install_snapshot, SNAPSHOT_RECORD, "checkpoint"),
}


def change_record(store: Store, **changes: object) -> None:
    path = store.folder("tiny") / "pulled.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("source", INSTALLED)
def test_what_is_installed_is_found_by_its_source(store: Store, source: RemoteSource) -> None:
    installed, record, name = INSTALLED[source]
    path = installed(store)
    assert path == store.folder("tiny") / name
    assert store.pulled("tiny", source) == (path, record)
    pinned = replace(source, revision="c" * 40)
    assert store.pulled("tiny", pinned) == (path, record)
    (other,) = INSTALLED.keys() - {source}
    assert store.pulled("tiny", other) is None


@pytest.mark.parametrize(
    ("source", "change"),
    [
        (SOURCE, {"repo": "another/tiny"}),
        (SOURCE, {"file": "other.gguf"}),
        (SOURCE, {"revision": "v2"}),
        (SOURCE, {"sha256": "b" * 64}),
        (SNAPSHOT, {"repo": "another/tiny"}),
        (SNAPSHOT, {"revision": "v2"}),
        (SNAPSHOT, {"files": ("*.json",)}),
    ],
)
def test_a_manifest_that_asks_for_other_content_is_not_served(
    store: Store, source: RemoteSource, change: dict[str, Any]
) -> None:
    INSTALLED[source][0](store)
    assert store.pulled("tiny", replace(source, **change)) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"repo": 1}', "null"])
def test_an_unreadable_record_counts_as_none(store: Store, text: str) -> None:
    install(store)
    (store.folder("tiny") / "pulled.json").write_text(text)
    assert store.pulled("tiny", SOURCE) is None


def test_a_record_with_wrong_types_counts_as_none(store: Store) -> None:
    install(store)
    change_record(store, size_bytes="4")
    assert store.record("tiny") is None


def test_remove_deletes_only_what_pulls_have_written(store: Store) -> None:
    install(store)
    foreign = store.folder("tiny") / "notes.txt"
    foreign.write_text("mine")
    part = store.part("tiny", SOURCE, "b" * 64)
    part.write_bytes(b"12345")
    assert store.remove("tiny") > 9
    assert [path.name for path in store.folder("tiny").iterdir()] == ["notes.txt"]
    foreign.unlink()
    assert store.remove("tiny") == 0
    assert not store.folder("tiny").exists()


def test_remove_does_not_follow_a_record_out_of_its_folder(store: Store, tmp_path: Path) -> None:
    install(store)
    outside = tmp_path / "outside.gguf"
    outside.write_bytes(b"mine")
    change_record(store, file="../../../outside.gguf")
    store.remove("tiny")
    assert outside.read_bytes() == b"mine"


@pytest.mark.parametrize("file", ["..", "", ".", "a/..", "/"])
def test_remove_keeps_the_folders_that_a_broken_record_names(
    store: Store, home: Path, file: str
) -> None:
    install(store)
    (store.folder("tiny") / "notes.txt").write_text("mine")
    (home / "models" / "other").mkdir()
    change_record(store, file=file)
    store.remove("tiny")
    assert (store.folder("tiny") / "notes.txt").read_text() == "mine"
    assert (home / "models" / "other").is_dir()


@pytest.mark.parametrize(
    "change",
    [
        {"files": 1},
        {"files": [1]},
        {"files": [{"path": "a"}]},
        {"files": [{"path": "../a", "sha256": "a", "size_bytes": 1}]},
        {"files": [{"path": "/a", "sha256": "a", "size_bytes": 1}]},
        {"files": [{"path": "a", "sha256": "a", "size_bytes": "1"}]},
        {"files": [{"path": 1, "sha256": "a", "size_bytes": 1}]},
        {"patterns": [1]},
        {"commit": None},
        {"more": 1},
    ],
)
def test_a_broken_record_of_a_checkpoint_counts_as_none(
    store: Store, change: dict[str, object]
) -> None:
    install_snapshot(store)
    change_record(store, **change)
    assert store.record("tiny") is None


def test_remove_frees_a_checkpoint_and_the_starts_of_others(store: Store) -> None:
    install_snapshot(store)
    part = store.part("tiny", SNAPSHOT, "e" * 64)
    part.mkdir()
    (part / "model.safetensors").write_bytes(bytes(1000))
    record_bytes = (store.folder("tiny") / "pulled.json").stat().st_size
    assert store.remove("tiny") == 5 + 1000 + record_bytes
    assert not store.folder("tiny").exists()


def test_remove_does_not_follow_a_link_out_of_a_checkpoint(store: Store, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("mine")
    (install_snapshot(store) / "link").symlink_to(outside)
    store.remove("tiny")
    assert (outside / "file").read_text() == "mine"
    assert not store.folder("tiny").exists()


def test_a_checkpoint_and_a_file_of_one_model_replace_each_other(store: Store) -> None:
    file = install(store)
    folder = install_snapshot(store)
    assert (file.exists(), folder.is_dir()) == (False, True)
    install(store)
    assert (file.exists(), folder.exists()) == (True, False)


def test_removing_what_was_never_pulled_creates_nothing(home: Path) -> None:
    assert Store(home).remove("tiny") == 0
    assert not home.exists()


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    with pytest.raises(StoreUnusable, match=str(in_the_way)), Store(in_the_way).locked("tiny"):
        pass


def test_the_home_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("QUORATE_HOME", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert default_home() == tmp_path / ".local" / "share" / "quorate"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert default_home() == tmp_path / "data" / "quorate"
    monkeypatch.setenv("QUORATE_HOME", str(tmp_path / "own"))
    assert default_home() == tmp_path / "own"
