"""Checkpoint folders for tests, made of the GGUF files that this machine has."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from support.gguf_files import smollm2
from support.repository import ROOT

HIDDEN, LAYERS, HEADS, KV_HEADS = 128, 2, 4, 2
ENDS = -2.2
"""Below zero, since the most probable answers of the contract suite end at once above it."""

CACHE = ROOT / ".cache" / "checkpoints"
DEADLINE_SECONDS = 300
_CONVERTER = ROOT / "scripts" / "checkpoint"
_COMMAND = ROOT / "scripts" / "checkpoint_from_gguf"


@cache
def smollm2_checkpoint() -> Path:
    """SmolLM2-135M-Instruct in bfloat16, made where there is none of this source and converter."""
    source = smollm2()
    folder = CACHE / f"smollm2-135m-instruct-{_version(source)}"
    if not folder.exists():
        for outdated in CACHE.glob("smollm2-135m-instruct-*"):
            shutil.rmtree(outdated, ignore_errors=True)
        _convert(source, folder)
    return folder


def _version(source: Path) -> str:
    digest = sha256(source.read_bytes())
    for part in sorted(_CONVERTER.glob("*.py")):
        digest.update(part.read_bytes())
    return digest.hexdigest()[:16]


def _convert(source: Path, folder: Path) -> None:
    """The folder appears whole or not at all, so that an interrupted run leaves none to trust."""
    done = subprocess.run(
        [str(_COMMAND), str(source), str(folder)],
        env={**os.environ, "PYTHON": sys.executable},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    # Another run may have made the same one meanwhile.
    if done.returncode and not folder.exists():
        raise RuntimeError(f"{_COMMAND.name} failed on {source.name}: {done.stdout.strip()}")


@cache
def ending_llama() -> Path:
    """``random_llama`` as it ends its answers now and then; made where there is none of these."""
    tokenizer = smollm2_checkpoint()
    made_by = sha256(Path(__file__).read_bytes() + tokenizer.name.encode()).hexdigest()[:16]
    folder = CACHE / f"ending-llama-{made_by}"
    if not folder.exists():
        for outdated in CACHE.glob("ending-llama-*"):
            shutil.rmtree(outdated, ignore_errors=True)
        with TemporaryDirectory(dir=CACHE) as unfinished:
            made = random_llama(Path(unfinished, "made"), tokenizer, ends=ENDS)
            # Another run may have made the same one meanwhile.
            with suppress(OSError):
                made.rename(folder)
    return folder


def random_llama(folder: Path, tokenizer: Path, head: int = 32, ends: float = 1.0) -> Path:
    """A small Llama of random weights, whose heads can be divided, with a real tokenizer.

    Args:
        folder: Made anew.
        tokenizer: The checkpoint whose tokenizer and settings it has.
        head: Numbers of a head.
        ends: How far the token that ends an answer stands out, times as far as the others: at 1 it
            is drawn as seldom as any of fifty thousand.
    """
    config = json.loads((tokenizer / "config.json").read_text())
    vocabulary = config["vocab_size"]
    sizes = {
        "hidden_size": HIDDEN,
        "intermediate_size": 2 * HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": head,
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
        "dtype": "float32",
    }
    folder.mkdir()
    for file in tokenizer.glob("*token*"):
        (folder / file.name).symlink_to(file)
    (folder / "config.json").write_text(json.dumps({**config, **sizes}))
    generator = np.random.default_rng(1)

    def weights(*shape: int) -> Any:
        return generator.normal(scale=0.2, size=shape).astype(np.float32)

    tensors = {"model.embed_tokens.weight": weights(vocabulary, HIDDEN)}
    tensors["model.embed_tokens.weight"][config["eos_token_id"]] *= ends
    tensors["model.norm.weight"] = np.ones(HIDDEN, np.float32)
    for layer in range(LAYERS):
        shapes = {
            "self_attn.q_proj": (HEADS * head, HIDDEN),
            "self_attn.k_proj": (KV_HEADS * head, HIDDEN),
            "self_attn.v_proj": (KV_HEADS * head, HIDDEN),
            "self_attn.o_proj": (HIDDEN, HEADS * head),
            "mlp.gate_proj": (2 * HIDDEN, HIDDEN),
            "mlp.up_proj": (2 * HIDDEN, HIDDEN),
            "mlp.down_proj": (HIDDEN, 2 * HIDDEN),
        }
        for name, shape in shapes.items():
            tensors[f"model.layers.{layer}.{name}.weight"] = weights(*shape)
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"model.layers.{layer}.{norm}.weight"] = np.ones(HIDDEN, np.float32)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder
