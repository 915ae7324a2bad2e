from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
import pytest

from quorate_registry.manifest import HubSource, SnapshotSource
from support.gguf_files import finish
from support.loopback_hub import LoopbackHub
from support.pulls import FIRST, INDEX, SECOND, Published


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "quorate-home"


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small sound model file, written by the reference implementation of the format."""
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("Tiny Test")
    writer.add_context_length(128)
    writer.add_block_count(2)
    writer.add_embedding_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_file_type(int(gguf.LlamaFileType.MOSTLY_Q8_0))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["<s>", "</s>", "a", "b", "ab"])
    writer.add_token_scores([0.0, 0.0, -1.0, -2.0, -3.0])
    writer.add_chat_template("{{ messages[0]['content'] }}")
    generator = np.random.default_rng(0)
    for name, shape in (("token_embd.weight", (5, 64)), ("output.weight", (5, 64))):
        weights = generator.standard_normal(shape, dtype=np.float32)
        packed = gguf.quantize(weights, gguf.GGMLQuantizationType.Q8_0)
        writer.add_tensor(name, packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("output_norm.weight", np.ones(64, dtype=np.float32))
    finish(writer)
    return path


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LoopbackHub]:
    """A hub on loopback, and a hub client that knows nothing of this machine's user."""
    import huggingface_hub.constants
    from huggingface_hub import close_session

    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    close_session()
    with LoopbackHub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
        yield running
    close_session()


@pytest.fixture
def source(hub: LoopbackHub, tiny_gguf: Path) -> HubSource:
    """A published file, as a catalogue entry without pins names it."""
    hub.add("someone/tiny-GGUF", "quants/tiny.gguf", tiny_gguf.read_bytes())
    return HubSource("someone/tiny-GGUF", "quants/tiny.gguf")


def _weights(*names: str) -> bytes:
    """A safetensors file, written by the reference implementation of the format."""
    from safetensors.numpy import save

    generator = np.random.default_rng(len(names))
    tensors = {name: generator.standard_normal((64, 8), dtype=np.float32) for name in names}
    return bytes(save(tensors, metadata={"format": "pt"}))


@pytest.fixture(scope="session")
def tiny_checkpoint() -> dict[str, bytes]:
    """The files of a small sound checkpoint in two pieces, by name, in the order of a pull."""
    places = {"model.embed_tokens.weight": FIRST, "lm_head.weight": FIRST, "norm.weight": SECOND}
    index = {"metadata": {"total_size": 6144}, "weight_map": places}
    config = {
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": 64,
        "max_position_embeddings": 128,
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "vocab_size": 96,
    }
    tokenizer = {"tokenizer_class": "TinyTokenizer", "chat_template": "{{ messages }}"}
    return {
        "config.json": json.dumps(config).encode(),
        "generation_config.json": b"{}",
        INDEX: json.dumps(index).encode(),
        "tokenizer.json": b'{"version": "1.0"}',
        "tokenizer_config.json": json.dumps(tokenizer).encode(),
        FIRST: _weights("model.embed_tokens.weight", "lm_head.weight"),
        SECOND: _weights("norm.weight"),
    }


@pytest.fixture
def checkpoint(tiny_checkpoint: dict[str, bytes], tmp_path: Path) -> Path:
    """The small checkpoint in a folder of the user's own."""
    folder = tmp_path / "Tiny-Checkpoint"
    folder.mkdir()
    for name, content in tiny_checkpoint.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def snapshot(hub: LoopbackHub, tiny_checkpoint: dict[str, bytes]) -> SnapshotSource:
    """The small checkpoint, published among files that nobody needs or wants."""
    for name, content in tiny_checkpoint.items():
        hub.add("someone/tiny", name, content, large=name.endswith(".safetensors"))
    for name in ("pytorch_model.bin", "old.pt", "old.pth", "modeling_tiny.py", "README.md"):
        hub.add("someone/tiny", name, b"anything", large=False)
    hub.add("someone/tiny", "consolidated.safetensors", _weights("again"))
    return SnapshotSource("someone/tiny")


@pytest.fixture(params=["file", "checkpoint"])
def published(
    request: pytest.FixtureRequest,
    hub: LoopbackHub,
    tiny_gguf: Path,
    tiny_checkpoint: dict[str, bytes],
) -> Published:
    """The small model as a file, then as a checkpoint."""
    if request.param == "file":
        source = request.getfixturevalue("source")
        content = {"quants/tiny.gguf": tiny_gguf.read_bytes()}
        return Published(hub, source, content, "tiny.gguf", "quants/tiny.gguf")
    source = request.getfixturevalue("snapshot")
    return Published(hub, source, tiny_checkpoint, "checkpoint", FIRST)
