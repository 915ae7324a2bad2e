"""What a process that runs vLLM must be able to reach."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from quorate.engines.confinement.plan import Needs
from quorate.engines.vllm.options import VllmOptions

# What vLLM and the compilers below it keep, under the cache of a user and in a home.
_CACHES = ("torch", "torch_extensions", "triton", "flashinfer", "deep_gemm")
_IN_HOME = (".triton", ".nv")
_NAMED = ("VLLM_CACHE_ROOT", "VLLM_CONFIG_ROOT", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
_DESCRIPTORS = 8192


def needs(path: str, options: VllmOptions) -> Needs:
    """The checkpoint, caches and shared memory; it talks to its own processes over loopback."""
    return Needs(
        reads=(path, *_behind_links(path)),
        writes=tuple(_writes()),
        loopback=True,
        descriptors=_DESCRIPTORS,
    )


def _behind_links(path: str) -> Iterator[str]:
    """A checkpoint out of Hugging Face's cache is a folder of links to what lies elsewhere."""
    try:
        entries = [*os.scandir(path)]
    except OSError:
        return
    yield from (os.path.realpath(one.path) for one in entries if one.is_symlink())


def _writes() -> Iterator[str]:
    home = Path.home() if "HOME" in os.environ else Path("/nonexistent")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    # In sight of all users, and where sockets go and what is compiled.
    yield from (tempfile.gettempdir(), "/dev/shm")
    yield from filter(None, map(os.environ.get, _NAMED))
    yield from (str(cache / name) for name in _CACHES)
    yield from (str(home / name) for name in _IN_HOME)
    for folder in (cache / "vllm", home / ".config" / "vllm"):
        # It could not be allowed where it is not there, nor made by a process without its parent.
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            yield str(folder)
