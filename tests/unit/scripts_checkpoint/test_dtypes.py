from __future__ import annotations

import math

import numpy as np
import pytest
from checkpoint.dtypes import DTYPES, overflows, to_bfloat16, to_float16
from hypothesis import given
from hypothesis import strategies as st

ULP = 2.0**-7
GREATEST = 255 / 128 * 2.0**127


def value_of(bits: int) -> float:
    return float(np.array([bits << 16], dtype=np.uint32).view(np.float32)[0])


def rounded(value: float) -> int:
    return int(to_bfloat16(np.array([value], dtype=np.float32))[0])


@pytest.mark.parametrize(
    ("value", "bits"),
    [
        (0.0, 0x0000),
        (-0.0, 0x8000),
        (1.0, 0x3F80),
        (-2.5, 0xC020),
        (1 + ULP / 4, 0x3F80),
        (1 + ULP * 3 / 4, 0x3F81),
        (math.inf, 0x7F80),
        (-math.inf, 0xFF80),
        (GREATEST, 0x7F7F),
        (float(np.finfo(np.float32).max), 0x7F80),
        (2.0**-149, 0x0000),
        (2.0**-133, 0x0001),
    ],
)
def test_known_values_have_known_bits(value: float, bits: int) -> None:
    assert rounded(value) == bits


@pytest.mark.parametrize(
    ("value", "bits"),
    [
        (1 + ULP / 2, 0x3F80),
        (1 + ULP * 3 / 2, 0x3F82),
        (-(1 + ULP / 2), 0xBF80),
        (2 - ULP / 2, 0x4000),
        (2.0**-134, 0x0000),
        (3 * 2.0**-134, 0x0002),
    ],
)
def test_a_tie_goes_to_the_even_neighbour(value: float, bits: int) -> None:
    assert rounded(value) == bits


@pytest.mark.parametrize("bits", [0x7F80_0001, 0x7FC0_0000, 0x7FFF_FFFF, 0xFF80_0001, 0xFFFF_FFFF])
def test_a_nan_stays_one_with_its_sign(bits: int) -> None:
    stored = int(to_bfloat16(np.array([bits], dtype=np.uint32).view(np.float32))[0])
    assert math.isnan(value_of(stored))
    assert stored >> 15 == bits >> 31


@given(st.floats(width=32, allow_nan=False, min_value=-GREATEST, max_value=GREATEST))
def test_no_other_bfloat16_is_nearer(value: float) -> None:
    bits = rounded(value)
    distance = abs(value_of(bits) - value)
    for neighbour in (bits - 1, bits + 1):
        other = value_of(neighbour & 0xFFFF)
        if math.isfinite(other):
            assert distance <= abs(other - value)
            assert distance < abs(other - value) or bits % 2 == 0


@given(st.integers(0, 0xFFFF))
def test_what_is_a_bfloat16_already_does_not_change(bits: int) -> None:
    value = value_of(bits)
    if not math.isnan(value):
        assert rounded(value) == bits


def test_a_matrix_keeps_its_shape() -> None:
    weights = np.arange(6, dtype=np.float32).reshape(2, 3).T
    assert to_bfloat16(weights).tolist() == [[0, 0x4040], [0x3F80, 0x4080], [0x4000, 0x40A0]]


def test_only_float16_can_overflow() -> None:
    weights = np.array([1.0, 65_520.0], dtype=np.float32)
    assert overflows(weights, to_float16(weights))
    assert not overflows(weights[:1], to_float16(weights[:1]))
    assert not overflows(weights, to_bfloat16(weights))
    infinite = np.array([math.inf], dtype=np.float32)
    assert not overflows(infinite, to_float16(infinite))


def test_the_three_types_have_the_sizes_they_are_known_for() -> None:
    sizes = {name: (one.name, one.item_bytes) for name, one in DTYPES.items()}
    assert sizes == {"bf16": ("bfloat16", 2), "f16": ("float16", 2), "f32": ("float32", 4)}
