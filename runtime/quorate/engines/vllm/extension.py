"""What the engine has vLLM's workers do besides running steps.

vLLM mixes the class into its own worker class in every process that computes, and calls its
methods by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from quorate.engines.vllm.logits_capture import LogitsCapture


class WorkerExtension:
    """Methods of vLLM's worker; ``model_runner`` is the worker's own."""

    model_runner: Any

    def quorate_mask(self, ids: Sequence[int]) -> None:
        """Gives these tokens no probability, whatever the logits are used for.

        No model may say padding or the beginning of a text, nor the ids with which the embedding is
        filled up. To leave them out of the logits leaves them out of rows, of scores and of what
        vLLM samples alike.
        """
        if not ids:
            return
        model = self.model_runner.model
        compute = model.compute_logits
        masked: dict[torch.device, torch.Tensor] = {}

        def compute_logits(*arguments: Any, **named: Any) -> torch.Tensor | None:
            logits: torch.Tensor | None = compute(*arguments, **named)
            if logits is not None:
                if logits.device not in masked:
                    masked[logits.device] = torch.tensor(ids, device=logits.device)
                there = masked[logits.device]
                LogitsCapture.note_masked(logits[..., there])
                logits.index_fill_(-1, there, -torch.inf)
            return logits

        model.compute_logits = compute_logits

    def quorate_score(self, request: str) -> None:
        """Has the tokens that a known request is given next scored as a prompt's are.

        The second model runner knows from the request's parameters; the first reads them only when
        a request is new.
        """
        pending = getattr(self.model_runner, "num_prompt_logprobs", None)
        if isinstance(pending, dict):
            pending[request] = 0
