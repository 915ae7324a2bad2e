from __future__ import annotations

import hashlib
import json
import re
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quorate_registry.disk import Disk
from quorate_registry.download import Downloader
from quorate_registry.errors import (
    BrokenFile,
    ChecksumMismatch,
    DownloadFailed,
    Interrupted,
    NotEnoughSpace,
    StoreUnusable,
)
from quorate_registry.hub import Hub
from quorate_registry.manifest import SnapshotSource
from quorate_registry.snapshot_files import MAX_FILES
from quorate_registry.store import Store
from quorate_registry.transfer import ATTEMPTS, MARGIN_BYTES
from support.loopback_hub import COMMIT, LoopbackHub
from support.pulls import Fetcher, SmallDisk

FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
INDEX = "model.safetensors.index.json"
REPO = "someone/tiny"


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_a_pull_stores_every_file_and_pins_commit_and_checksums(
    hub: LoopbackHub, snapshot: SnapshotSource, tiny_checkpoint: dict[str, bytes], home: Path
) -> None:
    fetcher = Fetcher(home)
    folder = fetcher.fetch(snapshot)
    assert folder == home / "models" / "tiny" / "checkpoint"
    assert content(folder) == tiny_checkpoint
    assert fetcher.leftovers() == ["checkpoint", "pulled.json"]
    record = json.loads((folder.parent / "pulled.json").read_text())
    assert (record["repo"], record["revision"], record["commit"]) == (REPO, "main", COMMIT)
    assert {file["path"]: (file["sha256"], file["size_bytes"]) for file in record["files"]} == {
        name: (hashlib.sha256(data).hexdigest(), len(data))
        for name, data in tiny_checkpoint.items()
    }
    assert hub.listings() == 1
    assert {request.path.split("/")[4] for request in hub.seen("GET")[1:]} == {COMMIT}


def test_what_says_how_to_read_the_weights_comes_before_them(
    hub: LoopbackHub, snapshot: SnapshotSource, home: Path
) -> None:
    Fetcher(home).fetch(snapshot)
    assert hub.fetched()[-2:] == [FIRST, SECOND]
    assert hub.fetched()[0] == "config.json"


@pytest.mark.parametrize("patterns", [(), ("*",), ("*", "m*", "old*")])
def test_pickles_and_programs_are_never_fetched(
    hub: LoopbackHub, snapshot: SnapshotSource, home: Path, patterns: tuple[str, ...]
) -> None:
    folder = Fetcher(home).fetch(replace(snapshot, files=patterns))
    kinds = {".safetensors", ".json"}
    assert {Path(name).suffix for name in hub.fetched()} == kinds
    assert {path.suffix for path in folder.iterdir()} == kinds


def test_patterns_choose_the_files_and_the_configuration_comes_along(
    hub: LoopbackHub, snapshot: SnapshotSource, home: Path
) -> None:
    folder = Fetcher(home).fetch(replace(snapshot, files=("consolidated.*", "tok*.json")))
    assert sorted(content(folder)) == [
        "config.json",
        "consolidated.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_files_in_folders_keep_their_place(
    hub: LoopbackHub, snapshot: SnapshotSource, home: Path
) -> None:
    hub.add(REPO, "extra/deep/notes.txt", b"n", large=False)
    folder = Fetcher(home).fetch(replace(snapshot, files=("m*", "extra/*/*.txt")))
    assert (folder / "extra" / "deep" / "notes.txt").read_bytes() == b"n"


def test_progress_grows_to_the_size_of_all_files(
    hub: LoopbackHub, snapshot: SnapshotSource, tiny_checkpoint: dict[str, bytes], home: Path
) -> None:
    # A server without ranges makes a file begin anew, which must not be seen.
    hub.faults.cut_after = deque([100_000] * 5 + [300])
    hub.faults.ignores_ranges = True
    fetcher = Fetcher(home)
    fetcher.fetch(snapshot)
    total = sum(map(len, tiny_checkpoint.values()))
    done = [now for now, _ in fetcher.progress]
    assert done == sorted(done)
    assert fetcher.progress[-1] == (total, total)
    assert {whole for _, whole in fetcher.progress} == {total}


