"""The tap as a logits processor of vLLM's second model runner, which GPUs use for most models."""

from __future__ import annotations

import torch
from vllm.config import VllmConfig
from vllm.distributed import get_tensor_model_parallel_rank
from vllm.sampling_params import SamplingParams
from vllm.v1.worker.gpu.sample.logits_processor import (
    LogitsContext,
    LogitsProcessor,
    LogitsProcRequestState,
)

from quorate.engines.vllm.tap import Errand, Tap, from_extra_args


class TapV2(LogitsProcessor):  # type: ignore[misc]
    """Keeps errands by the request's slot, which stays; a batch says which rows are whose."""

    def __init__(self, vllm_config: VllmConfig, req_states: LogitsProcRequestState) -> None:
        self._tap = Tap(req_states.device, writes=get_tensor_model_parallel_rank() == 0)
        self._errands: dict[int, Errand] = {}

    def add_request(self, req_idx: int, sampling_params: SamplingParams) -> bool:
        """Takes over a slot; says whether there is anything to do for its request."""
        errand = from_extra_args(sampling_params.extra_args)
        if errand is None:
            self._errands.pop(req_idx, None)
            return False
        self._errands[req_idx] = errand
        return True

    def apply(self, logits: torch.Tensor, ctx: LogitsContext) -> torch.Tensor:
        """Does the errands; without speculative decoding a request has exactly one row."""
        slots = ctx.idx_mapping_np.tolist()
        errands = self._errands
        return self._tap.apply(
            logits, [(row, errands[slot]) for row, slot in enumerate(slots) if slot in errands]
        )
