"""The way into llama.cpp: the native library, without what its Python package puts on top."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from quorate.engines.llama_cpp.options import LlamaCppOptions

if TYPE_CHECKING:
    from quorate.engines.llama_cpp.model import LlamaCppModel
    from quorate.engines.prompt_encoding import PromptEncoder

_PACKAGE = "llama_cpp"


def load(
    path: str, options: LlamaCppOptions, threads: int, on_progress: Callable[[float], None]
) -> LlamaCppModel:
    """Loads a GGUF file with options that are valid; see ``EngineRegistration``.

    Raises:
        ModelUnusable: The file is broken, does not fit into memory, or holds no text decoder.
    """
    with native_library_alone():
        from quorate.engines.llama_cpp import model
    return model.load(path, options, threads, on_progress)


def load_encoder(path: str, options: LlamaCppOptions) -> PromptEncoder:
    """Loads what turns prompts into tokens, without the weights; see ``EngineRegistration``.

    Raises:
        ModelUnusable: The file is broken.
    """
    with native_library_alone():
        from quorate.engines.llama_cpp import encoder
    return encoder.load(path, options)


@contextmanager
def native_library_alone() -> Iterator[None]:
    """Within the block ``from llama_cpp import llama_cpp`` imports that one module.

    The package's own ``__init__`` imports samplers, chat formats and a cache on disk with all that
    they need, of which we use nothing: more than a third of the time that the import of this engine
    takes, at every start of a worker. Behind the block the package can be imported as a whole.
    """
    spec = None if _PACKAGE in sys.modules else importlib.util.find_spec(_PACKAGE)
    if spec is None:
        yield
        return
    sys.modules[_PACKAGE] = importlib.util.module_from_spec(spec)
    try:
        yield
    finally:
        del sys.modules[_PACKAGE]
