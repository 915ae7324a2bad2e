from __future__ import annotations

from pathlib import Path

import pytest

from quorate_registry.catalogue import SHIPPED_MODELS, load_catalogue, nearest_ids
from quorate_registry.errors import ManifestError
from quorate_registry.manifest import HubSource, PackageSource, SnapshotSource

OWN = """
id = "{id}"
description = "Mine"
licence = "MIT"
[source]
kind = "path"
path = "mine.gguf"
"""


def test_the_catalogue_knows_the_models_users_ask_for(tmp_path: Path) -> None:
    catalogue = load_catalogue(tmp_path / "absent")
    assert len(catalogue) >= 10
    families = ("qwen3", "qwen2.5", "llama-3.2", "smollm2", "gemma-3", "phi-4", "mistral-7b")
    for family in (*families, "tinyllama", "stories260k"):
        assert any(model_id.startswith(family) for model_id in catalogue), family
    assert list(catalogue) == sorted(catalogue)


def test_shipped_manifests_are_named_after_their_ids(tmp_path: Path) -> None:
    stems = sorted(path.stem for path in SHIPPED_MODELS.glob("*.toml"))
    assert stems == list(load_catalogue(tmp_path))


def test_hub_models_are_gguf_files_with_a_known_context(tmp_path: Path) -> None:
    for manifest in load_catalogue(tmp_path).values():
        assert manifest.context is not None
        assert not isinstance(manifest.source, HubSource) or manifest.source.file.endswith(".gguf")


def test_checkpoints_stand_beside_the_files(tmp_path: Path) -> None:
    catalogue = load_catalogue(tmp_path)
    sources = {
        model_id: manifest.source
        for model_id, manifest in catalogue.items()
        if isinstance(manifest.source, SnapshotSource)
    }
    assert set(sources) == {"smollm2-135m-instruct-bf16", "qwen3-0.6b-bf16", "qwen3-8b-bf16"}
    for model_id, source in sources.items():
        assert model_id.removesuffix("-bf16") in catalogue
        assert (source.revision, source.files) == ("main", ())
        assert source.approximate_bytes is not None
        assert catalogue[model_id].licence == "Apache-2.0"


def test_the_embedded_model_is_pinned(tmp_path: Path) -> None:
    source = load_catalogue(tmp_path)["smollm2-135m-instruct"].source
    assert isinstance(source, PackageSource)
    assert source.sha256 is not None


def test_own_manifests_extend_and_override_the_catalogue(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text(OWN.format(id="mine"))
    (tmp_path / "two.toml").write_text(OWN.format(id="qwen3-0.6b"))
    catalogue = load_catalogue(tmp_path)
    assert catalogue["mine"].description == "Mine"
    assert catalogue["qwen3-0.6b"].description == "Mine"
    assert "qwen3-1.7b" in catalogue


def test_two_own_manifests_with_one_id_are_refused(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text(OWN.format(id="mine"))
    (tmp_path / "two.toml").write_text(OWN.format(id="mine"))
    with pytest.raises(ManifestError, match=r"two\.toml.*'mine' is already taken by one\.toml"):
        load_catalogue(tmp_path)


def test_a_misspelt_name_finds_its_neighbours() -> None:
    known = ["qwen3-0.6b", "qwen3-4b", "smollm2-135m-instruct"]
    assert nearest_ids("qwen3-06b", known)[0] == "qwen3-0.6b"
    assert nearest_ids("Qwen3-4B", known)[0] == "qwen3-4b"
    assert "smollm2-135m-instruct" in nearest_ids("135m", known)
    assert nearest_ids("zzzz", known) == []
