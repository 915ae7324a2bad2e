"""llama.cpp among the engines."""

from __future__ import annotations

from quorate.engines.llama_cpp.options import LlamaCppOptions
from quorate.engines.registry import EngineRegistration

ENGINE = EngineRegistration(
    name="llama_cpp",
    options=LlamaCppOptions,
    loader="quorate.engines.llama_cpp.model:load",
    files="gguf",
    default=True,
    library="llama_cpp",
)
