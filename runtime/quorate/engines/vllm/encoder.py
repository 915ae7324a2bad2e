"""The tokenizer and the template of a checkpoint, without vLLM, for a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

from quorate.engines.prompt_encoding import PromptEncoder
from quorate.engines.vllm import environment
from quorate.engines.vllm.options import VllmOptions
from quorate.engines.vllm.tokenizer import CheckpointTokenizer


def load(path: str, options: VllmOptions) -> PromptEncoder:
    """Loads what turns prompts into tokens; see ``EngineRegistration``.

    Raises:
        ModelUnusable: Its tokenizer cannot be used.
    """
    environment.prepare()
    # Where transformers finds torch it imports it, which takes 340 MB and half of the time, and no
    # tokenizer needs it. To a library, None is a module that is not there.
    sys.modules.setdefault("torch", None)  # type: ignore[arg-type]
    tokenizer = CheckpointTokenizer(path)
    # Computed now, so that threads may encode side by side.
    _ = tokenizer.vocabulary, tokenizer.special_tokens, tokenizer.encode_text("")
    prompts = PromptEncoder(tokenizer, tokenizer.chat_template, Path(path).name)
    prompts.prepare()
    return prompts
