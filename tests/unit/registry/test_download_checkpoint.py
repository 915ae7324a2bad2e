from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quorate_registry.errors import BrokenFile, ChecksumMismatch, DownloadFailed, Interrupted
from quorate_registry.manifest import SnapshotSource
from quorate_registry.snapshot_files import MAX_FILES
from quorate_registry.transfer import ATTEMPTS
from support.loopback_hub import LoopbackHub
from support.pulls import FIRST, INDEX, SECOND, Fetcher, folder_content

REPO = "someone/tiny"


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
    assert sorted(folder_content(folder)) == [
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


def test_another_commit_begins_anew_and_leaves_nothing_behind(
    hub: LoopbackHub, snapshot: SnapshotSource, tiny_checkpoint: dict[str, bytes], home: Path
) -> None:
    hub.faults.cut_after = deque([100_000] * 6 + [0] * ATTEMPTS)
    fetcher = Fetcher(home)
    with pytest.raises(Interrupted):
        fetcher.fetch(snapshot)
    hub.revisions["main"] = "f" * 40
    assert folder_content(fetcher.fetch(snapshot)) == tiny_checkpoint
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
    hub: LoopbackHub, snapshot: SnapshotSource, home: Path, change: Callable[[dict[str, Any]], Any]
) -> None:
    hub.faults.listing = change
    with pytest.raises(DownloadFailed, match="does not answer like a Hugging Face hub"):
        Fetcher(home).fetch(snapshot)
    assert hub.fetched() == []
