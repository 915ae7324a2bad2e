"""llama.cpp: quantised GGUF models on CPUs and GPUs.

``load`` turns a file into a ``BatchModel``. The native library is imported when it is called, so
that naming this engine costs nothing in a process that runs no model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from quorate.engines.llama_cpp.options import LlamaCppOptions

if TYPE_CHECKING:
    from quorate.engines.llama_cpp.model import LlamaCppModel

__all__ = ["LlamaCppOptions", "load"]


def load(
    path: str, options: LlamaCppOptions, threads: int, on_progress: Callable[[float], None]
) -> LlamaCppModel:
    """Loads a GGUF file; see ``model.load``."""
    from quorate.engines.llama_cpp import model

    return model.load(path, options, threads, on_progress)
