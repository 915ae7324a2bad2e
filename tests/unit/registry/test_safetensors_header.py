from __future__ import annotations

import json
import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quorate_registry.errors import BrokenFile
from quorate_registry.safetensors_header import (
    MAX_ENTRY_BYTES,
    MAX_HEADER_BYTES,
    MAX_NAME_BYTES,
    MAX_TENSORS,
    SafeTensor,
    read_header,
)
from support.model_headers import refusal, wrapped
from support.model_headers import safetensors_file as document
from support.pulls import FIRST

HUGE = 2**63
ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def reason(path: Path) -> str:
    return refusal(read_header, path).reason


def test_what_the_reference_implementation_writes_is_read(tmp_path: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    path = tmp_path / "model.safetensors"
    tensors = {
        'wide é "quoted" {braces}': np.zeros((3, 5), np.float16),
        "scalar": np.array(7, np.int64),
        "empty": np.zeros((0, 4), np.float32),
        "flags": np.ones(3, np.bool_),
    }
    save_file(tensors, path, metadata={"format": "pt", "notes": 'a "}" and a \\'})
    found = {tensor.name: tensor for tensor in read_header(path)}
    assert {name: (t.elements, t.size_bytes) for name, t in found.items()} == {
        name: (array.size, array.nbytes) for name, array in tensors.items()
    }
    assert [found[name].dtype for name in tensors] == ["F16", "I64", "F32", "BOOL"]


def test_tensors_come_in_the_order_of_their_data(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    late = {"dtype": "BF16", "shape": [1, 2], "data_offsets": [8, 12]}
    path.write_bytes(document({"late": late, "early": ONE}, bytes(12)))
    assert read_header(path) == (
        SafeTensor("early", "F32", 2, 0, 8),
        SafeTensor("late", "BF16", 2, 8, 12),
    )


def test_elements_smaller_than_a_byte_are_counted_in_bits(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(document({"t": {"dtype": "F4", "shape": [16], "data_offsets": [0, 8]}}))
    assert read_header(path)[0].elements == 16


def test_padding_and_metadata_alone_make_a_file_without_tensors(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    for header in (b"{}", b"{ }  ", b'{"__metadata__":{}}', b'{"__metadata__" : {"a":"}"}} '):
        path.write_bytes(wrapped(header))
        assert read_header(path) == ()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b"\x01\x00", "is truncated: it ends inside the length"),
        (b"<html>not a model, but a page</html>", "is not a safetensors file, or damaged"),
        ((MAX_HEADER_BYTES + 1).to_bytes(8, "little"), f"would have {MAX_HEADER_BYTES + 1} bytes"),
        ((2**64 - 1).to_bytes(8, "little"), "is not a safetensors file"),
        ((100).to_bytes(8, "little") + b"{}", "is truncated: it ends inside its header"),
        (wrapped(b"[]"), "no JSON object as header"),
        (wrapped(b""), "no JSON object as header"),
        (wrapped(b' {"a":1}'), "no JSON object as header"),
        (wrapped(b"{\xff}"), "not UTF-8"),
        (wrapped(b'{"a"'), "no sound entry at byte 1"),
        (wrapped(b'{"a":1}'), "no sound entry at byte 1"),
        (wrapped(b'{"a":{"dtype":"F32"'), "at a length that nothing needs"),
        (wrapped(b'{"a":{x}}'), "no sound JSON in the tensor 'a'"),
        (wrapped(b'{"a":{"dtype":"F32","shape":' + b"[" * 3000 + b"}}"), "no sound JSON"),
        (wrapped(b'{"\\ud8":{}}'), "no sound JSON in a tensor name"),
        (wrapped(b'{"__metadata__":{"a":1}}'), "metadata that are not texts"),
        (wrapped(b'{"__metadata__":{},"__metadata__":{}}'), "'__metadata__' twice"),
        (wrapped(b"{} {}"), "text after the end"),
        (document({"t": ONE}) + b"x", "1 bytes that belong to no tensor"),
        (document({"t": ONE}, bytes(7)), "is truncated: tensor 't' ends at byte 8 of 7"),
        (document({"t": {**ONE, "more": 1}}), "other keys than dtype, shape, offsets"),
        (document({"t": {"dtype": "F32", "shape": [2]}}), "other keys than"),
        (document({"t": {**ONE, "dtype": "F99"}}), "unknown type 'F99'"),
        (document({"t": {**ONE, "dtype": ["F32"]}}), "unknown type ['F32']"),
        (document({"t": {**ONE, "shape": [3]}}), "has 8 bytes for the tensor 't', F32 of [3]"),
        (document({"t": {**ONE, "shape": [2.0]}}), "no whole numbers"),
        (document({"t": {**ONE, "shape": [True]}}), "no whole numbers"),
        (document({"t": {**ONE, "shape": "2"}}), "no whole numbers"),
        (document({"t": {**ONE, "shape": [-2]}}), "no whole numbers"),
        (document({"t": {**ONE, "shape": [HUGE]}}), "no whole numbers"),
        (document({"t": {**ONE, "shape": [1] * 17}}), "17 dimensions"),
        (document({"t": {**ONE, "shape": [HUGE - 1] * 9}}), "has 8 bytes for the tensor"),
        (document({"t": {**ONE, "data_offsets": [8, 0]}}), "the offsets [8, 0]"),
        (document({"t": {**ONE, "data_offsets": [0]}}), "the offsets [0]"),
        (document({"t": ONE, "u": ONE}), "has the tensor 'u' overlap another"),
        (document({"t": {**ONE, "data_offsets": [1, 9]}}, bytes(9)), "a hole before the tensor"),
        (
            wrapped(b'{"t":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}'),
            "no sound JSON in the tensor 't'",
        ),
        (
            wrapped(b'{"t":%s,"t":%s}' % ((json.dumps(ONE).encode(),) * 2), bytes(8)),
            "lists the tensor 't' twice",
        ),
        (wrapped(b'{"t":%s,}' % json.dumps(ONE).encode(), bytes(8)), "no sound entry"),
        (wrapped(b'{"t":%s;' % json.dumps(ONE).encode(), bytes(8)), "no sound JSON after"),
        (document({"n" * (MAX_NAME_BYTES + 1): ONE}), "no sound entry at byte 1"),
        (wrapped(b'{"t":{' + b" " * MAX_ENTRY_BYTES + b"}}"), "'t' at a length that nothing needs"),
    ],
)
def test_a_hostile_header_is_refused_with_its_reason(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(content)
    assert expected in reason(path)


def test_more_tensors_than_any_model_has_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "many.safetensors"
    entry = b'"%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
    header = b"{" + b",".join(entry % number for number in range(MAX_TENSORS + 1)) + b"}"
    path.write_bytes(wrapped(header))
    assert reason(path) == f"lists more than {MAX_TENSORS} tensors"


@pytest.mark.parametrize(
    "unit", [b"[", b'{"a":', b'"a":{},', b"\\n", b" ", b'"', b'{"__metadata__":{"a":"b",']
)
def test_no_header_costs_much_more_memory_than_its_own_length(tmp_path: Path, unit: bytes) -> None:
    path = tmp_path / "swollen.safetensors"
    path.write_bytes(wrapped(b"{" + unit * ((MAX_HEADER_BYTES >> 2) // len(unit))))
    tracemalloc.start()
    try:
        assert reason(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < (MAX_HEADER_BYTES >> 2) + (1 << 21)


def test_a_huge_hollow_file_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "hollow.safetensors"
    path.write_bytes((2**39).to_bytes(8, "little"))
    os.truncate(path, 2**40)
    assert f"its header would have {2**39} bytes" in reason(path)


@settings(
    max_examples=300, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_no_mutation_raises_anything_but_broken_file(
    tiny_checkpoint: dict[str, bytes], tmp_path: Path, data: st.DataObject
) -> None:
    whole = tiny_checkpoint[FIRST]
    content = bytearray(whole)
    header_end = 8 + int.from_bytes(whole[:8], "little")
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, header_end - 1))
        patch = data.draw(st.binary(min_size=1, max_size=9))
        content[at : at + len(patch)] = patch
    cut = data.draw(st.integers(0, len(content)) | st.just(len(content)))
    path = tmp_path / "mutant.safetensors"
    path.write_bytes(content[:cut])
    try:
        tensors = read_header(path)
    except BrokenFile as error:
        assert "\n" not in str(error).replace(str(path), "")
    else:
        data_start = 8 + int.from_bytes(content[:8], "little")
        assert sum(tensor.size_bytes for tensor in tensors) == cut - data_start
