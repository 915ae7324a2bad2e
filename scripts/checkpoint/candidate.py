"""The checkpoint's side of a verification, by transformers and PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from checkpoint.errors import Refused
from checkpoint.rows import Rows


class Candidate:
    """A checkpoint in transformers, with weights of the type that they are stored in.

    Raises:
        Refused: transformers or PyTorch is not installed, or cannot load the folder.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / "config.json").is_file():
            raise Refused(f"{folder} is no checkpoint: it holds no config.json")
        try:
            # Imported here: the other side runs where they may be missing.
            import torch
            from transformers import AutoModelForCausalLM, AutoTokenizer
            from transformers.utils.logging import disable_progress_bar
        except ImportError as error:
            raise Refused(
                "transformers and PyTorch are not installed for this interpreter; keep llama.cpp's "
                "side with --write-reference, and compare with an interpreter that has them"
            ) from error
        disable_progress_bar()
        self._torch: Any = torch
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self._model = AutoModelForCausalLM.from_pretrained(
                folder, dtype="auto", local_files_only=True
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise Refused(f"transformers cannot load {folder}: {error}") from error

    def encode(self, text: str) -> list[int]:
        """Token ids of a text in which nothing is special, framed as the model wants it."""
        ids: list[int] = self._tokenizer(text, split_special_tokens=True)["input_ids"]
        return ids

    def log_probs(self, tokens: Sequence[int]) -> Rows:
        """float32[tokens, vocabulary] after each token."""
        torch = self._torch
        with torch.inference_mode():
            logits = self._model(torch.tensor([list(tokens)])).logits[0]
            rows: Rows = logits.float().log_softmax(-1).numpy()
        return np.ascontiguousarray(rows, dtype=np.float32)
