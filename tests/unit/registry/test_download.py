from __future__ import annotations

import hashlib
import importlib
import json
from collections import deque
from dataclasses import replace
from pathlib import Path

import pytest

from quorate_registry.errors import (
    BrokenFile,
    ChecksumMismatch,
    DownloadFailed,
    Interrupted,
    NotEnoughSpace,
    StoreUnusable,
)
from quorate_registry.manifest import HubSource
from quorate_registry.transfer import ATTEMPTS, MARGIN_BYTES
from support.loopback_hub import COMMIT, LoopbackHub
from support.pulls import Fetcher, SmallDisk


def test_a_pull_stores_the_file_and_pins_commit_and_checksum(
    hub: LoopbackHub, source: HubSource, tiny_gguf: Path, home: Path
) -> None:
    fetcher = Fetcher(home)
    path = fetcher.fetch(source)
    content = tiny_gguf.read_bytes()
    assert path == home / "models" / "tiny" / "tiny.gguf"
    assert path.read_bytes() == content
    record = json.loads((path.parent / "pulled.json").read_text())
    assert record["commit"] == COMMIT
    assert record["sha256"] == hashlib.sha256(content).hexdigest()
    assert record["size_bytes"] == len(content)
    assert fetcher.leftovers() == ["pulled.json", "tiny.gguf"]
    assert [request.path for request in hub.seen("GET")] == [
        f"/someone/tiny-GGUF/resolve/{COMMIT}/quants/tiny.gguf"
    ]


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


def test_progress_grows_to_the_size_of_the_file(source: HubSource, home: Path) -> None:
    fetcher = Fetcher(home)
    size = fetcher.fetch(source).stat().st_size
    done = [now for now, _ in fetcher.progress]
    assert done == sorted(done)
    assert done[0] == 0
    assert fetcher.progress[-1] == (size, size)
    assert {total for _, total in fetcher.progress} == {size}


def test_a_pulled_file_is_not_fetched_again(
    hub: LoopbackHub, source: HubSource, home: Path
) -> None:
    first = Fetcher(home).fetch(source)
    asked = len(hub.requests)
    hub.revisions["main"] = "f" * 40
    assert Fetcher(home).fetch(source) == first
    assert len(hub.requests) == asked


def test_a_cut_connection_is_resumed_within_the_same_pull(
    hub: LoopbackHub, source: HubSource, tiny_gguf: Path, home: Path
) -> None:
    hub.faults.cut_after = deque([100, 300])
    fetcher = Fetcher(home)
    path = fetcher.fetch(source)
    assert path.read_bytes() == tiny_gguf.read_bytes()
    assert [request.range for request in hub.seen("GET")] == [None, "bytes=100-", "bytes=400-"]
    assert len(fetcher.pauses) == 2


def test_a_pull_that_gave_up_is_resumed_by_the_next_one(
    hub: LoopbackHub, source: HubSource, tiny_gguf: Path, home: Path
) -> None:
    hub.faults.cut_after = deque([700] + [0] * (ATTEMPTS - 1))
    first = Fetcher(home)
    with pytest.raises(Interrupted, match="someone/tiny-GGUF"):
        first.fetch(source)
    assert [name.endswith(".part") for name in first.leftovers()] == [True]
    asked = len(hub.seen("GET"))
    second = Fetcher(home)
    assert second.fetch(source).read_bytes() == tiny_gguf.read_bytes()
    assert [request.range for request in hub.seen("GET")[asked:]] == ["bytes=700-"]
    assert second.progress[0][0] == 700
    assert second.leftovers() == ["pulled.json", "tiny.gguf"]


def test_a_finished_part_is_taken_over_without_another_request(
    hub: LoopbackHub, source: HubSource, tiny_gguf: Path, home: Path
) -> None:
    content = tiny_gguf.read_bytes()
    fetcher = Fetcher(home)
    part = fetcher.store.part("tiny", source, hashlib.sha256(content).hexdigest())
    part.parent.mkdir(parents=True)
    part.write_bytes(content)
    assert fetcher.fetch(source).read_bytes() == content
    assert hub.seen("GET") == []


