"""What vLLM is told of a model, and what follows from it. Imported in the worker alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from vllm.engine.arg_utils import EngineArgs
from vllm.platforms import current_platform

from quorate.engines.vllm.checkpoint import check_context
from quorate.engines.vllm.options import CONTEXT_LENGTH_CAP, VllmOptions
from quorate.errors import ModelUnusable

_RUNNER_V1_CAPTURE = "quorate.engines.vllm.logits_capture_runner_v1:RunnerV1LogitsCapture"
_RUNNER_V2_CAPTURE = "quorate.engines.vllm.logits_capture_runner_v2:RunnerV2LogitsCapture"
_EXTENSION = "quorate.engines.vllm.extension.WorkerExtension"
_CPU_BATCH_TOKENS, _GPU_BATCH_TOKENS = 512, 2048
# Prompt tokens of one plain generation in a step, so that a long prompt does not stall others.
_CPU_PROMPT_TOKENS, _GPU_PROMPT_TOKENS = 256, 2048
_CPU_BLOCK = 32
_GPU_MEMORY_FRACTION = 0.9
# What is estimated here is only held against the memory there is.
_ESTIMATE_MARGIN = 1.05


class EnginePlan:
    """vLLM's configuration for one model.

    Args:
        options: Already validated.

    Attributes:
        on_cpu: Whether the processor computes.
        batch_tokens: Most tokens of the chunks of one decode call.
        kv_tokens: KV tokens that sessions may hold together; 0 takes what vLLM finds memory for.
        kv_token_bytes: What each takes, estimated.

    Raises:
        Exception: Whatever vLLM raises where it cannot run the model.
    """

    def __init__(self, path: str, options: VllmOptions) -> None:
        self.on_cpu: bool = current_platform.is_cpu()
        usual = _CPU_BATCH_TOKENS if self.on_cpu else _GPU_BATCH_TOKENS
        self.batch_tokens = max(options.batch_tokens or usual, options.sessions)
        trained = EngineArgs(model=path, skip_tokenizer_init=True).create_model_config()
        self.context_length = _context_length(trained.max_model_len, options, Path(path).name)
        fraction = options.memory_fraction or (0.0 if self.on_cpu else _GPU_MEMORY_FRACTION)
        self.kv_tokens = options.cells or (0 if fraction else self.context_length)
        arguments = self._arguments(path, options, fraction)
        self.config = EngineArgs(**arguments).create_engine_config()
        self.kv_token_bytes = _kv_token_bytes(self.config)
        if self.kv_tokens:
            self._size_the_cache(options)
        _check_obeyed(self.config, options, Path(path).name)
        on_v2 = self.config.use_v2_model_runner
        capture = _RUNNER_V2_CAPTURE if on_v2 else _RUNNER_V1_CAPTURE
        self.config.model_config.logits_processors = [capture]

    @property
    def compiles_nothing(self) -> bool:
        """Whether no part of the model is compiled, on a processor; see ``VllmOptions.compile``."""
        return self.on_cpu and bool(self.config.model_config.enforce_eager)

    @property
    def vocabulary_size(self) -> int:
        """Width of the logits, padding included."""
        return int(self.config.model_config.get_vocab_size())

    @property
    def model_type(self) -> str:
        """The kind of model, such as ``llama``."""
        return str(self.config.model_config.hf_text_config.model_type)

    @property
    def precision(self) -> str:
        """The quantisation, or the type of the weights where there is none."""
        model = self.config.model_config
        return str(model.quantization or model.dtype).removeprefix("torch.")

    def _arguments(self, path: str, options: VllmOptions, fraction: float) -> dict[str, Any]:
        prompt_tokens = _CPU_PROMPT_TOKENS if self.on_cpu else _GPU_PROMPT_TOKENS
        # On CPUs the cache of compiled graphs cannot be read back: each start compiles anew.
        eager = options.compile == "off" or (options.compile == "auto" and self.on_cpu)
        arguments: dict[str, Any] = {
            "model": path,
            # Whatever else vLLM could make of it: embeddings, scores.
            "runner": "generate",
            "load_format": "safetensors",
            "trust_remote_code": False,
            "skip_tokenizer_init": True,
            "dtype": options.dtype,
            "kv_cache_dtype": options.kv_dtype,
            "quantization": options.quantization or None,
            "max_model_len": self.context_length + 1,
            "max_num_seqs": options.sessions,
            "max_num_batched_tokens": self.batch_tokens + options.sessions + prompt_tokens,
            "long_prefill_token_threshold": min(prompt_tokens, self.context_length),
            "max_logprobs": -1,
            # Forks and rewinds rest on it. Since vLLM 0.32 the hashes of a request are cut back
            # with it when it is fed again, so that it may stay on under sessions.
            "enable_prefix_caching": True,
            # A vote's next token is not known while the step before it runs.
            "async_scheduling": False,
            "enforce_eager": eager,
            "tensor_parallel_size": options.tensor_parallel,
            "pipeline_parallel_size": options.pipeline_parallel,
            "worker_extension_cls": _EXTENSION,
            "disable_log_stats": True,
            "use_tqdm_on_load": False,
        }
        if options.tensor_parallel * options.pipeline_parallel == 1:
            arguments["distributed_executor_backend"] = "uni"
        if fraction:
            arguments["gpu_memory_utilization"] = fraction
        block = options.block_size or (_CPU_BLOCK if self.on_cpu else 0)
        if block:
            arguments["block_size"] = block
        return arguments

    def _size_the_cache(self, options: VllmOptions) -> None:
        cache = self.config.cache_config
        size = int(cache.block_size)
        # A session may leave all but one token of its last block unused; one block is vLLM's own.
        blocks = math.ceil(self.kv_tokens / size) + options.sessions + 1
        cache.num_gpu_blocks_override = blocks
        cache.kv_cache_memory_bytes = int(blocks * size * self.kv_token_bytes * _ESTIMATE_MARGIN)


def _context_length(trained: int, options: VllmOptions, subject: str) -> int:
    check_context(options.context_length, trained, subject)
    usual = options.context_length or min(CONTEXT_LENGTH_CAP, trained)
    return min(usual, options.cells or usual)


def _check_obeyed(config: Any, options: VllmOptions, subject: str) -> None:
    """Refuses what vLLM would do otherwise than it was told, which it may do without a word."""
    parallel, cache, model = config.parallel_config, config.cache_config, config.model_config
    taken = {
        "sessions": (options.sessions, config.scheduler_config.max_num_seqs),
        "tensor_parallel": (options.tensor_parallel, parallel.tensor_parallel_size),
        "pipeline_parallel": (options.pipeline_parallel, parallel.pipeline_parallel_size),
        "block_size": (options.block_size, int(cache.block_size)),
        "dtype": (options.dtype, str(model.dtype).removeprefix("torch.")),
        "kv_dtype": (options.kv_dtype, str(cache.cache_dtype)),
    }
    for name, (wanted, got) in taken.items():
        # Of fp8 vLLM settles the kind.
        obeyed = got == wanted or (wanted == "fp8" and str(got).startswith("fp8"))
        if wanted not in (0, "auto") and not obeyed:
            problem = f"{name} is {wanted}, and vLLM takes {got} for this model on this machine"
            raise ModelUnusable(subject, f"{problem}; set that, or leave it out")


def _kv_token_bytes(config: Any) -> float:
    """As if every layer attended with the same number of heads."""
    model, parallel = config.model_config, config.parallel_config
    one_byte = str(config.cache_config.cache_dtype).startswith("fp8")
    layers = model.get_num_layers(parallel) * parallel.pipeline_parallel_size
    per_layer = 2 * model.get_total_num_kv_heads() * model.get_head_size()
    return float(layers * per_layer * (1 if one_byte else model.dtype.itemsize))
