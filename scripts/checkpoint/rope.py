"""How rotary frequencies are stretched, recovered from what GGUF keeps of it.

llama.cpp's converter stores Llama 3's rule as its result, one divisor for each frequency, in the
tensor ``rope_freqs.weight``. The rule is "frequency-based scaling" in the code of Llama 3.1
(``apply_scaling``); its constants are the same in all published models, the factor is not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from checkpoint.errors import Refused
from checkpoint.source import Floats, Source

_DIVISORS = "rope_freqs.weight"
_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Llama3Scaling:
    """Llama 3's rule: long waves are stretched by `factor`, short ones not at all."""

    factor: float
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_context: int = 8192

    def config(self) -> dict[str, object]:
        """The entry ``rope_scaling`` of ``config.json``."""
        return {
            "rope_type": "llama3",
            "factor": self.factor,
            "low_freq_factor": self.low_freq_factor,
            "high_freq_factor": self.high_freq_factor,
            "original_max_position_embeddings": self.original_context,
        }

    def divisors(self, head_width: int, theta: float) -> Floats:
        """float32[head_width / 2]: by what each frequency is divided."""
        exponents = np.arange(0, head_width, 2, dtype=np.float64) / head_width
        turns = self.original_context * theta**-exponents / (2 * math.pi)
        span = self.high_freq_factor - self.low_freq_factor
        unscaled = np.clip((turns - self.low_freq_factor) / span, 0.0, 1.0)
        return (1 / ((1 - unscaled) / self.factor + unscaled)).astype(np.float32)


def scaling_of(source: Source, head_width: int, theta: float) -> Llama3Scaling | None:
    """The scaling of a file, or None where the frequencies are as they were trained.

    Raises:
        Refused: The file asks for another rule than Llama 3's.
    """
    kind = source.find("llama.rope.scaling.type", str, "none")
    if kind != "none":
        raise Refused(f"{source.path}: rope scaling of the kind {kind} cannot be converted")
    # Files of 2023 name no kind: a factor alone meant linear scaling.
    for key in ("llama.rope.scaling.factor", "llama.rope.scale_linear"):
        if source.find(key, float, 1.0) not in (0.0, 1.0):
            raise Refused(f"{source.path}: {key} asks for linear scaling, which is not supported")
    if _DIVISORS not in source.tensors:
        return None
    stored = source.dequantise(_DIVISORS)
    scaling = Llama3Scaling(factor=float(np.round(stored.max(), 4)))
    wanted = scaling.divisors(head_width, theta)
    if stored.shape != wanted.shape or not np.allclose(stored, wanted, rtol=_TOLERANCE):
        raise Refused(f"{source.path}: {_DIVISORS} does not follow Llama 3's rule for rope scaling")
    return None if scaling.factor == 1.0 else scaling
