"""Checkpoints that cannot be loaded: one line, vLLM's own reason in it, and the others serve."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from quorate.client import ServiceError
from quorate.fleet.status import ModelState
from support.checkpoints import random_llama
from support.loading_in_turn import refusals
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


def headless(folder: Path) -> None:
    """Puts another model there, whose heads are of a size that no kernel is there for."""
    source = (folder / "tokenizer.json").resolve().parent
    shutil.rmtree(folder)
    random_llama(folder, source, head=8)


CASES: list[tuple[str, Callable[[Path], None], dict[str, Any], str]] = [
    ("cut", cut_weights, {}, "vLLM cannot load it"),
    ("teapot", unknown_architecture, {}, "eapot"),
    ("misfit", other_sizes, {}, "vLLM cannot load it"),
    ("speechless", broken_tokenizer, {}, "okenizer"),
    ("large", as_it_is, {"cells": 2**30, "context_length": 8192}, "vLLM cannot load it.*memory"),
    ("greedy", as_it_is, {"cells": 0, "memory_fraction": 1.0}, "vLLM cannot load it.*memory"),
    ("unquantised", as_it_is, {"quantization": "rot13"}, "rot13"),
    # What the machine has no kernel for shows while it loads.
    ("headless", headless, {}, "vLLM cannot load it: .*head_dim=8"),
]
REASONS = {name: reason for name, _, _, reason in CASES}

# vLLM is not asked about these.
REFUSED_BEFORE: list[tuple[str, Callable[[Path], None], dict[str, Any], str]] = [
    ("unweighted", without_weights, {}, "has no safetensors file"),
    ("narrow", narrower, {}, "down_proj.weight is 576 x 1536, and its config.json makes it 576 x"),
    ("embedder", embedder, {}, "embedding model or reranker"),
    ("long", as_it_is, {"cells": 0, "context_length": 2**20}, "1048576.*reaches 8192 tokens"),
]


def spoilt(home: Path, whole: Path, name: str, spoil: Callable[[Path], None]) -> Path:
    """A checkpoint's folder of links, but for what is spoilt: those files are replaced."""
    folder = home / name
    shutil.copytree(whole, folder, copy_function=_link)
    spoil(folder)
    return folder


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory, smollm2_checkpoint: Path) -> Mapping[str, str]:
    """What is said of each of the cases, by its name."""
    home = tmp_path_factory.mktemp("spoilt")
    checkpoints = [
        (spoilt(home, smollm2_checkpoint, name, spoil), {**SIZES, **options})
        for name, spoil, options, _ in CASES
    ]
    return dict(zip(REASONS, refusals(checkpoints), strict=True))


@pytest.mark.parametrize("name", REASONS)
def test_what_vllm_cannot_load_is_refused_with_its_reason_in_one_line(
    said: Mapping[str, str], name: str
) -> None:
    assert re.search(REASONS[name], said[name])
    assert "\n" not in said[name]
    assert name in said[name]


async def test_each_fails_alone_with_its_reason_in_one_line(
    tmp_path: Path, smollm2_checkpoint: Path
) -> None:
    cases = [CASES[0], *REFUSED_BEFORE]
    bad = {
        name: checkpoint(
            name, spoilt(tmp_path, smollm2_checkpoint, name, spoil), **{**SIZES, **options}
        )
        for name, spoil, options, _ in cases
    }
    nowhere = checkpoint("absent", tmp_path / "nowhere", **SIZES)
    models = [scripted("good", say="fine"), *bad.values(), nowhere]
    async with whole_service(tmp_path / "home", *models, wait=False) as (service, client):
        await reaches(service, "good", ModelState.READY)
        reasons = {name: reason for name, _, _, reason in cases}
        for name, reason in {**reasons, "absent": str(tmp_path / "nowhere")}.items():
            await reaches(service, name, ModelState.FAILED)
            with pytest.raises(ServiceError, match=f"(?s){reason}") as refused:
                await client.complete("x", model=name)
            assert refused.value.status == "FAILED_PRECONDITION"
            assert "\n" not in refused.value.message
            assert name in refused.value.message
        assert await client.complete("", model="good", temperature=0.0) == "fine"


def _link(source: str, target: str) -> None:
    if target.endswith("config.json"):
        shutil.copy(source, target)
    else:
        Path(target).symlink_to(source)