def test_a_pulled_checkpoint_is_not_looked_up_again(
    hub: LoopbackHub, snapshot: SnapshotSource, home: Path
) -> None:
    first = Fetcher(home).fetch(snapshot)
    asked = len(hub.requests)
    hub.revisions["main"] = "f" * 40
    assert Fetcher(home).fetch(snapshot) == first
    assert len(hub.requests) == asked


def test_a_cut_connection_is_resumed_within_the_same_pull(
    hub: LoopbackHub, snapshot: SnapshotSource, tiny_checkpoint: dict[str, bytes], home: Path
) -> None:
    hub.faults.cut_after = deque([100_000] * 5 + [300])
    fetcher = Fetcher(home)
    assert content(fetcher.fetch(snapshot)) == tiny_checkpoint
    ranges = [request.range for request in hub.seen("GET") if request.path.endswith(FIRST)]
    assert ranges == [None, "bytes=300-"]
    assert len(fetcher.pauses) == 1


def test_a_pull_that_gave_up_is_resumed_by_the_next_one(
    hub: LoopbackHub, snapshot: SnapshotSource, tiny_checkpoint: dict[str, bytes], home: Path
) -> None:
    hub.faults.cut_after = deque([100_000] * 6 + [700] + [0] * (ATTEMPTS - 1))
    first = Fetcher(home)
    with pytest.raises(Interrupted, match=f"{REPO}/{SECOND}"):
        first.fetch(snapshot)
    assert len(first.leftovers()) == 1
    assert SECOND in first.parts()
    asked = len(hub.seen("GET"))
    second = Fetcher(home)
    assert content(second.fetch(snapshot)) == tiny_checkpoint
    again = hub.seen("GET")[asked:]
    assert [request.range for request in again if "/resolve/" in request.path] == ["bytes=700-"]
    total = sum(map(len, tiny_checkpoint.values()))
    assert second.progress[0][0] == total - len(tiny_checkpoint[SECOND]) + 700
    assert second.leftovers() == ["checkpoint", "pulled.json"]


def test_a_file_damaged_while_a_pull_was_interrupted_is_found(
    hub: LoopbackHub, snapshot: SnapshotSource, tiny_checkpoint: dict[str, bytes], home: Path
) -> None:
    hub.faults.cut_after = deque([100_000] * 6 + [0] * ATTEMPTS)
    fetcher = Fetcher(home)
    with pytest.raises(Interrupted):
        fetcher.fetch(snapshot)
    (damaged,) = fetcher.store.folder("tiny").rglob(FIRST)
    damaged.write_bytes(bytes(damaged.stat().st_size))
    with pytest.raises(ChecksumMismatch, match=f"{FIRST} as downloaded"):
        fetcher.fetch(snapshot)
    assert content(fetcher.fetch(snapshot)) == tiny_checkpoint


def test_another_commit_begins_anew_and_leaves_nothing_behind(
    hub: LoopbackHub, snapshot: SnapshotSource, tiny_checkpoint: dict[str, bytes], home: Path
) -> None:
    hub.faults.cut_after = deque([100_000] * 6 + [0] * ATTEMPTS)
    fetcher = Fetcher(home)
    with pytest.raises(Interrupted):
        fetcher.fetch(snapshot)
    hub.revisions["main"] = "f" * 40
    assert content(fetcher.fetch(snapshot)) == tiny_checkpoint
    assert fetcher.leftovers() == ["checkpoint", "pulled.json"]


def test_a_new_revision_replaces_the_old_folder(
    hub: LoopbackHub, snapshot: SnapshotSource, home: Path
) -> None:
    fetcher = Fetcher(home)
    fetcher.fetch(replace(snapshot, files=("m*", "tokenizer.json")))
    hub.revisions["v2"] = "2" * 40
    folder = fetcher.fetch(replace(snapshot, revision="v2", files=("m*",)))
    assert not (folder / "tokenizer.json").exists()
    assert fetcher.store.pulled("tiny", snapshot) is None


