"""What holds for every pull, of a file and of a checkpoint alike."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quorate_registry.download import Downloader
from quorate_registry.errors import (
    ChecksumMismatch,
    DownloadFailed,
    Interrupted,
    NotEnoughSpace,
    StoreUnusable,
)
from quorate_registry.hub import Hub
from quorate_registry.store import Store
from quorate_registry.transfer import ATTEMPTS, MARGIN_BYTES, Disk
from support.loopback_hub import COMMIT
from support.pulls import Fetcher, Published, SmallDisk


def test_a_pull_stores_the_content_and_pins_commit_and_checksums(
    published: Published, home: Path
) -> None:
    fetcher = Fetcher(home)
    path = fetcher.fetch(published.source)
    assert path == home / "models" / "tiny" / published.name
    assert published.read(path) == published.content
    assert fetcher.leftovers() == sorted(["pulled.json", published.name])
    record = json.loads((path.parent / "pulled.json").read_text())
    assert (record["repo"], record["revision"]) == (published.source.repo, "main")
    assert record["commit"] == COMMIT
    files = record.get("files") or [{**record, "path": record["file"]}]
    assert {file["path"]: (file["sha256"], file["size_bytes"]) for file in files} == {
        name: (hashlib.sha256(data).hexdigest(), len(data))
        for name, data in published.content.items()
    }


def test_a_pull_describes_once_and_fetches_each_file_once_at_the_commit(
    published: Published, home: Path
) -> None:
    Fetcher(home).fetch(published.source)
    assert [request.path for request in published.hub.downloads()] == [
        f"/{published.source.repo}/resolve/{COMMIT}/{name}" for name in published.content
    ]
    assert len(published.hub.requests) == len(published.content) + 1


def test_progress_grows_to_the_size_of_everything(published: Published, home: Path) -> None:
    # A server without ranges makes a file begin anew, which must not be seen.
    published.cut(published.early, 300)
    published.hub.faults.ignores_ranges = True
    fetcher = Fetcher(home)
    fetcher.fetch(published.source)
    done = [now for now, _ in fetcher.progress]
    assert done == sorted(done)
    assert done[0] == 0
    assert fetcher.progress[-1] == (published.total_bytes, published.total_bytes)
    assert {total for _, total in fetcher.progress} == {published.total_bytes}


def test_what_is_pulled_is_not_looked_up_again(published: Published, home: Path) -> None:
    first = Fetcher(home).fetch(published.source)
    asked = len(published.hub.requests)
    published.hub.revisions["main"] = "f" * 40
    assert Fetcher(home).fetch(published.source) == first
    assert len(published.hub.requests) == asked


def test_a_cut_connection_is_resumed_within_the_same_pull(published: Published, home: Path) -> None:
    published.cut(published.early, 100, 300)
    fetcher = Fetcher(home)
    assert published.read(fetcher.fetch(published.source)) == published.content
    assert published.hub.ranges(published.early) == [None, "bytes=100-", "bytes=400-"]
    assert len(fetcher.pauses) == 2


def given_up(published: Published, home: Path, arrived: int) -> Fetcher:
    """After a pull that broke off in the last file for good."""
    attempts = arrived, *[0] * (ATTEMPTS - 1)
    published.cut(published.last, *attempts)
    fetcher = Fetcher(home)
    with pytest.raises(Interrupted, match=f"{published.source.repo}/{published.last}"):
        fetcher.fetch(published.source)
    published.hub.requests.clear()
    return fetcher


def test_a_pull_that_gave_up_is_resumed_by_the_next_one(published: Published, home: Path) -> None:
    first = given_up(published, home, 700)
    assert [name.endswith(".part") for name in first.leftovers()] == [True]
    second = Fetcher(home)
    assert published.read(second.fetch(published.source)) == published.content
    assert [request.range for request in published.hub.downloads()] == ["bytes=700-"]
    assert second.progress[0][0] == published.bytes_before(published.last) + 700
    assert second.leftovers() == sorted(["pulled.json", published.name])


def test_a_start_damaged_while_a_pull_was_interrupted_is_found(
    published: Published, home: Path
) -> None:
    fetcher = given_up(published, home, 64)
    damaged = fetcher.partial(published.early)
    damaged.write_bytes(bytes(damaged.stat().st_size))
    with pytest.raises(ChecksumMismatch, match=f"{published.early} as downloaded"):
        fetcher.fetch(published.source)
    assert published.read(fetcher.fetch(published.source)) == published.content


def test_a_part_longer_than_its_file_is_dropped(published: Published, home: Path) -> None:
    fetcher = given_up(published, home, 700)
    fetcher.partial(published.last).write_bytes(published.content[published.last] + b"more")
    assert published.read(fetcher.fetch(published.source)) == published.content


def test_a_finished_part_is_taken_over_without_fetching(published: Published, home: Path) -> None:
    # As a crash between the record and the final name leaves it.
    class CrashedError(Exception):
        pass

    class CrashingStore(Store):
        def install(self, *arguments: Any) -> Path:
            raise CrashedError

    with pytest.raises(CrashedError):
        Downloader(CrashingStore(home), Hub(), Disk()).fetch(
            "tiny", published.source, lambda done, total: None
        )
    fetched = len(published.hub.fetched())
    assert published.read(Fetcher(home).fetch(published.source)) == published.content
    assert len(published.hub.fetched()) == fetched


def test_a_server_without_ranges_is_read_from_the_start(published: Published, home: Path) -> None:
    published.cut(published.early, 500)
    published.hub.faults.ignores_ranges = True
    assert published.read(Fetcher(home).fetch(published.source)) == published.content


def test_a_server_without_ranges_that_always_breaks_is_given_up(
    published: Published, home: Path
) -> None:
    published.cut(published.early, 500, 100, 400, 100, 400, 100, 400)
    published.hub.faults.ignores_ranges = True
    with pytest.raises(Interrupted):
        Fetcher(home).fetch(published.source)
    assert len(published.hub.ranges(published.early)) == ATTEMPTS


def test_an_answer_with_another_range_is_not_appended(published: Published, home: Path) -> None:
    published.cut(published.early, 500)
    published.hub.faults.shifted_range = 1
    assert published.read(Fetcher(home).fetch(published.source)) == published.content
    assert published.hub.ranges(published.early) == [None, "bytes=500-", None]


def test_more_bytes_than_announced_are_refused(published: Published, home: Path) -> None:
    published.hub.faults.surplus = b"surplus"
    with pytest.raises(DownloadFailed, match="more bytes than it announced"):
        Fetcher(home).fetch(published.source)
    assert not (home / "models" / "tiny" / published.name).exists()


def test_an_endpoint_that_is_no_address_is_named(
    published: Published, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "hub.example")
    with pytest.raises(DownloadFailed, match=r"'hub\.example' is no address of a hub"):
        Fetcher(home).fetch(published.source)


def test_a_pinned_commit_is_asked_for_and_insisted_on(published: Published, home: Path) -> None:
    assert Fetcher(home).fetch(replace(published.source, revision=COMMIT)).exists()
    published.hub.revisions["e" * 40] = COMMIT
    message = f"cannot download {published.asked_for}: pinned to commit {'e' * 40}"
    with pytest.raises(DownloadFailed, match=message):
        Fetcher(home).fetch(replace(published.source, revision="e" * 40))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"repo": "nobody/nothing"}, "has no such repository"),
        ({"revision": "v9"}, "has no revision 'v9'"),
        ({"repo": "a--b/c"}, "the hub refuses this repository name"),
    ],
)
def test_what_the_hub_does_not_have_is_named(
    published: Published, home: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(DownloadFailed, match=message) as caught:
        Fetcher(home).fetch(replace(published.source, **change))
    assert "\n" not in str(caught.value)
    assert not isinstance(caught.value, Interrupted)


def test_a_renamed_repository_is_followed(published: Published, home: Path) -> None:
    published.hub.faults.renamed = {"old/name": published.source.repo}
    assert Fetcher(home).fetch(replace(published.source, repo="old/name")).exists()


def test_a_gated_repository_asks_for_a_token(published: Published, home: Path) -> None:
    published.hub.faults.token = "hf_secret"
    with pytest.raises(DownloadFailed, match=r"gated.*set HF_TOKEN"):
        Fetcher(home).fetch(published.source)


def test_a_token_without_access_is_told_to_accept_the_terms(
    published: Published, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    published.hub.faults.token = "hf_secret"
    with pytest.raises(DownloadFailed, match=r"gated \(403\); accept its terms") as caught:
        Fetcher(home).fetch(published.source)
    assert "hf_other" not in str(caught.value)


def test_a_token_opens_a_gated_repository(
    published: Published, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    published.hub.faults.token = "hf_secret"
    assert Fetcher(home).fetch(published.source).exists()
    assert {request.authorization for request in published.hub.requests} == {"Bearer hf_secret"}


def test_a_busy_hub_is_asked_again(published: Published, home: Path) -> None:
    published.hub.faults.statuses = deque([503, 500])
    fetcher = Fetcher(home)
    assert fetcher.fetch(published.source).exists()
    assert fetcher.pauses == [1.0, 2.0]


def test_a_hub_that_stays_broken_is_given_up(published: Published, home: Path) -> None:
    published.hub.faults.always_status = 502
    with pytest.raises(Interrupted, match="answered 502; pull again later"):
        Fetcher(home).fetch(published.source)
    assert len(published.hub.requests) == ATTEMPTS


def test_a_hub_that_is_gone_is_named(published: Published, home: Path) -> None:
    published.hub.close()
    reason = f"cannot reach {published.hub.endpoint}.*refused"
    with pytest.raises(Interrupted, match=f"cannot download {published.asked_for}: {reason}"):
        Fetcher(home).fetch(published.source)


def test_too_little_disk_for_everything_is_found_before_the_download(
    published: Published, home: Path
) -> None:
    needed = published.total_bytes + MARGIN_BYTES
    with pytest.raises(NotEnoughSpace) as caught:
        Fetcher(home, SmallDisk(free=needed - 1)).fetch(published.source)
    assert (caught.value.needed_bytes, caught.value.free_bytes) == (needed, needed - 1)
    assert published.hub.fetched() == []
    assert Fetcher(home, SmallDisk(free=needed)).fetch(published.source).exists()


def test_a_disk_that_fills_up_keeps_what_has_arrived(published: Published, home: Path) -> None:
    before = published.bytes_before(published.early)
    with pytest.raises(NotEnoughSpace, match="pull again") as caught:
        Fetcher(home, SmallDisk(room=before + 600)).fetch(published.source)
    assert caught.value.needed_bytes == published.total_bytes - before - 600 + MARGIN_BYTES
    assert not (home / "models" / "tiny" / published.name).exists()
    assert published.read(Fetcher(home).fetch(published.source)) == published.content
    assert published.hub.ranges(published.early)[-1] == "bytes=600-"


def test_a_home_that_is_a_file_is_one_clear_error(published: Published, home: Path) -> None:
    home.write_text("in the way")
    with pytest.raises(StoreUnusable, match="set QUORATE_HOME"):
        Fetcher(home).fetch(published.source)


def test_an_observer_can_stop_a_pull_and_what_arrived_is_kept(
    published: Published, home: Path
) -> None:
    class StoppedError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done > published.bytes_before(published.last):
            raise StoppedError

    fetcher = Fetcher(home)
    with pytest.raises(StoppedError):
        fetcher.fetch(published.source, stop)
    assert [name.endswith(".part") for name in fetcher.leftovers()] == [True]
    assert all(fetcher.partial(name).is_file() for name in published.content)
    assert fetcher.fetch(published.source).exists()
