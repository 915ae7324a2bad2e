"""Which llama.cpp is installed, and how it was built, without loading it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
from pathlib import Path

_MENDED = "Build: 2nodse_nofp16"
# What computes on the processor; the others may have a gigabyte, for GPUs.
_PROCESSOR_LIBRARIES = ("ggml-cpu", "ggml-base", "libggml.", "llama")


def keeps_tile_stores() -> bool:
    """Whether llama.cpp is known to keep its stores to the tile configuration.

    Compilers drop most stores to ggml's tile configuration, whose address only an AMX instruction
    reads, and the first matrix product then ends the process (llama.cpp issue 20824, and pull
    request 26954, which is open). ``scripts/llama_cpp_wheel`` builds it so that they stay, and tags
    the wheel; a library from elsewhere has none.
    """
    if "LLAMA_CPP_LIB_PATH" in os.environ:
        return False
    try:
        wheel = importlib.metadata.distribution("llama-cpp-python").read_text("WHEEL") or ""
    except importlib.metadata.PackageNotFoundError:
        return False
    return _MENDED in wheel.splitlines()


def library_digest() -> str:
    """One text for the libraries that processes here load; other ones give another.

    Raises:
        OSError: There are none, or they cannot be read.
    """
    digest = hashlib.sha256()
    for path in sorted(path for path in _folder().iterdir() if path.is_file()):
        digest.update(f"{path.name} {path.stat().st_size}\n".encode())
        if any(part in path.name for part in _PROCESSOR_LIBRARIES):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _folder() -> Path:
    """Where llama-cpp-python looks for its libraries (``llama_cpp/_ctypes_extensions.py``)."""
    if chosen := os.environ.get("LLAMA_CPP_LIB_PATH"):
        return Path(chosen)
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("llama-cpp-python is not installed")
    return Path(spec.origin).parent / "lib"
