"""A model made large without becoming another: further layers that add nothing to what it says.

A stranger's gigabyte cannot be carried to every machine. This makes one there: each layer that is
added computes with random weights and multiplies what comes out by zero.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf import GGUFReader, GGUFValueType, GGUFWriter

_SILENT = ("attn_output", "ffn_down")
"""Matrices of a layer by which something gets back into what goes on; zero in those added."""


def inflate(source: Path, target: Path, layers: int, width: int) -> None:
    """Writes a model of the architecture ``llama`` that says the same, with more weights.

    Args:
        source: A GGUF file whose matrices are not quantised.
        target: Its matrices are float16, norms float32.
        layers: How many layers are added.
        width: Inner width of the feed-forward part of every layer, at least that of the source;
            what is added to those of the source is zero.
    """
    reader = GGUFReader(source)
    counted = int(reader.fields["llama.block_count"].contents())
    writer = GGUFWriter(target, "llama")
    changed = {"llama.block_count": counted + layers, "llama.feed_forward_length": width}
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        kind = field.types[0]
        sub_type = field.types[-1] if kind is GGUFValueType.ARRAY else None
        value = changed.get(name, field.contents())
        writer.add_key_value(name, value, kind, sub_type)
    tensors = {tensor.name: np.array(tensor.data) for tensor in reader.tensors}
    random = np.random.default_rng(5)
    for name, values in tensors.items():
        writer.add_tensor(name, _widened(name, values, width))
    for layer in range(counted, counted + layers):
        for name, values in tensors.items():
            if name.startswith("blk.0."):
                shape = _widened(name, values, width).shape
                new = name.replace("blk.0.", f"blk.{layer}.")
                writer.add_tensor(new, _added(name, shape, values.dtype, random))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _widened(name: str, values: npt.NDArray[Any], width: int) -> npt.NDArray[Any]:
    """A matrix of a feed-forward part with zeros where it has to be wider; shape (out, in)."""
    if ".ffn_gate." in name or ".ffn_up." in name:
        return np.pad(values, ((0, width - values.shape[0]), (0, 0)))
    if ".ffn_down." in name:
        return np.pad(values, ((0, 0), (0, width - values.shape[1])))
    return values


def _added(
    name: str, shape: tuple[int, ...], kind: np.dtype[Any], random: np.random.Generator
) -> npt.NDArray[Any]:
    if any(f".{silent}." in name for silent in _SILENT):
        return np.zeros(shape, kind)
    if len(shape) == 1:
        return np.ones(shape, kind)
    return (random.standard_normal(shape, np.float32) * 0.1).astype(kind)
