"""Types that weights are made into, and how large they are. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

BITS: Mapping[str, float] = MappingProxyType(
    {
        "F32": 32, "F16": 16, "BF16": 16, "Q8_0": 8.5, "Q6_K": 6.6, "Q5_K_M": 5.7, "Q5_K_S": 5.5,
        "Q5_0": 5.5, "Q5_1": 6.0, "Q4_0": 4.5, "Q4_1": 5.0, "Q4_K_M": 4.9, "Q4_K_S": 4.6,
        "Q3_K_L": 4.3, "Q3_K_M": 3.9, "Q3_K_S": 3.5, "Q2_K": 3.2,
    }
)  # fmt: skip
"""Bits of a weight, in the mean of a usual model, by llama.cpp's name of the type."""
