"""Pulls and checks of GGUF models that are split into several files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from quorate_registry import Registry
from quorate_registry.errors import BrokenFile, ChecksumMismatch, DownloadFailed, ModelNotPresent
from quorate_registry.manifest import HubSource
from quorate_registry.registry import ModelState
from quorate_registry.shards import names
from support.loopback_hub import LoopbackHub
from support.pulls import Fetcher
from support.split_gguf import part

REPO = "someone/big-GGUF"
FILES = [f"q4/m-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
NAMES = [file.removeprefix("q4/") for file in FILES]


@pytest.fixture
def parts(hub: LoopbackHub, tmp_path: Path) -> dict[str, bytes]:
    """A model in three files, published beside another one."""
    (tmp_path / "made").mkdir()
    content = {f"q4/{part(tmp_path / 'made', n).name}": b"" for n in (1, 2, 3)}
    for file in content:
        content[file] = (tmp_path / "made" / Path(file).name).read_bytes()
        hub.add(REPO, file, content[file])
    hub.add(REPO, "q8/m-00001-of-00002.gguf", b"another")
    hub.add(REPO, "README.md", b"text", large=False)
    return content


@pytest.fixture
def known(home: Path) -> Callable[[str], Registry]:
    """A registry that knows the model ``big`` by one of its files."""

    def registry(file: str) -> Registry:
        (home / "models.d").mkdir(parents=True, exist_ok=True)
        (home / "models.d" / "big.toml").write_text(
            'id = "big"\ndescription = "Big."\nlicence = "MIT"\n'
            f'[source]\nkind = "hub"\nrepo = "{REPO}"\nfile = "{file}"\n'
        )
        return Registry(home)

    return registry


@pytest.mark.parametrize("named", FILES)
def test_one_part_pulls_all_and_the_whole_is_counted(
    hub: LoopbackHub, parts: dict[str, bytes], known: Callable[[str], Registry], named: str
) -> None:
    told: list[tuple[int, int]] = []
    whole = sum(map(len, parts.values()))
    path = known(named).pull("big", lambda done, total: told.append((done, total)))
    assert path.name == NAMES[0]
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == {
        Path(file).name: content for file, content in parts.items()
    }
    assert {total for _, total in told} == {whole}
    assert told[-1] == (whole, whole)
    assert hub.fetched() == FILES

    registry = known(named)
    [entry] = [entry for entry in registry.list() if entry.manifest.id == "big"]
    assert (entry.state, entry.size_bytes) == (ModelState.PULLED, whole)
    result = registry.verify("big")
    assert (result.files, result.size_bytes, result.pinned) == (3, whole, True)
    assert registry.inspect("big").file_bytes == whole
    assert registry.pull("big") == path
    assert len(hub.fetched()) == 3
    assert registry.remove("big") >= whole
    assert not registry.home.joinpath("models", "big").exists()


def test_a_part_that_is_gone_is_named_and_pulled_again(
    parts: dict[str, bytes], known: Callable[[str], Registry]
) -> None:
    path = known(FILES[0]).pull("big")
    path.with_name(NAMES[2]).unlink()
    with pytest.raises(ModelNotPresent, match=f"lacks {NAMES[2]}, one of its files, .* pull big"):
        known(FILES[0]).verify("big")
    [entry] = [entry for entry in known(FILES[0]).list() if entry.manifest.id == "big"]
    assert entry.state is ModelState.AVAILABLE
    known(FILES[0]).pull("big")
    assert known(FILES[0]).verify("big").files == 3


def test_a_changed_part_is_found(parts: dict[str, bytes], known: Callable[[str], Registry]) -> None:
    last = known(FILES[0]).pull("big").with_name(NAMES[2])
    content = bytearray(last.read_bytes())
    content[-1] ^= 1
    last.write_bytes(content)
    with pytest.raises(ChecksumMismatch):
        known(FILES[0]).verify("big")


def test_a_repository_that_lacks_a_part_is_refused_before_anything_is_fetched(
    hub: LoopbackHub, parts: dict[str, bytes], home: Path
) -> None:
    del hub.files[REPO, FILES[1]]
    with pytest.raises(DownloadFailed, match=r"m-00002-of-00003\.gguf.*in 3 files"):
        Fetcher(home).fetch(HubSource(REPO, FILES[0]))
    assert hub.fetched() == []


def test_an_interrupted_pull_resumes_and_counts_what_is_there(
    hub: LoopbackHub, parts: dict[str, bytes], home: Path
) -> None:
    hub.faults.cut_after.extend([1 << 20, 10, *[0] * 9])
    with pytest.raises(DownloadFailed):
        Fetcher(home).fetch(HubSource(REPO, FILES[0]))
    hub.faults.cut_after.clear()
    again = Fetcher(home)
    again.fetch(HubSource(REPO, FILES[0]))
    assert again.progress[0][0] >= len(parts[FILES[0]])
    assert hub.fetched().count(FILES[0]) == 1


def test_a_header_that_counts_otherwise_than_the_names_is_refused(
    hub: LoopbackHub, parts: dict[str, bytes], home: Path, tmp_path: Path
) -> None:
    hub.add(REPO, FILES[0], part(tmp_path, 1, of=2).read_bytes())
    fetcher = Fetcher(home)
    with pytest.raises(BrokenFile, match="first of 3 files by its name, of 2 by itself"):
        fetcher.fetch(HubSource(REPO, FILES[0]))
    assert hub.fetched() == FILES[:1]
    assert fetcher.leftovers() == []


def test_a_part_under_a_name_of_its_own_is_refused(
    hub: LoopbackHub, parts: dict[str, bytes], home: Path
) -> None:
    hub.add(REPO, "alone.gguf", parts[FILES[0]])
    with pytest.raises(BrokenFile, match=r"part 1 of 3, and must keep its name"):
        Fetcher(home).fetch(HubSource(REPO, "alone.gguf"))


def test_a_pin_is_that_of_the_part_that_is_named(
    hub: LoopbackHub, parts: dict[str, bytes], home: Path
) -> None:
    pinned = HubSource(REPO, FILES[1], sha256="0" * 64)
    with pytest.raises(ChecksumMismatch, match="nothing was downloaded"):
        Fetcher(home).fetch(pinned)
    sha256 = hub.add(REPO, FILES[1], parts[FILES[1]])
    sound = replace(pinned, sha256=sha256, size_bytes=len(parts[FILES[1]]))
    fetcher = Fetcher(home)
    path = fetcher.fetch(sound)
    assert fetcher.store.pulled("tiny", sound) is not None
    assert path.name == NAMES[0]


def test_what_an_older_release_pulled_of_a_split_model_is_not_taken_for_the_whole(
    hub: LoopbackHub, parts: dict[str, bytes], home: Path
) -> None:
    folder = home / "models" / "tiny"
    folder.mkdir(parents=True)
    (folder / NAMES[0]).write_bytes(parts[FILES[0]])
    (folder / "pulled.json").write_text(
        f'{{"repo": "{REPO}", "file": "{FILES[0]}", "revision": "main", "commit": "{"0" * 40}",'
        f' "sha256": "{"0" * 64}", "size_bytes": {len(parts[FILES[0]])}, "pulled_at": "x"}}'
    )
    fetcher = Fetcher(home)
    source = HubSource(REPO, FILES[0])
    assert fetcher.store.pulled("tiny", source) is None
    fetcher.fetch(source)
    assert fetcher.leftovers() == ["pulled.json", "split"]
    assert not (home / "locks" / "tiny.lock").exists()


def test_names_that_are_no_parts_are_whole() -> None:
    for file in ("m.gguf", "m-00001-of-00001.gguf", "m-00004-of-00003.gguf", "m-1-of-2.gguf"):
        assert names(file) == ()
    assert names("a/m-00002-of-00002.gguf") == (
        "a/m-00001-of-00002.gguf",
        "a/m-00002-of-00002.gguf",
    )