@pytest.mark.parametrize(
    ("name", "sum_name"), [(FIRST, "SHA-256"), ("tokenizer.json", "git blob id")]
)
def test_wrong_bytes_are_refused_and_that_file_alone_deleted(
    hub: LoopbackHub, snapshot: SnapshotSource, home: Path, name: str, sum_name: str
) -> None:
    hub.faults.corrupt = name
    fetcher = Fetcher(home)
    message = f"{REPO}/{name} as downloaded: {sum_name} is .*: deleted; pull again"
    with pytest.raises(ChecksumMismatch, match=message):
        fetcher.fetch(snapshot)
    assert name not in fetcher.parts()
    assert "config.json" in fetcher.parts()
    hub.faults.corrupt = False
    fetched = len(hub.fetched())
    assert fetcher.fetch(snapshot).is_dir()
    assert "config.json" not in hub.fetched()[fetched:]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("config.json", b"{}", "config.json: does not name its architecture"),
        (FIRST, b"a web page", f"{FIRST}: is not a safetensors file"),
        (INDEX, b"{}", f"{INDEX}: has no table weight_map"),
        (INDEX, b'{"weight_map": {"a": "absent.safetensors"}}', "lacks the file absent."),
        (INDEX, b'{"weight_map": {"a": "../a.safetensors"}}', "puts the tensor 'a' into"),
        (INDEX, b'{"weight_map": {"a": "%s"}}' % FIRST.encode(), "lacks the tensor 'a'"),
    ],
)
def test_files_that_are_no_checkpoint_together_are_refused_and_deleted(
    hub: LoopbackHub, snapshot: SnapshotSource, home: Path, name: str, data: bytes, message: str
) -> None:
    hub.add(REPO, name, data, large=name == FIRST)
    fetcher = Fetcher(home)
    with pytest.raises(BrokenFile, match=f"{re.escape(message)}.*; the download was deleted"):
        fetcher.fetch(snapshot)
    assert not (home / "models" / "tiny" / "checkpoint").exists()
    assert name == INDEX or name not in fetcher.parts()


def test_an_index_that_names_absent_weights_is_found_before_they_are_fetched(
    hub: LoopbackHub, snapshot: SnapshotSource, home: Path
) -> None:
    hub.add(REPO, INDEX, b'{"weight_map": {"a": "absent.safetensors"}}', large=False)
    with pytest.raises(BrokenFile, match="lacks the file absent"):
        Fetcher(home).fetch(snapshot)
    assert FIRST not in hub.fetched()


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        (("tokenizer.json", "model*"), "has no config.json, so it is no checkpoint"),
        (("config.json",), "has no weights as safetensors; a GGUF file"),
        (("config.json", "*.bin"), "only pickles, which can run code and are never fetched"),
        (("config.json", "consolidated*"), "none of its safetensors match the file patterns"),
    ],
)
def test_a_repository_that_is_no_checkpoint_is_refused_before_anything_is_fetched(
    hub: LoopbackHub, snapshot: SnapshotSource, home: Path, kept: tuple[str, ...], message: str
) -> None:
    for repo, name in list(hub.files):
        if not any(Path(name).match(pattern) for pattern in kept):
            del hub.files[repo, name]
    with pytest.raises(DownloadFailed, match=f"cannot download {REPO}: .*{message}") as caught:
        Fetcher(home).fetch(snapshot)
    assert "\n" not in str(caught.value)
    assert hub.fetched() == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../evil.json", "could land anywhere"),
        ("/etc/evil.json", "could land anywhere"),
        ("sub/../../evil.json", "could land anywhere"),
        (".hidden.json", "could land anywhere"),
        ("a\\..\\evil.json", "could land anywhere"),
        ("evil\n.json", "could land anywhere"),
        ("CONFIG.json", "nearly the same name"),
        ("config.json/evil.json", "nearly the same name"),
    ],
)
def test_names_that_are_a_trap_are_refused_before_anything_is_fetched(
    hub: LoopbackHub, snapshot: SnapshotSource, home: Path, name: str, message: str
) -> None:
    hub.add(REPO, name, b"{}", large=False)
    with pytest.raises(DownloadFailed, match=f"{message}.*; nothing|{message}; nothing") as caught:
        Fetcher(home).fetch(replace(snapshot, files=("*", "*/*", "*/*/*", "*/*/*/*")))
    assert "\n" not in str(caught.value)
    assert hub.fetched() == []


