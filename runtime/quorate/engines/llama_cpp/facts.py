"""What is known of a loaded model, read from its native handles and metadata."""

from __future__ import annotations

import ctypes

from llama_cpp import llama_cpp as native

from quorate.engines.contract import Capabilities, ModelFacts
from quorate.engines.llama_cpp.context_length import session_tokens, stretched
from quorate.engines.llama_cpp.loading import training
from quorate.engines.llama_cpp.memory import kv_cache_bytes, metadata
from quorate.engines.llama_cpp.options import LlamaCppOptions
from quorate.engines.sizes import size_label


def gather_facts(
    weights: ctypes.c_void_p,
    context: ctypes.c_void_p,
    options: LlamaCppOptions,
    subject: str,
    space_prefix: bool,
) -> ModelFacts:
    """Describes a model whose context is open, and what its tokenizer puts before a text."""
    trained = training(weights)
    kv_tokens: int = native.llama_n_ctx(context)
    # Recurrent state has no KV tokens to share or to drop, only a whole to keep.
    has_kv_tokens = not (
        native.llama_model_is_recurrent(weights) or native.llama_model_is_hybrid(weights)
    )
    return ModelFacts(
        description=_description(weights),
        context_length=session_tokens(trained, options, subject),
        sessions=options.sessions,
        kv_tokens=kv_tokens,
        capabilities=Capabilities(
            chat=native.llama_model_chat_template(weights, None) is not None,
            fork=has_kv_tokens,
            rewind=has_kv_tokens,
            generate=True,
        ),
        memory_bytes=native.llama_model_size(weights) + kv_cache_bytes(weights, options, kv_tokens),
        shares_kv=has_kv_tokens,
        space_prefix=space_prefix,
        warnings=tuple(filter(None, (stretched(trained, options), _uncertain_cutting(weights)))),
    )


def _uncertain_cutting(weights: ctypes.c_void_p) -> str:
    """What to say where the file does not tell how text is cut before it becomes tokens."""
    if metadata(weights, "tokenizer.ggml.model") != "gpt2":
        return ""
    name = metadata(weights, "tokenizer.ggml.pre")
    if name not in ("", "default"):
        return ""
    said = "names the pre-tokenizer 'default'" if name else "names no pre-tokenizer"
    return (
        f"its file {said} (tokenizer.ggml.pre): text is cut in llama.cpp's default way, which is "
        "seldom that of the training, and answers get worse; convert the model anew"
    )


def _description(weights: ctypes.c_void_p) -> str:
    """Architecture, size and quantisation, such as ``llama 135M Q4_1``."""
    architecture = metadata(weights, "general.architecture")
    size = metadata(weights, "general.size_label") or size_label(
        native.llama_model_n_params(weights)
    )
    quantisation = (native.llama_ftype_name(native.llama_model_ftype(weights)) or b"").decode()
    quantisation = quantisation.removeprefix("(guessed) ").removeprefix("all ")
    return " ".join(filter(None, (architecture, size, quantisation)))
