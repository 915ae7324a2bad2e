"""Chats and special tokens of a scripted model, with all that engines with real templates do."""

from __future__ import annotations

from quorate.engines.chat.special_tokens import SpecialToken
from quorate.engines.prompt_encoding import PromptEncoder
from quorate.engines.scripted.options import ScriptedOptions
from quorate.engines.scripted.tokenizer import BOS, EOS, NAMES, Tokenizer
from quorate.engines.vocabulary import Vocabulary


def prompt_encoder(
    options: ScriptedOptions, tokenizer: Tokenizer, vocabulary: Vocabulary
) -> PromptEncoder:
    """The encoder of a model with this template, or with none."""
    return PromptEncoder(
        _Parsing(tokenizer, vocabulary),
        options.template or None,
        "scripted model",
        options.context_length,
    )


class _Parsing:
    """The scripted tokenizer as ``prompt_encoding`` wants it, with texts of its control tokens."""

    def __init__(self, tokenizer: Tokenizer, vocabulary: Vocabulary) -> None:
        self._tokenizer = tokenizer
        self.vocabulary = vocabulary
        self.bos: int | None = BOS
        self.special_tokens = tuple(SpecialToken(token, text) for token, text in enumerate(NAMES))
        self.special_texts = {"bos_token": NAMES[BOS], "eos_token": NAMES[EOS]}

    def encode_text(self, text: str) -> list[int]:
        """Tokenises a prompt, behind BOS."""
        return [BOS, *self._tokenizer.encode_text(text)]

    def encode_run(self, text: str) -> list[int]:
        """Tokenises text."""
        return self._tokenizer.encode_text(text)

    def encode_continuation(self, text: str) -> list[int]:
        """Tokenises text."""
        return self._tokenizer.encode_text(text)