def test_a_list_of_endless_files_is_refused(
    hub: LoopbackHub, snapshot: SnapshotSource, home: Path
) -> None:
    def many(answer: dict[str, Any]) -> dict[str, Any]:
        one = answer["siblings"][0]
        more = [one | {"rfilename": f"model{n}.safetensors"} for n in range(MAX_FILES)]
        return answer | {"siblings": [*answer["siblings"], *more]}

    hub.faults.listing = many
    with pytest.raises(DownloadFailed, match=f"more than {MAX_FILES}; name fewer"):
        Fetcher(home).fetch(snapshot)


def with_first(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    """Changes the entry of the first file in the list."""

    def change(answer: dict[str, Any]) -> Any:
        first, *others = answer["siblings"]
        return answer | {"siblings": [first | changes, *others]}

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda answer: [],
        lambda answer: None,
        lambda answer: {"id": REPO},
        lambda answer: answer | {"sha": "main"},
        lambda answer: answer | {"sha": None},
        lambda answer: answer | {"siblings": None},
        lambda answer: answer | {"siblings": {"a": 1}},
        lambda answer: answer | {"siblings": [{"size": 1}]},
        with_first(rfilename=7),
        with_first(size=None),
        with_first(size=-1),
        with_first(size="12"),
        with_first(blobId=None),
        with_first(blobId="../.."),
        with_first(lfs={"size": 1}),
        with_first(lfs={"sha256": "abc", "size": 1, "pointerSize": 1}),
        with_first(lfs={"sha256": 1, "size": 1, "pointerSize": 1}),
    ],
)
def test_a_server_that_is_no_hub_is_named(
    hub: LoopbackHub,
    snapshot: SnapshotSource,
    home: Path,
    change: Callable[[dict[str, Any]], Any],
) -> None:
    hub.faults.listing = change
    with pytest.raises(DownloadFailed, match="does not answer like a Hugging Face hub"):
        Fetcher(home).fetch(snapshot)
    assert hub.fetched() == []


def test_a_pinned_commit_is_asked_for_and_insisted_on(
    hub: LoopbackHub, snapshot: SnapshotSource, home: Path
) -> None:
    assert Fetcher(home).fetch(replace(snapshot, revision=COMMIT)).is_dir()
    hub.revisions["e" * 40] = COMMIT
    with pytest.raises(DownloadFailed, match=f"pinned to commit {'e' * 40}"):
        Fetcher(home).fetch(replace(snapshot, revision="e" * 40))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"repo": "nobody/nothing"}, "has no such repository"),
        ({"revision": "v9"}, "has no revision 'v9'"),
        ({"repo": "a--b/c"}, "the hub refuses this repository name"),
    ],
)
def test_what_the_hub_does_not_have_is_named(
    snapshot: SnapshotSource, home: Path, change: dict[str, str], message: str
) -> None:
    with pytest.raises(DownloadFailed, match=message) as caught:
        Fetcher(home).fetch(replace(snapshot, **change))
    assert "\n" not in str(caught.value)
    assert not isinstance(caught.value, Interrupted)


def test_a_renamed_repository_is_followed(
    hub: LoopbackHub, snapshot: SnapshotSource, home: Path
) -> None:
    hub.faults.renamed = {"old/name": REPO}
    assert Fetcher(home).fetch(replace(snapshot, repo="old/name")).is_dir()


