from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from checkpoint.architecture import architecture_of
from checkpoint.dtypes import DTYPES, to_bfloat16
from checkpoint.errors import Refused
from checkpoint.names import Placement, placements_of, unpermute
from checkpoint.source import Source
from checkpoint.weights import INDEX, plan_shards, write_weights
from safetensors import safe_open

from support.gguf_files import smollm2, stories260k
from unit.scripts_checkpoint.conftest import Parts, source_of


def placed(path: Path) -> tuple[Source, list[Placement]]:
    source = source_of(path)
    return source, placements_of(source, architecture_of(source))


def of_sizes(*sizes: int) -> list[Placement]:
    return [Placement(f"s{index}", f"t{index}", (size,)) for index, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("sizes", "limit", "expected"),
    [
        ((3, 3, 3), 18, [["t0", "t1", "t2"]]),
        ((3, 3, 3), 17, [["t0", "t1"], ["t2"]]),
        ((1, 20, 1, 1), 6, [["t0"], ["t1"], ["t2", "t3"]]),
        ((20,), 1, [["t0"]]),
    ],
)
def test_tensors_are_divided_in_order_by_size(
    sizes: tuple[int, ...], limit: int, expected: list[list[str]]
) -> None:
    shards = plan_shards(of_sizes(*sizes), 2, limit)
    assert [[one.name for one in shard.placements] for shard in shards] == expected


def test_files_are_named_as_readers_expect() -> None:
    assert [one.file for one in plan_shards(of_sizes(1), 2, 100)] == ["model.safetensors"]
    assert [one.file for one in plan_shards(of_sizes(9, 9), 2, 18)] == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ]


def read_all(folder: Path) -> dict[str, np.ndarray]:
    found = {}
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="numpy") as file:
            assert file.metadata() == {"format": "pt"}
            found |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return found


@pytest.mark.parametrize("limit", [10**9, 200_000])
def test_every_weight_can_be_read_back(limit: int, tmp_path: Path) -> None:
    source, placements = placed(stories260k())
    told: list[str] = []
    shards = plan_shards(placements, 4, limit)
    write_weights(source, shards, DTYPES["f32"], tmp_path, lambda one: told.append(one.name))
    found = read_all(tmp_path)
    assert told == [one.name for one in placements]
    assert set(found) == set(told)
    for one in placements:
        stored = np.array(source.tensors[one.stored].data)
        expected = unpermute(stored, one.rotated_heads) if one.rotated_heads else stored
        assert np.array_equal(found[one.name], expected), one.name


def test_the_index_says_which_file_has_which_tensor(tmp_path: Path) -> None:
    source, placements = placed(stories260k())
    shards = plan_shards(placements, 2, 200_000)
    write_weights(source, shards, DTYPES["f16"], tmp_path, lambda one: None)
    index = json.loads((tmp_path / INDEX).read_text())
    assert len(shards) == 4
    assert index["metadata"] == {"total_size": 2 * 292_800}
    for name, file in index["weight_map"].items():
        with safe_open(tmp_path / file, framework="numpy") as opened:
            assert name in opened.keys()  # noqa: SIM118
    assert set(index["weight_map"]) == {one.name for one in placements}


def test_a_single_file_has_no_index(tmp_path: Path) -> None:
    source, placements = placed(stories260k())
    write_weights(
        source, plan_shards(placements, 2, 10**9), DTYPES["bf16"], tmp_path, lambda one: None
    )
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_bfloat16_is_written_bit_by_bit(tmp_path: Path) -> None:
    source, placements = placed(stories260k())
    norm = [one for one in placements if one.stored == "output_norm.weight"]
    write_weights(source, plan_shards(norm, 2, 10**9), DTYPES["bf16"], tmp_path, lambda one: None)
    data = (tmp_path / "model.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    assert header["model.norm.weight"] == {"dtype": "BF16", "shape": [64], "data_offsets": [0, 128]}
    expected = to_bfloat16(np.array(source.tensors["output_norm.weight"].data))
    assert data[8 + length :] == expected.tobytes()


def test_a_quantised_tensor_is_dequantised_block_by_block() -> None:
    source = source_of(smollm2())
    name = "blk.0.attn_k.weight"
    blocks = np.array(source.tensors[name].data).reshape(-1, 20)
    # Q4_1: scale and minimum in float16, then 32 numbers of four bits, low halves first.
    scale, least = blocks[:, :4].copy().view(np.float16).astype(np.float32).T
    numbers = np.concatenate([blocks[:, 4:] & 15, blocks[:, 4:] >> 4], axis=1)
    expected = (numbers * scale[:, None] + least[:, None]).reshape(192, 576)
    assert source.tensors[name].kind == "Q4_1"
    assert np.allclose(source.dequantise(name), expected, rtol=1e-6)


def test_weights_beyond_float16_are_refused(stories: Parts, tmp_path: Path) -> None:
    stories.tensors["blk.4.attn_v.weight"][3, 5] = 70_000.0
    source, placements = placed(stories.write(tmp_path / "large.gguf"))
    shards = plan_shards(placements, 2, 10**9)
    with pytest.raises(Refused, match=r"blk\.4\.attn_v\.weight has weights beyond .* --dtype bf16"):
        write_weights(source, shards, DTYPES["f16"], tmp_path, lambda one: None)
    assert not list(tmp_path.glob("*.safetensors"))