def test_a_part_longer_than_the_file_is_dropped(
    source: HubSource, tiny_gguf: Path, home: Path
) -> None:
    content = tiny_gguf.read_bytes()
    fetcher = Fetcher(home)
    part = fetcher.store.part("tiny", source, hashlib.sha256(content).hexdigest())
    part.parent.mkdir(parents=True)
    part.write_bytes(content + b"more")
    assert fetcher.fetch(source).read_bytes() == content


def test_a_server_without_ranges_is_read_from_the_start(
    hub: LoopbackHub, source: HubSource, tiny_gguf: Path, home: Path
) -> None:
    hub.faults.cut_after = deque([500])
    hub.faults.ignores_ranges = True
    assert Fetcher(home).fetch(source).read_bytes() == tiny_gguf.read_bytes()


def test_a_server_without_ranges_that_always_breaks_is_given_up(
    hub: LoopbackHub, source: HubSource, home: Path
) -> None:
    hub.faults.cut_after = deque([500, 100, 400, 100, 400, 100, 400])
    hub.faults.ignores_ranges = True
    with pytest.raises(Interrupted):
        Fetcher(home).fetch(source)
    assert len(hub.seen("GET")) == ATTEMPTS


def test_an_answer_with_another_range_is_not_appended(
    hub: LoopbackHub, source: HubSource, tiny_gguf: Path, home: Path
) -> None:
    hub.faults.cut_after = deque([500])
    hub.faults.shifted_range = 1
    assert Fetcher(home).fetch(source).read_bytes() == tiny_gguf.read_bytes()
    assert [request.range for request in hub.seen("GET")] == [None, "bytes=500-", None]


def test_more_bytes_than_announced_are_refused(
    hub: LoopbackHub, source: HubSource, home: Path
) -> None:
    hub.faults.surplus = b"surplus"
    fetcher = Fetcher(home)
    with pytest.raises(DownloadFailed, match="more bytes than it announced"):
        fetcher.fetch(source)
    assert not (home / "models" / "tiny" / "tiny.gguf").exists()


def test_a_server_that_is_no_hub_is_named(hub: LoopbackHub, source: HubSource, home: Path) -> None:
    hub.faults.without_hub_headers = True
    with pytest.raises(DownloadFailed, match="does not answer like a Hugging Face hub"):
        Fetcher(home).fetch(source)


def test_an_endpoint_that_is_no_address_is_named(
    source: HubSource, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "hub.example")
    with pytest.raises(DownloadFailed, match=r"'hub\.example' is no address of a hub"):
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


def test_a_damaged_start_is_refused_and_the_next_pull_begins_anew(
    source: HubSource, tiny_gguf: Path, home: Path
) -> None:
    content = tiny_gguf.read_bytes()
    fetcher = Fetcher(home)
    part = fetcher.store.part("tiny", source, hashlib.sha256(content).hexdigest())
    part.parent.mkdir(parents=True)
    part.write_bytes(b"\0" * 64)
    with pytest.raises(ChecksumMismatch):
        fetcher.fetch(source)
    assert fetcher.fetch(source).read_bytes() == content


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


def test_a_pinned_commit_is_asked_for_and_insisted_on(
    hub: LoopbackHub, source: HubSource, home: Path
) -> None:
    assert Fetcher(home).fetch(replace(source, revision=COMMIT)).is_file()
    hub.revisions["e" * 40] = COMMIT
    with pytest.raises(DownloadFailed, match=f"pinned to commit {'e' * 40}"):
        Fetcher(home).fetch(replace(source, revision="e" * 40))


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


def test_a_renamed_repository_is_followed(hub: LoopbackHub, source: HubSource, home: Path) -> None:
    hub.faults.renamed = {"old/name": "someone/tiny-GGUF"}
    assert Fetcher(home).fetch(replace(source, repo="old/name")).is_file()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"file": "absent.gguf"}, "no such file at revision 'main'"),
        ({"repo": "nobody/nothing"}, "has no such repository"),
        ({"revision": "v9"}, "has no revision 'v9'"),
    ],
)
def test_what_the_hub_does_not_have_is_named(
    source: HubSource, home: Path, change: dict[str, str], message: str
) -> None:
    with pytest.raises(DownloadFailed, match=message) as caught:
        Fetcher(home).fetch(replace(source, **change))
    assert "\n" not in str(caught.value)
    assert not isinstance(caught.value, Interrupted)