def test_a_gated_repository_asks_for_a_token(
    hub: LoopbackHub, snapshot: SnapshotSource, home: Path
) -> None:
    hub.faults.token = "hf_secret"
    with pytest.raises(DownloadFailed, match=r"gated.*set HF_TOKEN"):
        Fetcher(home).fetch(snapshot)


def test_a_busy_hub_is_asked_again(hub: LoopbackHub, snapshot: SnapshotSource, home: Path) -> None:
    hub.faults.statuses = deque([503, 500])
    fetcher = Fetcher(home)
    assert fetcher.fetch(snapshot).is_dir()
    assert fetcher.pauses == [1.0, 2.0]


def test_a_hub_that_is_gone_is_named(
    hub: LoopbackHub, snapshot: SnapshotSource, home: Path
) -> None:
    hub.close()
    with pytest.raises(Interrupted, match=f"cannot download {REPO}: cannot reach"):
        Fetcher(home).fetch(snapshot)


def test_too_little_disk_for_all_files_is_found_before_the_first(
    hub: LoopbackHub, snapshot: SnapshotSource, tiny_checkpoint: dict[str, bytes], home: Path
) -> None:
    needed = sum(map(len, tiny_checkpoint.values())) + MARGIN_BYTES
    with pytest.raises(NotEnoughSpace) as caught:
        Fetcher(home, SmallDisk(free=needed - 1)).fetch(snapshot)
    assert (caught.value.needed_bytes, caught.value.free_bytes) == (needed, needed - 1)
    assert hub.fetched() == []
    assert Fetcher(home, SmallDisk(free=needed)).fetch(snapshot).is_dir()


def test_a_disk_that_fills_up_keeps_what_has_arrived(
    hub: LoopbackHub, snapshot: SnapshotSource, tiny_checkpoint: dict[str, bytes], home: Path
) -> None:
    before = sum(len(data) for name, data in tiny_checkpoint.items() if "model-" not in name)
    total = sum(map(len, tiny_checkpoint.values()))
    with pytest.raises(NotEnoughSpace, match="pull again") as caught:
        Fetcher(home, SmallDisk(room=before + 600)).fetch(snapshot)
    assert caught.value.needed_bytes == total - before - 600 + MARGIN_BYTES
    assert not (home / "models" / "tiny" / "checkpoint").exists()
    assert content(Fetcher(home).fetch(snapshot)) == tiny_checkpoint
    assert "bytes=600-" in [request.range for request in hub.seen("GET")]


def test_a_home_that_is_a_file_is_one_clear_error(snapshot: SnapshotSource, home: Path) -> None:
    home.write_text("in the way")
    with pytest.raises(StoreUnusable, match="set QUORATE_HOME"):
        Fetcher(home).fetch(snapshot)


def test_an_observer_can_stop_a_pull_and_what_arrived_is_kept(
    snapshot: SnapshotSource, home: Path
) -> None:
    class StoppedError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done > 2000:
            raise StoppedError

    fetcher = Fetcher(home)
    with pytest.raises(StoppedError):
        fetcher.fetch(snapshot, stop)
    assert "config.json" in fetcher.parts()
    assert fetcher.fetch(snapshot).is_dir()


def test_a_finished_part_is_taken_over_without_fetching(
    hub: LoopbackHub, snapshot: SnapshotSource, tiny_checkpoint: dict[str, bytes], home: Path
) -> None:
    # As a crash between the record and the final name leaves it.
    class CrashedError(Exception):
        pass

    class CrashingStore(Store):
        def install(self, *arguments: Any) -> Path:
            raise CrashedError

    with pytest.raises(CrashedError):
        Downloader(CrashingStore(home), Hub(), Disk()).fetch(
            "tiny", snapshot, lambda done, total: None
        )
    fetched = len(hub.fetched())
    assert content(Fetcher(home).fetch(snapshot)) == tiny_checkpoint
    assert len(hub.fetched()) == fetched
