"""Float32 into the types that checkpoints are stored in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Stored = npt.NDArray[Any]

_QUIET = np.uint16(0x0040)


@dataclass(frozen=True, slots=True)
class DType:
    """A type of weights.

    Attributes:
        name: As PyTorch and safetensors call it.
        item_bytes: Size of one weight.
        cast: From float32; numpy knows no bfloat16, so that its weights come as uint16.
    """

    name: str
    item_bytes: int
    cast: Callable[[Floats], Stored]


def to_bfloat16(weights: Floats) -> npt.NDArray[np.uint16]:
    """The bits of the nearest bfloat16, ties to even, as IEEE 754 rounds.

    What is beyond the greatest finite value becomes an infinity; a NaN stays one, with its sign.
    """
    bits = np.ascontiguousarray(weights, dtype=np.float32).view(np.uint32)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    # A carry out of the mantissa raises the exponent, as it should. Only a NaN could run over the
    # top, and is replaced below.
    rounded = ((bits + (odd + np.uint32(0x7FFF))) >> np.uint32(16)).astype(np.uint16)
    quiet = (bits >> np.uint32(16)).astype(np.uint16) | _QUIET
    return np.where(np.isnan(weights), quiet, rounded)


def to_float16(weights: Floats) -> npt.NDArray[np.float16]:
    """The nearest float16; what is beyond 65504 becomes an infinity."""
    with np.errstate(over="ignore"):
        return weights.astype(np.float16)


def to_float32(weights: Floats) -> Floats:
    """The weights as they are."""
    return weights


DTYPES = {
    "bf16": DType("bfloat16", 2, to_bfloat16),
    "f16": DType("float16", 2, to_float16),
    "f32": DType("float32", 4, to_float32),
}
"""By the name that the command takes."""


def overflows(weights: Floats, stored: Stored) -> bool:
    """Whether a finite weight became infinite in float16."""
    if stored.dtype != np.float16:
        return False
    return bool((np.isinf(stored) & np.isfinite(weights)).any())
