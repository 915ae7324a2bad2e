"""llama.cpp among the engines."""

from __future__ import annotations

from quorate.engines.llama_cpp.files import needs
from quorate.engines.llama_cpp.header import check_file
from quorate.engines.llama_cpp.options import LlamaCppOptions
from quorate.engines.registry import EngineRegistration

ENGINE = EngineRegistration(
    name="llama_cpp",
    options=LlamaCppOptions,
    loader="quorate.engines.llama_cpp.start:load",
    encoder="quorate.engines.llama_cpp.start:load_encoder",
    files="gguf",
    default=True,
    check_files=check_file,
    library="llama_cpp",
    needs=needs,
)
