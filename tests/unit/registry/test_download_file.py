from __future__ import annotations

import hashlib
import importlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from quorate_registry.errors import BrokenFile, ChecksumMismatch, DownloadFailed, Interrupted
from quorate_registry.manifest import HubSource
from support.loopback_hub import COMMIT, LoopbackHub
from support.pulls import Fetcher


def test_a_pull_reports_nothing_about_its_user(
    hub: LoopbackHub, source: HubSource, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY", False)
    Fetcher(home).fetch(source)
    assert {request.path.split("?")[0] for request in hub.requests} == {
        "/someone/tiny-GGUF/resolve/main/quants/tiny.gguf",
        f"/someone/tiny-GGUF/resolve/{COMMIT}/quants/tiny.gguf",
    }
    assert importlib.import_module("huggingface_hub.constants").HF_HUB_DISABLE_TELEMETRY is True


def test_a_file_that_the_hub_does_not_have_is_named(source: HubSource, home: Path) -> None:
    with pytest.raises(DownloadFailed, match="no such file at revision 'main'") as caught:
        Fetcher(home).fetch(replace(source, file="absent.gguf"))
    assert "\n" not in str(caught.value)
    assert not isinstance(caught.value, Interrupted)


def test_a_server_that_is_no_hub_is_named(hub: LoopbackHub, source: HubSource, home: Path) -> None:
    hub.faults.without_hub_headers = True
    with pytest.raises(DownloadFailed, match="does not answer like a Hugging Face hub"):
        Fetcher(home).fetch(source)


def test_wrong_bytes_are_refused_and_deleted(
    hub: LoopbackHub, source: HubSource, home: Path
) -> None:
    hub.faults.corrupt = True
    fetcher = Fetcher(home)
    with pytest.raises(ChecksumMismatch, match="deleted; pull again"):
        fetcher.fetch(source)
    assert fetcher.leftovers() == []
    hub.faults.corrupt = False
    assert fetcher.fetch(source).is_file()


def test_another_file_than_the_manifest_pins_is_not_downloaded(
    hub: LoopbackHub, source: HubSource, home: Path
) -> None:
    with pytest.raises(ChecksumMismatch, match="nothing was downloaded"):
        Fetcher(home).fetch(replace(source, sha256="0" * 64))
    assert hub.seen("GET") == []


def test_another_size_than_the_manifest_pins_is_not_downloaded(
    hub: LoopbackHub, source: HubSource, home: Path
) -> None:
    with pytest.raises(DownloadFailed, match="the manifest says 5"):
        Fetcher(home).fetch(replace(source, size_bytes=5))
    assert hub.seen("GET") == []


def test_a_file_that_is_no_model_is_refused_and_deleted(hub: LoopbackHub, home: Path) -> None:
    hub.add("someone/junk", "junk.gguf", b"this is a web page, not a model")
    fetcher = Fetcher(home)
    with pytest.raises(BrokenFile, match=r"junk\.gguf: is not a GGUF file"):
        fetcher.fetch(HubSource("someone/junk", "junk.gguf"))
    assert fetcher.leftovers() == []


def test_a_file_outside_large_file_storage_gets_its_own_checksum(
    hub: LoopbackHub, source: HubSource, tiny_gguf: Path, home: Path
) -> None:
    hub.published_as_large_file = False
    record_path = Fetcher(home).fetch(source).parent / "pulled.json"
    expected = hashlib.sha256(tiny_gguf.read_bytes()).hexdigest()
    assert json.loads(record_path.read_text())["sha256"] == expected


def test_a_new_revision_replaces_the_old_file(
    hub: LoopbackHub, source: HubSource, tiny_gguf: Path, home: Path
) -> None:
    fetcher = Fetcher(home)
    fetcher.fetch(source)
    changed = tiny_gguf.read_bytes() + b"\0" * 32
    hub.revisions["v2"] = "2" * 40
    hub.add("someone/tiny-GGUF", "quants/tiny.gguf", changed)
    assert fetcher.fetch(replace(source, revision="v2")).read_bytes() == changed
    assert fetcher.store.pulled("tiny", source) is None
