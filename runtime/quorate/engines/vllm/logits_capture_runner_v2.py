"""The logits capture in vLLM's second model runner, as its logits processor.

GPUs use that runner for most models.
"""

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

from quorate.engines.vllm.logits_capture import LogitsAction, LogitsCapture, from_extra_args


class RunnerV2LogitsCapture(LogitsProcessor):  # type: ignore[misc]
    """Keeps actions by the request's slot, which stays; a batch says which rows are whose."""

    def __init__(self, vllm_config: VllmConfig, req_states: LogitsProcRequestState) -> None:
        self._capture = LogitsCapture(
            req_states.device, writes=get_tensor_model_parallel_rank() == 0
        )
        self._actions: dict[int, LogitsAction] = {}

    def add_request(self, req_idx: int, sampling_params: SamplingParams) -> bool:
        """Takes over a slot; says whether there is anything to do for its request."""
        action = from_extra_args(sampling_params.extra_args)
        if action is None:
            self._actions.pop(req_idx, None)
            return False
        self._actions[req_idx] = action
        return True

    def apply(self, logits: torch.Tensor, ctx: LogitsContext) -> torch.Tensor:
        """Does what is wanted; without speculative decoding a request has exactly one row."""
        slots = ctx.idx_mapping_np.tolist()
        actions = self._actions
        return self._capture.apply(
            logits, [(row, actions[slot]) for row, slot in enumerate(slots) if slot in actions]
        )
