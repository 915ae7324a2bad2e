"""Options of the llama.cpp engine, checked before anything native sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quorate.engines.sizes import check_cells
from quorate.errors import SettingsError
from quorate.options import option, read_options

CONTEXT_LENGTH_CAP = 8192
"""Context of a model whose own is longer, unless the options ask for more."""

FLASH_ATTENTION_MODES = ("auto", "on", "off")
SPLIT_MODES = ("none", "layer", "row")
KV_TYPES = ("f32", "f16", "q8_0")
REPACKING_MODES = ("auto", "on", "off")

_MAX_SESSIONS = 256
"""llama.cpp's LLAMA_MAX_SEQ."""


@dataclass(frozen=True, slots=True)
class LlamaCppOptions:
    """How one model is loaded.

    Attributes:
        context_length: Most tokens of one session; 0 takes the model's own, at most
            ``CONTEXT_LENGTH_CAP``. More than the model was trained for needs RoPE scaling.
        sessions: Sessions that can be open at once. A byte-exact vote takes one for each
            hypothesis of its beam.
        cells: KV tokens that all sessions may hold together, at least ``context_length``; 0 takes
            ``context_length``, which is one full session or several shorter ones. They are
            allocated at load.
        batch_tokens: Most tokens of one decode call; raised to ``sessions`` where that is more.
        gpu_layers: Layers kept on GPUs; -1 is all of them where there is a GPU. More than 0, as
            the next three, needs a build for GPUs.
        main_gpu: The GPU used; needs a ``split_mode`` of ``none``.
        tensor_split: Share of each GPU; empty divides by free memory. Needs one that divides.
        split_mode: How a model is divided among GPUs: ``none``, ``layer`` or ``row``.
        flash_attention: ``auto``, ``on`` or ``off``.
        kv_type_k: Type of the K cache: ``f32``, ``f16`` or ``q8_0``.
        kv_type_v: Type of the V cache; ``q8_0`` needs flash attention.
        use_mmap: Map the file instead of reading it.
        use_mlock: Keep the weights from being swapped out.
        repack: Whether weights are copied into the layout that suits this CPU best; ``auto`` does
            so except in builds with AMX kernels that crash, as most do: those that
            ``scripts/setup`` did not make are tried before the first worker is started.
        rope_freq_base: RoPE base frequency; 0 takes the model's.
        rope_freq_scale: RoPE frequency scale; 0 takes the model's.
    """

    context_length: int = option(0, lowest=0, highest=2**24)
    sessions: int = option(32, lowest=1, highest=_MAX_SESSIONS)
    cells: int = option(0, lowest=0, highest=2**30)
    batch_tokens: int = option(512, lowest=1, highest=2**16)
    gpu_layers: int = option(-1, lowest=-1, highest=2**16)
    main_gpu: int = option(0, lowest=0, highest=255)
    tensor_split: tuple[float, ...] = option((), lowest=0)
    split_mode: str = option("layer", choices=SPLIT_MODES)
    flash_attention: str = option("auto", choices=FLASH_ATTENTION_MODES)
    kv_type_k: str = option("f16", choices=KV_TYPES)
    kv_type_v: str = option("f16", choices=KV_TYPES)
    use_mmap: bool = True
    use_mlock: bool = False
    repack: str = option("auto", choices=REPACKING_MODES)
    rope_freq_base: float = option(0.0, lowest=0)
    rope_freq_scale: float = option(0.0, lowest=0)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], where: str) -> LlamaCppOptions:
        """See ``EngineOptions``."""
        return read_options(cls, mapping, where, lambda options: options.check(where))

    def check(self, where: str) -> None:
        """Checks what a single value cannot show; raises as ``from_mapping``."""
        if self.kv_type_v == "q8_0" and self.flash_attention == "off":
            raise SettingsError(
                f"{where}.kv_type_v: q8_0 needs flash attention; set flash_attention to auto or on"
            )
        if self.tensor_split and not any(self.tensor_split):
            raise SettingsError(f"{where}.tensor_split: at least one share must be above 0")
        if self.tensor_split and self.split_mode == "none":
            problem = "nothing is divided where split_mode is none; leave one of them out"
            raise SettingsError(f"{where}.tensor_split: {problem}")
        if self.main_gpu and self.split_mode != "none":
            problem = f"has no effect where split_mode is {self.split_mode}; set that to none"
            raise SettingsError(f"{where}.main_gpu: {problem}")
        check_cells(self.context_length, self.cells, where)
