"""From a path and options to native handles, or to one line that says why not."""

from __future__ import annotations

import ctypes
import importlib.metadata
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from llama_cpp import llama_cpp as native

from quorate.engines.llama_cpp.context_length import Training, session_tokens
from quorate.engines.llama_cpp.header import check_file
from quorate.engines.llama_cpp.memory import check_kv_cache, metadata
from quorate.engines.llama_cpp.native_log import LOG
from quorate.engines.llama_cpp.options import LlamaCppOptions
from quorate.engines.scheduler.contract import CPU_PREFILL_TOKENS, GPU_PREFILL_TOKENS
from quorate.errors import ModelUnusable

MOST_ROWS = 64
"""Rows of scored texts and blocks in one decode call: two blocks, or the drafts of seven sessions.

Each takes a row of logits in the buffers, which a CPU's allocator touches where it is used first.
"""

_MENDED_BUILD = "Build: 1nodse"

_SPLIT_MODES = {
    "none": native.LLAMA_SPLIT_MODE_NONE,
    "layer": native.LLAMA_SPLIT_MODE_LAYER,
    "row": native.LLAMA_SPLIT_MODE_ROW,
}
_FLASH_ATTENTION = {
    "auto": native.LLAMA_FLASH_ATTN_TYPE_AUTO,
    "on": native.LLAMA_FLASH_ATTN_TYPE_ENABLED,
    "off": native.LLAMA_FLASH_ATTN_TYPE_DISABLED,
}
_KV_TYPES = {
    "f32": native.GGML_TYPE_F32,
    "f16": native.GGML_TYPE_F16,
    "q8_0": native.GGML_TYPE_Q8_0,
}
_LOAD_MODES = {
    (False, False): native.LLAMA_LOAD_MODE_NONE,
    (True, False): native.LLAMA_LOAD_MODE_MMAP,
    (False, True): native.LLAMA_LOAD_MODE_MLOCK,
    (True, True): native.LLAMA_LOAD_MODE_MMAP_MLOCK,
}


def load_weights(
    path: str, options: LlamaCppOptions, on_progress: Callable[[float], None]
) -> ctypes.c_void_p:
    """Loads the weights of a text decoder; the caller frees them with ``llama_model_free``.

    What ``on_progress`` raises ends the load and is raised here.

    Raises:
        ModelUnusable: The file is broken, does not fit into memory, or holds no causal decoder; or
            the options do not suit it or this machine.
    """
    subject = Path(path).name
    check_file(path, options)
    _check_devices(options, subject)
    LOG.install()
    LOG.begin_load()
    native.llama_backend_init()
    progress = _Progress(on_progress)
    shares = _tensor_split(options, subject)
    params = native.llama_model_default_params()
    params.n_gpu_layers = options.gpu_layers
    params.main_gpu = options.main_gpu
    params.split_mode = _SPLIT_MODES[options.split_mode]
    params.load_mode = _LOAD_MODES[options.use_mmap, options.use_mlock]
    params.use_extra_bufts = repacks(options)
    params.progress_callback = progress.callback
    if shares is not None:
        params.tensor_split = shares
    LOG.clear()
    model = native.llama_model_load_from_file(path.encode(), params)
    progress.raise_failure()
    if not model:
        raise ModelUnusable(
            subject, f"cannot load {path}: {LOG.cause('llama.cpp gives no reason')}"
        )
    if refusal := _not_a_decoder(model) or _without_rope(model, options):
        native.llama_model_free(model)
        raise ModelUnusable(subject, refusal)
    return model  # type: ignore[no-any-return]


def load_vocabulary(path: str, options: LlamaCppOptions) -> ctypes.c_void_p:
    """Loads the metadata and the vocabulary of a file without its weights.

    The caller frees them with ``llama_model_free``.

    Raises:
        ModelUnusable: The file is broken, or of another kind.
    """
    subject = Path(path).name
    check_file(path, options)
    LOG.install()
    params = native.llama_model_default_params()
    params.vocab_only = True
    # An empty list: no GPU need be opened to read a vocabulary.
    no_devices = (ctypes.c_void_p * 1)(None)
    params.devices = ctypes.cast(no_devices, ctypes.c_void_p)
    LOG.clear()
    model = native.llama_model_load_from_file(path.encode(), params)
    if not model:
        cause = LOG.cause("llama.cpp gives no reason")
        raise ModelUnusable(subject, f"cannot load the vocabulary of {path}: {cause}")
    return model  # type: ignore[no-any-return]


def chat_template(model: ctypes.c_void_p) -> str | None:
    """The chat template that the file brings, or None."""
    template: bytes | None = native.llama_model_chat_template(model, None)
    return None if template is None else template.decode("utf-8", errors="replace")


def repacks(options: LlamaCppOptions) -> bool:
    """Whether the weights are repacked into the layout that suits this CPU best.

    Compilers drop most stores to ggml's tile configuration, whose address only an AMX instruction
    reads, and the first matrix product then ends the process (llama.cpp issue 20824, and pull
    request 26954, which is open). Builds that keep them are known by the tag of their wheel.
    """
    if options.repack == "auto":
        has_amx_kernels = b"AMX_INT8 = 1" in native.llama_print_system_info()
        return not has_amx_kernels or _keeps_tile_stores()
    return options.repack == "on"


