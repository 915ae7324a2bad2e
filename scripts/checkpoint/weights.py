"""Writes the weights of a checkpoint, in files of limited size.

Format: https://github.com/huggingface/safetensors. The library writes a file at once, so that one
file's weights are in memory together, and beside them one tensor in float32.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, TensorSpec, serialize_file

from checkpoint.dtypes import DType, Stored, overflows
from checkpoint.errors import Refused
from checkpoint.names import Placement, unpermute
from checkpoint.source import Source

INDEX = "model.safetensors.index.json"
Report = Callable[[Placement], None]


@dataclass(frozen=True, slots=True)
class Shard:
    """One file of weights."""

    file: str
    placements: tuple[Placement, ...]


def plan_shards(placements: Iterable[Placement], item_bytes: int, limit: int) -> list[Shard]:
    """Divides tensors among files of at most `limit` bytes of weights.

    Order is kept; a tensor that is larger than the limit has a file of its own.
    """
    groups: list[list[Placement]] = [[]]
    filled = 0
    for placement in placements:
        size = placement.weights * item_bytes
        if groups[-1] and filled + size > limit:
            groups.append([])
            filled = 0
        groups[-1].append(placement)
        filled += size
    if len(groups) == 1:
        return [Shard("model.safetensors", tuple(groups[0]))]
    return [
        Shard(f"model-{number:05}-of-{len(groups):05}.safetensors", tuple(group))
        for number, group in enumerate(groups, start=1)
    ]


def write_weights(
    source: Source, shards: Sequence[Shard], dtype: DType, folder: Path, report: Report
) -> None:
    """Writes all files, and the index where there are several; tells of every tensor.

    Raises:
        Refused: A tensor cannot be dequantised or does not fit the type.
        OSError: A file cannot be written.
    """
    for shard in shards:
        _write_shard(source, shard, dtype, folder / shard.file, report)
    if len(shards) > 1:
        (folder / INDEX).write_text(json.dumps(_index(shards, dtype), indent=2) + "\n")


def _write_shard(source: Source, shard: Shard, dtype: DType, path: Path, report: Report) -> None:
    arrays: dict[str, Stored] = {}
    for placement in shard.placements:
        arrays[placement.name] = _converted(source, placement, dtype)
        report(placement)
    specs = {
        name: TensorSpec(
            dtype=dtype.name,
            shape=array.shape,
            data_ptr=array.ctypes.data,
            data_len=array.nbytes,
        )
        for name, array in arrays.items()
    }
    # Readers of checkpoints look for this entry.
    try:
        serialize_file(specs, path, metadata={"format": "pt"})
    except SafetensorError as error:
        raise Refused(f"cannot write {path}: {error}") from error


def _converted(source: Source, placement: Placement, dtype: DType) -> Stored:
    weights = source.dequantise(placement.stored)
    if placement.rotated_heads:
        weights = unpermute(weights, placement.rotated_heads)
    stored = np.ascontiguousarray(dtype.cast(weights))
    if overflows(weights, stored):
        raise Refused(
            f"{source.path}: {placement.stored} has weights beyond what float16 can hold; "
            "convert with --dtype bf16"
        )
    return stored


def _index(shards: Sequence[Shard], dtype: DType) -> dict[str, object]:
    weights = sum(one.weights for shard in shards for one in shard.placements)
    files = {one.name: shard.file for shard in shards for one in shard.placements}
    return {"metadata": {"total_size": weights * dtype.item_bytes}, "weight_map": files}
