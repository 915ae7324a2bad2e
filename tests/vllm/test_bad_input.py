"""Checkpoints that cannot be loaded: one line, vLLM's own reason in it, and the others serve."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quorate.client import ServiceError
from quorate.fleet.status import ModelState
from support.checkpoints import random_llama
from support.whole_service import checkpoint, reaches, scripted, whole_service

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]

SIZES = {"sessions": 2, "context_length": 128, "cells": 256}


def configured(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def cut_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    weights.unlink()
    weights.write_bytes(content[: len(content) // 2])


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def unknown_architecture(folder: Path) -> None:
    configured(folder, architectures=["TeapotForCausalLM"], model_type="teapot")


def other_sizes(folder: Path) -> None:
    configured(folder, num_hidden_layers=31)


def narrower(folder: Path) -> None:
    configured(folder, intermediate_size=1000)


def embedder(folder: Path) -> None:
    kinds = [
        {"type": f"sentence_transformers.models.{name}"} for name in ("Transformer", "Pooling")
    ]
    (folder / "modules.json").write_text(json.dumps(kinds))


def broken_tokenizer(folder: Path) -> None:
    tokenizer = folder / "tokenizer.json"
    tokenizer.unlink()
    tokenizer.write_text("{}")


def as_it_is(folder: Path) -> None:
    """Leaves the checkpoint whole."""


CASES: list[tuple[str, Callable[[Path], None], dict[str, Any], str]] = [
    ("cut", cut_weights, {}, "vLLM cannot load it"),
    ("unweighted", without_weights, {}, "has no safetensors file"),
    ("teapot", unknown_architecture, {}, "eapot"),
    ("misfit", other_sizes, {}, "vLLM cannot load it"),
    ("narrow", narrower, {}, "down_proj.weight is 576 x 1536, and its config.json makes it 576 x"),
    ("embedder", embedder, {}, "embedding model or reranker"),
    ("long", as_it_is, {"cells": 0, "context_length": 2**20}, "1048576.*reaches 8192 tokens"),
    ("speechless", broken_tokenizer, {}, "okenizer"),
    ("large", as_it_is, {"cells": 2**30, "context_length": 8192}, "vLLM cannot load it.*memory"),
    ("greedy", as_it_is, {"cells": 0, "memory_fraction": 1.0}, "vLLM cannot load it.*memory"),
    ("unquantised", as_it_is, {"quantization": "rot13"}, "rot13"),
]


@pytest.mark.parametrize(
    ("name", "spoil", "options", "reason"), CASES, ids=[case[0] for case in CASES]
)
async def test_it_fails_alone_with_its_reason_in_one_line(
    tmp_path: Path,
    smollm2_checkpoint: Path,
    name: str,
    spoil: Callable[[Path], None],
    options: dict[str, Any],
    reason: str,
) -> None:
    folder = tmp_path / name
    # Links, but for what is spoilt: those files are replaced.
    shutil.copytree(smollm2_checkpoint, folder, copy_function=_link)
    spoil(folder)
    models = [scripted("good", say="fine"), checkpoint("bad", folder, **{**SIZES, **options})]
    async with whole_service(tmp_path / "home", *models, wait=False) as (service, client):
        await reaches(service, "bad", ModelState.FAILED)
        await reaches(service, "good", ModelState.READY)
        assert await client.complete("", model="good", temperature=0.0) == "fine"
        with pytest.raises(ServiceError, match=f"(?s){reason}") as refused:
            await client.complete("x", model="bad")
    assert refused.value.status == "FAILED_PRECONDITION"
    assert "\n" not in refused.value.message
    assert "bad" in refused.value.message


async def test_what_the_machine_has_no_kernel_for_shows_while_it_loads(
    tmp_path: Path, smollm2_checkpoint: Path
) -> None:
    bad = checkpoint("bad", random_llama(tmp_path / "m", smollm2_checkpoint, head=8), **SIZES)
    async with whole_service(tmp_path / "home", bad, wait=False) as (service, client):
        await reaches(service, "bad", ModelState.FAILED)
        with pytest.raises(ServiceError, match=r"vLLM cannot load it: .*head_dim=8") as refused:
            await client.complete("x", model="bad")
    assert refused.value.status == "FAILED_PRECONDITION"
    assert "\n" not in refused.value.message


async def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    bad = checkpoint("bad", tmp_path / "nowhere", **SIZES)
    async with whole_service(tmp_path, bad, wait=False) as (service, client):
        await reaches(service, "bad", ModelState.FAILED)
        with pytest.raises(ServiceError) as refused:
            await client.complete("x", model="bad")
    assert refused.value.status == "FAILED_PRECONDITION"
    assert str(tmp_path / "nowhere") in refused.value.message


def _link(source: str, target: str) -> None:
    if target.endswith("config.json"):
        shutil.copy(source, target)
    else:
        Path(target).symlink_to(source)