def test_a_gated_repository_asks_for_a_token(
    hub: LoopbackHub, source: HubSource, home: Path
) -> None:
    hub.faults.token = "hf_secret"
    with pytest.raises(DownloadFailed, match=r"gated.*set HF_TOKEN"):
        Fetcher(home).fetch(source)


def test_a_token_without_access_is_told_to_accept_the_terms(
    hub: LoopbackHub, source: HubSource, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    hub.faults.token = "hf_secret"
    with pytest.raises(DownloadFailed, match=r"gated \(403\); accept its terms") as caught:
        Fetcher(home).fetch(source)
    assert "hf_other" not in str(caught.value)


def test_a_token_opens_a_gated_repository(
    hub: LoopbackHub, source: HubSource, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.faults.token = "hf_secret"
    assert Fetcher(home).fetch(source).is_file()
    assert {request.authorization for request in hub.requests} == {"Bearer hf_secret"}


def test_a_busy_hub_is_asked_again(hub: LoopbackHub, source: HubSource, home: Path) -> None:
    hub.faults.statuses = deque([503, 500])
    fetcher = Fetcher(home)
    assert fetcher.fetch(source).is_file()
    assert fetcher.pauses == [1.0, 2.0]


def test_a_hub_that_stays_broken_is_given_up(
    hub: LoopbackHub, source: HubSource, home: Path
) -> None:
    hub.faults.always_status = 502
    with pytest.raises(Interrupted, match="answered 502; pull again later"):
        Fetcher(home).fetch(source)
    assert len(hub.requests) == ATTEMPTS


def test_a_hub_that_is_gone_is_named(hub: LoopbackHub, source: HubSource, home: Path) -> None:
    hub.close()
    with pytest.raises(Interrupted, match=f"cannot reach {hub.endpoint}.*refused"):
        Fetcher(home).fetch(source)


def test_too_little_disk_is_found_before_the_download(
    hub: LoopbackHub, source: HubSource, tiny_gguf: Path, home: Path
) -> None:
    size = tiny_gguf.stat().st_size
    with pytest.raises(NotEnoughSpace) as caught:
        Fetcher(home, SmallDisk(free=size + MARGIN_BYTES - 1)).fetch(source)
    assert caught.value.needed_bytes == size + MARGIN_BYTES
    assert caught.value.free_bytes == size + MARGIN_BYTES - 1
    assert hub.seen("GET") == []
    assert Fetcher(home, SmallDisk(free=size + MARGIN_BYTES)).fetch(source).is_file()


def test_a_disk_that_fills_up_keeps_the_part_for_the_next_pull(
    hub: LoopbackHub, source: HubSource, tiny_gguf: Path, home: Path
) -> None:
    fetcher = Fetcher(home, SmallDisk(room=600))
    with pytest.raises(NotEnoughSpace, match="pull again"):
        fetcher.fetch(source)
    assert not (home / "models" / "tiny" / "tiny.gguf").exists()
    assert Fetcher(home).fetch(source).read_bytes() == tiny_gguf.read_bytes()
    assert hub.seen("GET")[-1].range == "bytes=600-"


def test_a_home_that_is_a_file_is_one_clear_error(source: HubSource, home: Path) -> None:
    home.write_text("in the way")
    with pytest.raises(StoreUnusable, match="set QUORATE_HOME"):
        Fetcher(home).fetch(source)


def test_an_observer_can_stop_a_pull_and_what_arrived_is_kept(
    hub: LoopbackHub, source: HubSource, home: Path
) -> None:
    class StoppedError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done:
            raise StoppedError

    fetcher = Fetcher(home)
    with pytest.raises(StoppedError):
        fetcher.fetch(source, stop)
    assert [name.endswith(".part") for name in fetcher.leftovers()] == [True]


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
