from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

import pytest

from quorate_registry import (
    BrokenFile,
    CheckpointFacts,
    ChecksumMismatch,
    FileKind,
    ManifestError,
    ModelNotPresent,
    ModelState,
    NotRemovable,
    Offline,
    Registry,
    UnknownModel,
)
from quorate_registry.manifest import HubSource, SnapshotSource
from support.loopback_hub import LoopbackHub
from support.manifests import write_manifest
from support.pulls import FIRST, SECOND

GGUF, CHECKPOINT = FileKind.GGUF, FileKind.CHECKPOINT
HUB = {"kind": "hub", "repo": "someone/tiny-GGUF", "file": "quants/tiny.gguf"}


@pytest.fixture
def registry(home: Path, source: HubSource, tiny_gguf: Path, tmp_path: Path) -> Registry:
    """A registry with one hub model, one path model, and two package models of its own."""
    write_manifest(home, "tiny", **HUB)
    local = tmp_path / "local.gguf"
    shutil.copy(tiny_gguf, local)
    write_manifest(home, "local", kind="path", path=str(local))
    package = {"kind": "package", "file": "m.gguf"}
    write_manifest(home, "packed", **package, package="packed_model_xyz")
    install = "pip install xyz"
    write_manifest(home, "absent", **package, package="absent_model_xyz", install=install)
    return Registry(home)


