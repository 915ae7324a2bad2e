"""Options of the vLLM engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quorate.engines.sizes import check_cells
from quorate.errors import SettingsError
from quorate.options import option, read_options

CONTEXT_LENGTH_CAP = 8192
"""Context of models that were trained for more, where the configuration does not ask for it."""

DTYPES = ("auto", "bfloat16", "float16", "float32")
KV_DTYPES = ("auto", "bfloat16", "float16", "fp8", "fp8_e4m3", "fp8_e5m2")
COMPILING = ("auto", "on", "off")


@dataclass(frozen=True, slots=True)
class VllmOptions:
    """How one checkpoint is loaded.

    Attributes:
        context_length: Most tokens of one session; 0 takes the model's own, at most
            ``CONTEXT_LENGTH_CAP``. More than the model was trained for is refused; the scaling of
            RoPE stands in ``config.json``.
        sessions: Sessions that can be open at once. A byte-exact vote takes one for each
            hypothesis of its beam.
        cells: KV tokens that all sessions may hold together, at least ``context_length``. 0 takes
            what ``memory_fraction`` leaves; where that is 0 too, all that a GPU has, and on CPUs
            one full session or several shorter ones.
        batch_tokens: Most tokens of prompts in one step; 0 is 512 on CPUs and 2048 on GPUs.
        memory_fraction: Share of each GPU's memory, or of the machine's on CPUs, that weights and
            KV cache may take together; 0 is 0.9 on GPUs and no share but ``cells`` on CPUs.
        tensor_parallel: GPUs that share every layer.
        pipeline_parallel: Groups of GPUs that share the layers.
        dtype: Type of weights and activations; ``auto`` takes the checkpoint's.
        kv_dtype: Type of the KV cache; ``auto`` takes that of the activations.
        quantization: vLLM's name of a method, such as ``fp8``; "" takes the checkpoint's own.
        compile: Whether the model is compiled and its steps recorded. ``auto`` does so on GPUs;
            on CPUs it costs half a minute at each start and gains next to nothing.
        block_size: KV tokens that are allocated together; 0 is 32 on CPUs, vLLM's choice on GPUs.
    """

    context_length: int = option(0, lowest=0, highest=2**24)
    sessions: int = option(32, lowest=1, highest=1024)
    cells: int = option(0, lowest=0, highest=2**30)
    batch_tokens: int = option(0, lowest=0, highest=2**16)
    memory_fraction: float = option(0.0, lowest=0.0, highest=1.0)
    tensor_parallel: int = option(1, lowest=1, highest=256)
    pipeline_parallel: int = option(1, lowest=1, highest=256)
    dtype: str = option("auto", choices=DTYPES)
    kv_dtype: str = option("auto", choices=KV_DTYPES)
    quantization: str = ""
    compile: str = option("auto", choices=COMPILING)
    block_size: int = option(0, lowest=0, highest=256)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], where: str) -> VllmOptions:
        """See ``EngineOptions``."""
        return read_options(cls, mapping, where, lambda options: options.check(where))

    def check(self, where: str) -> None:
        """Checks what a single value cannot show; raises as ``from_mapping``."""
        if self.block_size & (self.block_size - 1):
            raise SettingsError(f"{where}.block_size: {self.block_size} is not a power of 2")
        check_cells(self.context_length, self.cells, where)
