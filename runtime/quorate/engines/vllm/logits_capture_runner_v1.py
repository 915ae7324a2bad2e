"""The logits capture in vLLM's first model runner, which CPUs use, as its logits processor."""

from __future__ import annotations

import torch
from vllm.config import VllmConfig
from vllm.distributed import get_tensor_model_parallel_rank
from vllm.sampling_params import SamplingParams
from vllm.v1.sample.logits_processor.builtin import process_dict_updates
from vllm.v1.sample.logits_processor.interface import BatchUpdate, LogitsProcessor

from quorate.engines.vllm.logits_capture import LogitsAction, LogitsCapture, from_extra_args


class RunnerV1LogitsCapture(LogitsProcessor):  # type: ignore[misc]
    """Keeps actions by their place in the batch, which changes."""

    def __init__(self, vllm_config: VllmConfig, device: torch.device, is_pin_memory: bool) -> None:
        self._capture = LogitsCapture(device, writes=get_tensor_model_parallel_rank() == 0)
        self._actions: dict[int, LogitsAction] = {}

    def is_argmax_invariant(self) -> bool:
        """Greedy sampling must not leave it out: it captures rows."""
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """Follows the requests through the batch."""
        process_dict_updates(self._actions, batch_update, _action)

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Does what is wanted; logits are float32 of shape (requests, vocabulary)."""
        return self._capture.apply(logits, list(self._actions.items()))


def _action(
    params: SamplingParams, prompt: list[int] | None, output: list[int]
) -> LogitsAction | None:
    return from_extra_args(params.extra_args)
