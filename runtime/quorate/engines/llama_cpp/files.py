"""What a process that runs llama.cpp must be able to reach."""

from __future__ import annotations

import os
import re
from pathlib import Path

from quorate.engines.confinement.plan import Needs
from quorate.engines.llama_cpp.options import LlamaCppOptions

# llama.cpp's own name for the parts of a model that is split (llama_split_path).
_PART = re.compile(r"-\d{5}-of-(\d{5})\.gguf$")


def needs(path: str, options: LlamaCppOptions) -> Needs:
    """The file, and its other parts where it is split; it writes what a GPU's driver compiles."""
    compiled = os.environ.get("CUDA_CACHE_PATH") or os.path.expanduser("~/.nv/ComputeCache")
    return Needs(reads=(path, *other_parts(path)), writes=(compiled,))


def other_parts(path: str) -> list[str]:
    """The other files of a model that is split, as far as they are there."""
    found = _PART.search(path)
    if found is None:
        return []
    stem, of = path[: found.start()], found[1]
    parts = (f"{stem}-{number:05}-of-{of}.gguf" for number in range(1, min(int(of), 1000) + 1))
    return [part for part in parts if part != path and Path(part).exists()]