def max_outputs(options: LlamaCppOptions) -> int:
    """Rows of logits of one decode call: one for each session, or a few for blocks and scores."""
    return max(options.sessions, min(MOST_ROWS, options.batch_tokens))


def interleaved_prefill_tokens(model: ctypes.c_void_p, options: LlamaCppOptions) -> int:
    """Prompt tokens of one decode call while others decode.

    A step takes as long as its slowest layers, so that one layer left to the CPU makes it a CPU's.
    llama.cpp counts the output as a layer of its own.
    """
    layers = native.llama_model_n_layer(model) + 1
    on_gpus = native.llama_supports_gpu_offload() and not 0 <= options.gpu_layers < layers
    return GPU_PREFILL_TOKENS if on_gpus else CPU_PREFILL_TOKENS


def training(model: ctypes.c_void_p) -> Training:
    """What a model was trained for."""
    return Training.read(metadata(model, "general.architecture"), partial(metadata, model))


def open_context(
    model: ctypes.c_void_p, path: str, options: LlamaCppOptions, threads: int
) -> ctypes.c_void_p:
    """Allocates KV cache and compute buffers; the caller frees them with ``llama_free``.

    Raises:
        ModelUnusable: They do not fit into memory, or the options do not suit this model.
    """
    subject = Path(path).name
    kv_tokens = options.cells or session_tokens(training(model), options, subject)
    check_kv_cache(model, options, kv_tokens, subject)
    params = native.llama_context_default_params()
    params.n_ctx = kv_tokens
    params.n_batch = params.n_ubatch = max(options.batch_tokens, options.sessions)
    params.n_seq_max = options.sessions
    # One buffer for all sequences: a fork or a shared prompt start costs no memory and no time.
    params.kv_unified = True
    # Rewinding needs what a sliding window would have dropped.
    params.swa_full = True
    # Buffers for a row of every token of a batch would cost 100 MB and more.
    params.n_outputs_max = params.n_outputs_max_per_seq = max_outputs(options)
    params.n_threads = params.n_threads_batch = threads
    params.flash_attn_type = _FLASH_ATTENTION[options.flash_attention]
    params.type_k = _KV_TYPES[options.kv_type_k]
    params.type_v = _KV_TYPES[options.kv_type_v]
    params.rope_freq_base = options.rope_freq_base
    params.rope_freq_scale = options.rope_freq_scale
    params.no_perf = True
    LOG.clear()
    context = native.llama_init_from_model(model, params)
    if not context:
        cause = LOG.cause("llama.cpp gives no reason")
        raise ModelUnusable(
            subject,
            f"cannot open a context of {kv_tokens} KV cells: {cause}; fewer cells may help",
        )
    return context  # type: ignore[no-any-return]


class _Progress:
    """Carries progress out of the native loader; an exception must not cross it."""

    def __init__(self, on_progress: Callable[[float], None]) -> None:
        self._on_progress = on_progress
        self._failure: BaseException | None = None
        self.callback = native.llama_progress_callback(self._report)

    def _report(self, share: float, _data: object) -> bool:
        try:
            self._on_progress(share)
        except BaseException as error:  # kept for raise_failure
            self._failure = error
            return False
        return True

    def raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


def _keeps_tile_stores() -> bool:
    """Whether llama-cpp-python was built by ``scripts/llama_cpp_wheel``."""
    wheel = importlib.metadata.distribution("llama-cpp-python").read_text("WHEEL") or ""
    return _MENDED_BUILD in wheel.splitlines()


def _check_devices(options: LlamaCppOptions, subject: str) -> None:
    """Refuses what is asked of GPUs that nothing here can use."""
    if native.llama_supports_gpu_offload():
        return
    usual = LlamaCppOptions()
    asked = {
        "gpu_layers": options.gpu_layers > 0,
        "main_gpu": options.main_gpu != usual.main_gpu,
        "tensor_split": bool(options.tensor_split),
        "split_mode": options.split_mode != usual.split_mode,
    }
    if names := [name for name, wanted in asked.items() if wanted]:
        problem = f"{' and '.join(names)} need a build of llama-cpp-python for GPUs, and this is"
        raise ModelUnusable(
            subject, f"{problem} one for CPUs; leave them out, or install the other"
        )


def _tensor_split(options: LlamaCppOptions, subject: str) -> Any:
    if not options.tensor_split:
        return None
    devices = native.llama_max_devices()
    if len(options.tensor_split) > devices:
        raise ModelUnusable(
            subject,
            f"tensor_split names {len(options.tensor_split)} devices; this build knows {devices}",
        )
    return (ctypes.c_float * devices)(*options.tensor_split)


def _without_rope(model: ctypes.c_void_p, options: LlamaCppOptions) -> str:
    scaled = options.rope_freq_base or options.rope_freq_scale
    if scaled and native.llama_model_rope_type(model) == native.LLAMA_ROPE_TYPE_NONE:
        return "it has no RoPE to scale; leave rope_freq_base and rope_freq_scale out"
    return ""


def _not_a_decoder(model: ctypes.c_void_p) -> str:
    if native.llama_model_has_encoder(model) or not native.llama_model_has_decoder(model):
        return "it has an encoder; only decoder-only text models can vote"
    if native.llama_model_is_diffusion(model):
        return "it is a diffusion model; only decoder-only text models can vote"
    if native.llama_vocab_n_tokens(native.llama_model_get_vocab(model)) == 0:
        return "it has no vocabulary"
    return ""
