"""vLLM's engine core inside this process, driven step by step.

The core is what vLLM's own front ends drive. Here there is none of them: no tokenizer, no text, no
second process, no event loop; a step is a call, and the caller decides what it contains. Driven
through ``AsyncLLM``, whose core has a process of its own, a token crosses two processes and two
event loops each way, and eight sessions fell out of step (0.57 of plain generation, measured).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from vllm.config import VllmConfig
from vllm.sampling_params import SamplingParams
from vllm.v1.engine import EngineCoreOutput, EngineCoreRequest
from vllm.v1.engine.core import EngineCore
from vllm.v1.executor import Executor
from vllm.v1.kv_cache_interface import FullAttentionSpec, MLAAttentionSpec
from vllm.v1.request import RequestStatus


class StepFailed(RuntimeError):
    """vLLM did not do what it was asked; its state cannot be trusted any more."""


class Core:
    """One loaded model.

    Args:
        config: As ``EngineArgs`` makes it.

    Raises:
        Exception: Whatever vLLM raises where a model cannot be loaded.
    """

    def __init__(self, config: VllmConfig) -> None:
        self._core = EngineCore(config, Executor.get_class(config), log_stats=False)
        self._hashed_tokens = int(self._core.scheduler.hash_block_size)
        self._keeps_all = _keeps_all_tokens(self._core.scheduler.kv_cache_config)

    @property
    def blocks(self) -> tuple[int, int]:
        """Number of KV blocks, of which one is never used, and the KV tokens of each."""
        cache = self._core.vllm_config.cache_config
        return int(cache.num_gpu_blocks), int(cache.block_size)

    def add(self, request: str, tokens: Sequence[int], params: SamplingParams) -> None:
        """Begins a request that ends by itself."""
        self._add(request, tokens, params, resumable=False)

    def feed(self, request: str, tokens: Sequence[int], params: SamplingParams) -> None:
        """Begins a request that can be fed again, or feeds one.

        The token that vLLM samples at the end of a feed is replaced by what is fed next.
        """
        self._add(request, tokens, params, resumable=True)

    def rewind(self, request: str, length: int) -> bool:
        """Has a request that was fed hold no more than its first tokens, where it can stay.

        What follows is written over what it held. That must not be where the prefix cache has a
        hash of what was there, nor where tokens before the new end are gone.

        Returns:
            Whether it is done; otherwise nothing is, and another request has to be made.
        """
        fed = self._core.scheduler.requests.get(request)
        if fed is None or not 0 < length <= fed.num_computed_tokens or not self._keeps_all:
            return False
        if fed.status != RequestStatus.WAITING_FOR_STREAMING_REQ:
            return False
        if length // self._hashed_tokens < fed.num_computed_tokens // self._hashed_tokens:
            return False
        # The next feed cuts off all else that is beyond what was computed.
        fed.num_computed_tokens = length
        del fed.prompt_token_ids[length:]
        fed.num_prompt_tokens = length
        return True

    def longest_hit(self, tokens: int) -> int:
        """How many of the first of so many tokens the prefix cache may have, at most."""
        return (tokens - 1) // self._hashed_tokens * self._hashed_tokens

    def step(self) -> list[EngineCoreOutput]:
        """Runs one step and returns what it finished.

        Raises:
            StepFailed: There was nothing that could be done, though something was asked for.
        """
        core = self._core
        outputs, executed = core.step_fn()
        core.post_step(model_executed=executed)
        finished = outputs.get(0) if outputs else None
        if finished is None and not executed and not core.batch_queue:
            raise StepFailed("vLLM scheduled nothing, though tokens wait for it")
        return finished.outputs if finished is not None else []

    def abort(self, request: str) -> None:
        """Ends a request at once; its KV blocks stay in the prefix cache as long as they can."""
        self._core.abort_requests([request])

    def call(self, method: str, *arguments: Any) -> list[Any]:
        """Calls a method of every worker and returns what each answers."""
        return list(self._core.collective_rpc(method, args=arguments))

    def close(self) -> None:
        """Ends the workers and frees the memory."""
        self._core.shutdown()

    def _add(
        self, request: str, tokens: Sequence[int], params: SamplingParams, resumable: bool
    ) -> None:
        core = self._core
        asked = EngineCoreRequest(
            request_id=request,
            # vLLM keeps the list and appends to it.
            prompt_token_ids=list(tokens),
            mm_features=None,
            sampling_params=params,
            pooling_params=None,
            arrival_time=time.time(),
            lora_request=None,
            cache_salt=None,
            data_parallel_rank=None,
            resumable=resumable,
        )
        core.add_request(*core.preprocess_add_request(asked))


def _keeps_all_tokens(config: Any) -> bool:
    """Whether a sequence keeps what it needs of all its tokens, as full attention does."""
    kinds = {type(group.kv_cache_spec) for group in config.kv_cache_groups}
    return bool(kinds) and kinds <= {FullAttentionSpec, MLAAttentionSpec}
