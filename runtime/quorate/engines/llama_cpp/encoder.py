"""The tokenizer and the template of a GGUF file, without its weights, for a process of its own."""

from __future__ import annotations

from pathlib import Path

from quorate.engines.llama_cpp.loading import chat_template, load_vocabulary
from quorate.engines.llama_cpp.options import LlamaCppOptions
from quorate.engines.llama_cpp.tokenizer import Tokenizer
from quorate.engines.prompt_encoding import PromptEncoder


def load(path: str, options: LlamaCppOptions) -> PromptEncoder:
    """Loads what turns prompts into tokens; see ``EngineRegistration``. Never freed.

    Raises:
        ModelUnusable: The file is broken.
    """
    vocabulary = load_vocabulary(path, options)
    tokenizer = Tokenizer(vocabulary)
    tokenizer.prepare()
    prompts = PromptEncoder(tokenizer, chat_template(vocabulary), Path(path).name)
    prompts.prepare()
    return prompts