@pytest.fixture
def package(tmp_path: Path, tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package with a model inside, which breaks when it is imported."""
    folder = tmp_path / "site" / "packed_model_xyz"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("import a_dependency_nobody_installed\n")
    shutil.copy(tiny_gguf, folder / "m.gguf")
    monkeypatch.syspath_prepend(str(folder.parent))
    return folder / "m.gguf"


def test_states_say_what_is_on_this_machine(registry: Registry, package: Path) -> None:
    states = {entry.manifest.id: entry.state for entry in registry.list()}
    assert states["tiny"] is ModelState.AVAILABLE
    assert states["local"] is ModelState.INSTALLED
    assert states["packed"] is ModelState.INSTALLED
    assert states["absent"] is ModelState.MISSING
    path = registry.pull("tiny")
    entry = registry.get("tiny")
    assert (entry.state, entry.path) == (ModelState.PULLED, path)
    assert entry.size_bytes == path.stat().st_size


def test_a_package_file_is_found_without_importing_the_package(
    registry: Registry, package: Path
) -> None:
    assert registry.resolve("packed").path == package
    assert registry.inspect("packed").name == "Tiny Test"
    assert "packed_model_xyz" not in sys.modules


def test_an_id_resolves_to_its_pulled_file(registry: Registry) -> None:
    path = registry.pull("tiny")
    resolved = registry.resolve("tiny")
    assert (resolved.id, resolved.path) == ("tiny", path)
    assert resolved.manifest is not None


def test_an_id_that_is_not_pulled_says_how_to_get_it(registry: Registry) -> None:
    with pytest.raises(ModelNotPresent, match="run quorate models pull tiny"):
        registry.resolve("tiny")
    with pytest.raises(ModelNotPresent, match="absent_model_xyz, which is missing: pip install"):
        registry.pull("absent")


def test_an_unknown_id_names_its_neighbours(registry: Registry) -> None:
    with pytest.raises(UnknownModel, match=r"'tinny': did you mean tiny") as caught:
        registry.resolve("tinny")
    assert caught.value.nearest[0] == "tiny"


def test_a_path_is_its_own_model(registry: Registry, tmp_path: Path, tiny_gguf: Path) -> None:
    path = tmp_path / "My.Model.Q8_0.gguf"
    shutil.copy(tiny_gguf, path)
    resolved = registry.resolve(str(path))
    assert (resolved.id, resolved.path, resolved.manifest) == ("my.model.q8_0", path, None)


def test_a_file_in_this_folder_needs_no_slash(
    registry: Registry, tmp_path: Path, tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(tiny_gguf, tmp_path / "here.gguf")
    monkeypatch.chdir(tmp_path)
    assert registry.resolve("here.gguf").id == "here"


def test_a_checkpoint_folder_is_a_model(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "Check-Point"
    folder.mkdir()
    with pytest.raises(BrokenFile, match=r"without config\.json"):
        registry.resolve(str(folder))
    (folder / "config.json").write_text("{}")
    assert registry.resolve(f"{folder}/").id == "check-point"
    with pytest.raises(BrokenFile, match="does not name its architecture"):
        registry.inspect(str(folder))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownModel, match=r"write \./Check-Point"):
        registry.resolve("Check-Point")


@pytest.mark.parametrize(
    "name",
    ["./absent.gguf", "/no/where", "absent.gguf", "a/\0b", "~nobody-here/a.gguf", "a/" + "b" * 999],
)
def test_a_path_that_leads_nowhere_is_refused(registry: Registry, name: str) -> None:
    with pytest.raises(ModelNotPresent):
        registry.resolve(name)


def test_offline_never_touches_the_network(
    registry: Registry, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Offline, match="not pulled before"):
        registry.pull("tiny", offline=True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(Offline):
        registry.pull("tiny")
    assert hub.requests == []


def test_offline_is_no_hindrance_to_what_is_pulled(registry: Registry, hub: LoopbackHub) -> None:
    path = registry.pull("tiny")
    asked = len(hub.requests)
    assert registry.pull("tiny", offline=True) == path
    assert len(hub.requests) == asked


def test_verify_checks_a_pulled_file_against_its_pin(registry: Registry) -> None:
    path = registry.pull("tiny")
    result = registry.verify("tiny")
    assert result.pinned
    assert result.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ChecksumMismatch, match="remove it and get it again"):
        registry.verify("tiny")
    path.write_bytes(bytes(content) + b"more")
    with pytest.raises(BrokenFile, match="bytes"):
        registry.verify("tiny")
    path.write_bytes(bytes(content[:100]))
    with pytest.raises(BrokenFile, match="truncated"):
        registry.verify("tiny")


def test_verify_of_a_path_checks_the_structure_alone(registry: Registry) -> None:
    assert not registry.verify("local").pinned
    assert not registry.verify(str(registry.resolve("local").path)).pinned


def test_remove_makes_a_model_available_again(registry: Registry) -> None:
    path = registry.pull("tiny")
    size = path.stat().st_size
    assert registry.remove("tiny") > size
    assert registry.get("tiny").state is ModelState.AVAILABLE
    assert not path.exists()
    with pytest.raises(ModelNotPresent, match="nothing to remove"):
        registry.remove("tiny")


def test_remove_works_after_the_manifest_is_gone(registry: Registry, home: Path) -> None:
    registry.pull("tiny")
    (home / "models.d" / "tiny.toml").unlink()
    assert Registry(home).remove("tiny") > 0


def test_remove_leaves_the_files_of_others_alone(registry: Registry, package: Path) -> None:
    with pytest.raises(NotRemovable, match="belongs to the Python package"):
        registry.remove("packed")
    with pytest.raises(NotRemovable, match="not ours"):
        registry.remove("local")
    for name in ("..", "../models.d", "unknown"):
        with pytest.raises(UnknownModel):
            registry.remove(name)
    assert package.is_file()


@pytest.fixture
def snapshots(home: Path, snapshot: SnapshotSource) -> Registry:
    """A registry in which ``tiny`` is a checkpoint."""
    write_manifest(home, "tiny", kind="snapshot", repo=snapshot.repo, approximate_bytes=6000)
    return Registry(home)


def test_a_checkpoint_is_pulled_resolved_inspected_and_removed(
    snapshots: Registry, tiny_checkpoint: dict[str, bytes]
) -> None:
    size = sum(map(len, tiny_checkpoint.values()))
    entry = snapshots.get("tiny")
    assert (entry.state, entry.kind, entry.size_bytes) == (ModelState.AVAILABLE, CHECKPOINT, None)
    folder = snapshots.pull("tiny")
    entry = snapshots.get("tiny")
    assert (entry.state, entry.path, entry.size_bytes) == (ModelState.PULLED, folder, size)
    resolved = snapshots.resolve("tiny")
    assert (resolved.id, resolved.path, resolved.kind) == ("tiny", folder, CHECKPOINT)
    facts = snapshots.inspect("tiny")
    assert isinstance(facts, CheckpointFacts)
    assert (facts.file_bytes, facts.parameters) == (size, 1536)
    assert snapshots.remove("tiny") > size
    assert snapshots.get("tiny").state is ModelState.AVAILABLE
    with pytest.raises(ModelNotPresent, match="run quorate models pull tiny"):
        snapshots.resolve("tiny")
    with pytest.raises(ModelNotPresent, match="nothing to remove"):
        snapshots.remove("tiny")


def test_offline_never_lists_a_repository(snapshots: Registry, hub: LoopbackHub) -> None:
    with pytest.raises(Offline, match="cannot download someone/tiny: offline"):
        snapshots.pull("tiny", offline=True)
    assert hub.requests == []


def test_verify_checks_every_file_of_a_checkpoint(
    snapshots: Registry, tiny_checkpoint: dict[str, bytes]
) -> None:
    snapshots.pull("tiny")
    result = snapshots.verify("tiny")
    lines = [
        f"{hashlib.sha256(data).hexdigest()}  {name}\n"
        for name, data in sorted(tiny_checkpoint.items())
    ]
    assert (result.pinned, result.files) == (True, len(tiny_checkpoint))
    assert result.sha256 == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert result.size_bytes == sum(map(len, tiny_checkpoint.values()))


def test_verify_names_what_was_changed(snapshots: Registry) -> None:
    folder = snapshots.pull("tiny")
    for name in (SECOND, "tokenizer.json"):
        content = bytearray((folder / name).read_bytes())
        content[-1] ^= 1
        (folder / name).write_bytes(content)
    with pytest.raises(ChecksumMismatch, match=f"tokenizer.json: .*, and so were {SECOND}; "):
        snapshots.verify("tiny")


def test_verify_names_what_is_missing_extra_or_of_another_size(snapshots: Registry) -> None:
    folder = snapshots.pull("tiny")
    (folder / FIRST).unlink()
    (folder / "sub").mkdir()
    (folder / "sub" / "more.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(BrokenFile) as caught:
        snapshots.verify("tiny")
    assert caught.value.reason == (
        f"lacks {FIRST}; holds sub/more.json, not pulled; has 2 bytes of tokenizer.json, 18 were "
        "pulled; remove it and pull again"
    )


def test_verify_of_a_folder_checks_the_structure_alone(
    registry: Registry, checkpoint: Path
) -> None:
    result = registry.verify(str(checkpoint))
    assert (result.id, result.pinned, result.files) == ("tiny-checkpoint", False, 7)
    (checkpoint / FIRST).unlink()
    with pytest.raises(BrokenFile, match=f"lacks the file {FIRST}"):
        registry.verify(str(checkpoint))


def test_verify_opens_no_pipe(registry: Registry, checkpoint: Path) -> None:
    os.mkfifo(checkpoint / "pipe.json")
    with pytest.raises(BrokenFile, match=r"pipe\.json: is not a file"):
        registry.verify(str(checkpoint))


def test_a_manifest_may_name_a_folder_of_ones_own(
    registry: Registry, home: Path, checkpoint: Path
) -> None:
    write_manifest(home, "own", kind="path", path=str(checkpoint))
    entry = registry.get("own")
    size = sum(path.stat().st_size for path in checkpoint.iterdir())
    assert (entry.state, entry.kind, entry.size_bytes) == (ModelState.INSTALLED, CHECKPOINT, size)
    assert not registry.verify("own").pinned


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("tiny", GGUF),
        ("local", GGUF),
        ("absent", GGUF),
        ("qwen3-8b", GGUF),
        ("qwen3-8b-bf16", CHECKPOINT),
        ("{checkpoint}", CHECKPOINT),
        ("{checkpoint}/config.json", GGUF),
        ("/no/where", GGUF),
        ("/no/where.gguf", GGUF),
    ],
)
def test_the_kind_of_files_goes_by_what_the_model_is(
    registry: Registry, checkpoint: Path, name: str, kind: FileKind
) -> None:
    assert registry.kind(name.format(checkpoint=checkpoint)) is kind


def test_the_kind_of_what_is_unknown_is_refused(registry: Registry) -> None:
    with pytest.raises(UnknownModel):
        registry.kind("nothing")
    with pytest.raises(ModelNotPresent, match="is not a usable path"):
        registry.kind("~nobody-here/a")


def test_manifests_name_engines_that_there_are(home: Path) -> None:
    write_manifest(home, "said", said='engine = "one"', **HUB)
    assert Registry(home).get("said").manifest.engine == "one"
    assert Registry(home, engines={"one": GGUF}).get("said").manifest.engine == "one"
    with pytest.raises(ManifestError, match="must be one of two, not 'one'"):
        Registry(home, engines={"two": GGUF}).list()


def test_looking_around_creates_no_folders(tmp_path: Path) -> None:
    home = tmp_path / "never"
    Registry(home).list()
    assert not home.exists()
