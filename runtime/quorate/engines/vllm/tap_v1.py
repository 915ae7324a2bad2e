"""The tap as a logits processor of vLLM's first model runner, which CPUs use."""

from __future__ import annotations

import torch
from vllm.config import VllmConfig
from vllm.distributed import get_tensor_model_parallel_rank
from vllm.sampling_params import SamplingParams
from vllm.v1.sample.logits_processor.builtin import process_dict_updates
from vllm.v1.sample.logits_processor.interface import BatchUpdate, LogitsProcessor

from quorate.engines.vllm.tap import Errand, Tap, from_extra_args


class TapV1(LogitsProcessor):  # type: ignore[misc]
    """Keeps errands by their place in the batch, which changes."""

    def __init__(self, vllm_config: VllmConfig, device: torch.device, is_pin_memory: bool) -> None:
        self._tap = Tap(device, writes=get_tensor_model_parallel_rank() == 0)
        self._errands: dict[int, Errand] = {}

    def is_argmax_invariant(self) -> bool:
        """Greedy drawing must not leave it out: it takes rows."""
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """Follows the requests through the batch."""
        process_dict_updates(self._errands, batch_update, _errand)

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Does the errands; logits are float32 of shape (requests, vocabulary)."""
        return self._tap.apply(logits, list(self._errands.items()))


def _errand(params: SamplingParams, prompt: list[int] | None, output: list[int]) -> Errand | None:
    return from_extra_args(params.extra_args)
