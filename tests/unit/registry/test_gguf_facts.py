from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from quorate_registry.gguf import read_facts
from support.gguf_files import finish, smollm2, stories260k


def test_facts_of_a_small_file(tiny_gguf: Path) -> None:
    facts = read_facts(tiny_gguf)
    assert facts.architecture == "llama"
    assert facts.name == "Tiny Test"
    assert facts.quantisation == "Q8_0"
    assert facts.parameters == 5 * 64 * 2 + 64
    assert facts.context_length == 128
    assert facts.layers == 2
    assert facts.embedding_length == 64
    assert (facts.heads, facts.kv_heads) == (4, 2)
    assert facts.vocabulary_size == 5
    assert facts.tokenizer == "gpt2"
    assert facts.chat_template == "{{ messages[0]['content'] }}"
    assert facts.file_bytes == tiny_gguf.stat().st_size
    assert facts.tensor_bytes == 2 * 5 * 64 // 32 * 34 + 64 * 4


def test_the_memory_estimate_is_the_documented_sum(tiny_gguf: Path) -> None:
    facts = read_facts(tiny_gguf)
    # 2 bytes, 2 layers, 2 KV heads, key and value of 64 / 4 each
    assert facts.kv_bytes_per_token == 2 * 2 * 2 * (16 + 16)
    fixed = facts.tensor_bytes + 512 * (5 + 4 * 64) * 4 + 48 * 2**20
    assert facts.memory_estimate(0) == fixed
    assert facts.memory_estimate(1000) == fixed + 1000 * facts.kv_bytes_per_token


def test_heads_may_differ_from_layer_to_layer(tmp_path: Path) -> None:
    path = tmp_path / "mixed.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(3)
    writer.add_embedding_length(64)
    writer.add_head_count([4, 8, 4])
    writer.add_head_count_kv([2, 0, 4])
    writer.add_key_length(10)
    writer.add_value_length(6)
    writer.add_tensor("norm", np.ones(8, dtype=np.float32))
    finish(writer)
    facts = read_facts(path)
    assert (facts.heads, facts.kv_heads) == (8, 4)
    assert facts.kv_bytes_per_token == 2 * (2 + 0 + 4) * (10 + 6)
    assert facts.quantisation == "F32"
    assert facts.name == "mixed"
    assert facts.chat_template is None


@pytest.mark.parametrize("which", ["tiny", "smollm2", "stories"])
def test_the_reference_reader_agrees(which: str, tiny_gguf: Path) -> None:
    path = {"tiny": lambda: tiny_gguf, "smollm2": smollm2, "stories": stories260k}[which]()
    reader = gguf.GGUFReader(path)

    def number(key: str, reader: gguf.GGUFReader = reader) -> int:
        field = reader.get_field(key)
        return 0 if field is None else int(field.contents())

    facts = read_facts(path)
    assert facts.parameters == sum(int(tensor.n_elements) for tensor in reader.tensors)
    assert facts.tensor_bytes == sum(int(tensor.n_bytes) for tensor in reader.tensors)
    assert facts.layers == number("llama.block_count")
    assert facts.context_length == number("llama.context_length")
    assert facts.embedding_length == number("llama.embedding_length")
    assert facts.heads == number("llama.attention.head_count")
    assert facts.kv_heads == number("llama.attention.head_count_kv")
    tokens = reader.get_field("tokenizer.ggml.tokens")
    assert tokens is not None
    assert facts.vocabulary_size == len(tokens.data)
    template = reader.get_field("tokenizer.chat_template")
    assert facts.chat_template == (None if template is None else template.contents())


def test_the_embedded_model_has_its_known_facts() -> None:
    facts = read_facts(smollm2())
    assert facts.quantisation == "Q4_1"
    assert facts.vocabulary_size == 49_152
    assert (facts.layers, facts.heads, facts.kv_heads) == (30, 9, 3)
    assert facts.context_length == 8192
    assert facts.parameters == 134_515_008


def test_all_known_types_match_the_reference() -> None:
    from quorate_registry.ggml_types import FILE_TYPES, TENSOR_TYPES

    for kind, (block, size) in gguf.GGML_QUANT_SIZES.items():
        assert TENSOR_TYPES[int(kind)] == (kind.name, block, size)
    for kind in gguf.LlamaFileType:
        if kind is not gguf.LlamaFileType.GUESSED:
            name = kind.name.removeprefix("MOSTLY_").removeprefix("ALL_")
            assert FILE_TYPES[int(kind)] == name
