"""Options of the llama.cpp engine, checked before anything native sees them."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from quorate.errors import SettingsError

CONTEXT_LENGTH_CAP = 8192
"""Context of a model whose own is longer, unless the options ask for more."""

FLASH_ATTENTION_MODES = ("auto", "on", "off")
SPLIT_MODES = ("none", "layer", "row")
KV_TYPES = ("f32", "f16", "q8_0")
REPACKING_MODES = ("auto", "on", "off")

_CHOICES = {
    "flash_attention": FLASH_ATTENTION_MODES,
    "split_mode": SPLIT_MODES,
    "kv_type_k": KV_TYPES,
    "kv_type_v": KV_TYPES,
    "repack": REPACKING_MODES,
}
# Lowest and highest value of each integer option. Sessions stop at llama.cpp's LLAMA_MAX_SEQ.
_RANGES = {
    "context_length": (0, 2**24),
    "sessions": (1, 256),
    "cells": (0, 2**30),
    "batch_tokens": (1, 2**16),
    "gpu_layers": (-1, 2**16),
    "main_gpu": (0, 255),
}


@dataclass(frozen=True, slots=True)
class LlamaCppOptions:
    """How one model is loaded.

    Attributes:
        context_length: Most tokens of one session; 0 takes the model's own, at most
            ``CONTEXT_LENGTH_CAP``. Never more than the model was trained for.
        sessions: Sessions that can be open at once.
        cells: KV cells shared by all sessions; 0 takes ``context_length``, which is one full
            session or several shorter ones. They are allocated at load.
        batch_tokens: Most tokens of one decode call; raised to ``sessions`` where that is more.
        gpu_layers: Layers kept on GPUs; -1 is all of them. Without a GPU build it has no effect.
        main_gpu: The GPU used when ``split_mode`` is ``none``.
        tensor_split: Share of each GPU; empty divides by free memory.
        split_mode: How a model is divided among GPUs: ``none``, ``layer`` or ``row``.
        flash_attention: ``auto``, ``on`` or ``off``.
        kv_type_k: Type of the K cache: ``f32``, ``f16`` or ``q8_0``.
        kv_type_v: Type of the V cache; ``q8_0`` needs flash attention.
        use_mmap: Map the file instead of reading it.
        use_mlock: Keep the weights from being swapped out.
        repack: Whether weights are copied into the layout that suits this CPU best; ``auto`` does
            so except in builds with AMX kernels, many of which crash.
        rope_freq_base: RoPE base frequency; 0 takes the model's.
        rope_freq_scale: RoPE frequency scale; 0 takes the model's.
    """

    context_length: int = 0
    sessions: int = 8
    cells: int = 0
    batch_tokens: int = 512
    gpu_layers: int = -1
    main_gpu: int = 0
    tensor_split: tuple[float, ...] = ()
    split_mode: str = "layer"
    flash_attention: str = "auto"
    kv_type_k: str = "f16"
    kv_type_v: str = "f16"
    use_mmap: bool = True
    use_mlock: bool = False
    repack: str = "auto"
    rope_freq_base: float = 0.0
    rope_freq_scale: float = 0.0

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], where: str) -> LlamaCppOptions:
        """Reads options as they stand in a configuration file.

        Args:
            mapping: Option names and values.
            where: Where they stand, for messages, such as ``models.a.options``.

        Raises:
            SettingsError: An unknown name, a wrong type or a value out of range.
        """
        known = [field.name for field in fields(cls)]
        for name in mapping:
            if name not in known:
                raise SettingsError(f"{where}.{name}: unknown option; {_hint(name, known)}")
        values = {name: _checked(name, value, where) for name, value in mapping.items()}
        options = cls(**values)
        if options.kv_type_v == "q8_0" and options.flash_attention == "off":
            raise SettingsError(
                f"{where}.kv_type_v: q8_0 needs flash attention; set flash_attention to auto or on"
            )
        return options


def _hint(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"


def _checked(name: str, value: Any, where: str) -> Any:
    key = f"{where}.{name}"
    if name in _CHOICES:
        return _choice(key, value, _CHOICES[name])
    if name in _RANGES:
        return _integer(key, value, *_RANGES[name])
    if name == "tensor_split":
        return _shares(key, value)
    if name.startswith("use_"):
        if not isinstance(value, bool):
            raise SettingsError(f"{key}: must be true or false, not {value!r}")
        return value
    return _amount(key, value)


def _choice(key: str, value: Any, choices: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in choices:
        raise SettingsError(f"{key}: must be one of {', '.join(choices)}, not {value!r}")
    return value


def _integer(key: str, value: Any, lowest: int, highest: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise SettingsError(f"{key}: must be an integer, not {value!r}")
    if not lowest <= value <= highest:
        raise SettingsError(f"{key}: must be from {lowest} to {highest}, not {value}")
    return value


def _amount(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SettingsError(f"{key}: must be a number, not {value!r}")
    if not math.isfinite(value) or value < 0:
        raise SettingsError(f"{key}: must be finite and not negative, not {value}")
    return float(value)


def _shares(key: str, value: Any) -> tuple[float, ...]:
    if not isinstance(value, list | tuple):
        raise SettingsError(f"{key}: must be a list of numbers, not {value!r}")
    shares = tuple(_amount(f"{key}[{index}]", share) for index, share in enumerate(value))
    if shares and sum(shares) == 0:
        raise SettingsError(f"{key}: at least one share must be above 0")
    return shares
