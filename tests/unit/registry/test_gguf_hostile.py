from __future__ import annotations

import os
import struct
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quorate_registry.errors import BrokenFile
from quorate_registry.gguf import read_facts
from support.model_headers import ARCHITECTURE, TENSOR, padded, pair, refusal, text, u32, u64
from support.model_headers import gguf_header as header

HUGE = 2**63


def reason(path: Path) -> str:
    return refusal(read_facts, path).reason


def tensor(*, elements: int = 8, kind: int = 0, offset: int = 0) -> bytes:
    return text(b"t") + u32(1) + u64(elements) + u32(kind) + u64(offset)


def model(*tensors: bytes) -> bytes:
    return padded(header([ARCHITECTURE], tensors))


def told(key: bytes, kind: int, value: bytes) -> bytes:
    """A sound file that tells one thing more in its metadata."""
    return padded(header([ARCHITECTURE, pair(key, kind, value)], [TENSOR]))


def test_the_smallest_sound_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "small.gguf"
    for version in (2, 3):
        path.write_bytes(padded(header([ARCHITECTURE], [TENSOR], version)))
        assert read_facts(path).parameters == 8


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b"GG", "is truncated"),
        (b"<html>not a model</html>", "wrong magic number"),
        (bytes(4096), "wrong magic number"),
        (b"GGUF" + u32(1) + bytes(64), "has GGUF version 1"),
        (b"GGUF" + struct.pack(">I", 3) + bytes(64), "big-endian"),
        (b"GGUF" + u32(3) + u64(HUGE) + u64(0), f"claims {HUGE} tensors"),
        (b"GGUF" + u32(3) + u64(0) + u64(HUGE), f"claims {HUGE} metadata keys"),
        (b"GGUF" + u32(3) + u64(60_000) + u64(60_000), "is truncated"),
        (header([u64(HUGE) + b"key"], []), f"claims {HUGE} bytes for metadata key 0"),
        (header([pair(b"\xff\xfe", 4, u32(1))], []), "no UTF-8 text"),
        (header([pair(b"k", 99, u32(1))], []), "unknown value type 99"),
        (header([pair(b"k", 8, u64(HUGE))], []), "is truncated: it ends inside 'k'"),
        (header([pair(b"k", 9, u32(8) + u64(HUGE))], []), f"claims {HUGE} strings"),
        (header([pair(b"k", 9, u32(4) + u64(HUGE))], []), "is truncated"),
        (header([pair(b"k", 9, u32(9) + u64(1) * 500)], []), "nests arrays"),
        (header([pair(b"k", 9, u32(77) + u64(1))], []), "unknown value type 77"),
        (header([pair(b"k", 4, u32(1))] * 2, []), "metadata key 'k' twice"),
        (model(TENSOR, TENSOR), "tensor 't' twice"),
        (model(TENSOR)[:-1], "is truncated: tensor 't'"),
        (model(tensor(elements=HUGE)), "is truncated: tensor 't'"),
        (model(tensor(offset=HUGE)), "is truncated: tensor 't'"),
        (model(text(b"t") + u32(9) + u64(1) * 9), "9 dimensions"),
        (model(tensor(kind=5)), "unknown type 5"),
        (model(tensor(kind=2)), "no multiple of its block"),
        (model(tensor(offset=1)), "unaligned offset"),
        (told(b"general.alignment", 4, u32(0)), "not a power of two"),
        (told(b"general.alignment", 8, text(b"x")), "not a whole number"),
        (padded(header([pair(b"k", 4, u32(1))], [TENSOR])), "does not name its architecture"),
        (padded(header([pair(b"general.architecture", 4, u32(1))], [TENSOR])), "has no text"),
        (model(), "holds no tensors"),
        (told(b"llama.block_count", 4, u32(2**31)), f"claims {2**31} layers"),
        (told(b"llama.block_count", 8, text(b"9")), "no whole number in llama.block_count"),
        (told(b"tokenizer.ggml.tokens", 4, u32(9)), "no array in tokenizer.ggml.tokens"),
    ],
)
def test_a_hostile_header_is_refused_with_its_reason(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    path = tmp_path / "hostile.gguf"
    path.write_bytes(content)
    assert expected in reason(path)


def test_a_huge_hollow_file_costs_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "hollow.gguf"
    long_text = pair(b"text", 8, u64(2**20)) + bytes(2**20)
    numbers = pair(b"numbers", 9, u32(4) + u64(2**36))
    path.write_bytes(header([long_text, numbers], []))
    os.truncate(path, 2**40)
    tracemalloc.start()
    try:
        assert "does not name its architecture" in reason(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 2**20


def test_more_strings_than_any_vocabulary_are_refused_before_they_are_counted(
    tmp_path: Path,
) -> None:
    path = tmp_path / "hollow.gguf"
    path.write_bytes(header([pair(b"k", 9, u32(8) + u64(2**21 + 1))], []))
    os.truncate(path, 2**40)
    assert "too many to be a model" in reason(path)


def test_text_beyond_all_need_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wordy.gguf"
    value = u64(2**20) + bytes(2**20)
    path.write_bytes(header([pair(b"k%d" % index, 8, value) for index in range(33)], []))
    assert "more text in its header" in reason(path)


def test_a_string_over_a_mebibyte_is_skipped_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "long.gguf"
    long = pair(b"tokenizer.chat_template", 8, text(b"x" * (2**20 + 1)))
    path.write_bytes(padded(header([ARCHITECTURE, long], [TENSOR])))
    assert read_facts(path).chat_template is None


@settings(
    max_examples=400, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_no_mutation_raises_anything_but_broken_file(
    tiny_gguf: Path, tmp_path: Path, data: st.DataObject
) -> None:
    content = bytearray(tiny_gguf.read_bytes())
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        patch = data.draw(st.binary(min_size=1, max_size=9))
        content[at : at + len(patch)] = patch
    cut = data.draw(st.integers(0, len(content)) | st.just(len(content)))
    path = tmp_path / "mutant.gguf"
    path.write_bytes(content[:cut])
    try:
        facts = read_facts(path)
    except BrokenFile as error:
        assert "\n" not in str(error).replace(str(path), "")
    else:
        assert facts.memory_estimate(1024) > 0
