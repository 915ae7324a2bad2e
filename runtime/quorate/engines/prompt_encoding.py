"""Prompts as tokens, the same way for every engine that brings a tokenizer of its own.

Sizes are checked before anything is tokenised, and what that takes is spent from the budget of the
thread; see ``encoding_budget``. What special tokens and BOS are, the tokenizer says.
"""

from __future__ import annotations

from functools import cached_property
from typing import Protocol

from quorate.engines.chat import ChatEncoder, ChatTemplate, SpecialToken
from quorate.engines.prompt_sizes import check_prompt, check_text
from quorate.engines.vocabulary import Vocabulary
from quorate.errors import UnsupportedPlan
from quorate.request import ChatPrompt, Prompt


class Tokenizer(Protocol):
    """What a model's tokenizer must offer. None of its calls may parse special tokens.

    What it encodes it reports to ``encoding_budget.spend``, in pieces where it can.
    """

    @property
    def vocabulary(self) -> Vocabulary:
        """Every token's bytes."""

    @property
    def bos(self) -> int | None:
        """Id put before a prompt, or None where the model wants none."""

    @property
    def special_tokens(self) -> tuple[SpecialToken, ...]:
        """What text must not be able to write."""

    @property
    def special_texts(self) -> dict[str, str]:
        """The variables templates expect, such as ``bos_token``."""

    def encode_text(self, text: str) -> list[int]:
        """Tokenises a prompt, with BOS where the model wants one."""

    def encode_run(self, text: str) -> list[int]:
        """Tokenises text as it would stand after a special token."""

    def encode_continuation(self, text: str) -> list[int]:
        """Tokenises text as it would continue a prompt: no BOS, no dummy prefix."""


class PromptEncoder:
    """Turns prompts into tokens for one model.

    Args:
        template: Its chat template, or None where it has none.
        context_length: Most tokens a sequence can have.

    Attributes:
        context_length: The same.
    """

    def __init__(
        self, tokenizer: Tokenizer, template: str | None, subject: str, context_length: int
    ) -> None:
        self._tokenizer = tokenizer
        self._template = template
        self._subject = subject
        self.context_length = context_length

    def encode(self, prompt: Prompt) -> list[int]:
        """Turns a prompt into tokens, with BOS where the model wants one.

        Raises:
            UnsupportedPlan: The model has no tokenizer, or this is a chat and it has no usable
                template.
            InvalidRequest: The template refuses these messages.
            PromptTooLong: Not even the longest tokens could make the context hold it.
        """
        self._check_tokenizer()
        check_prompt(prompt, self._tokenizer.vocabulary, self.context_length)
        if isinstance(prompt, ChatPrompt):
            return self._chat.encode(prompt.messages)
        return self._tokenizer.encode_text(prompt.text)

    def encode_continuation(self, text: str) -> list[int]:
        """Turns text into tokens as it would continue a prompt.

        Raises:
            UnsupportedPlan: The model has no tokenizer.
            PromptTooLong: Not even the longest tokens could make the context hold it.
        """
        self._check_tokenizer()
        check_text("continuation", text, self._tokenizer.vocabulary, self.context_length)
        return self._tokenizer.encode_continuation(text)

    def _check_tokenizer(self) -> None:
        if not self._tokenizer.vocabulary.has_bytes:
            problem = "its file has no tokenizer, only token ids; convert it with its vocabulary"
            raise UnsupportedPlan(self._subject, problem)

    @cached_property
    def _longest_text(self) -> int:
        return self.context_length * self._tokenizer.vocabulary.longest_piece

    @cached_property
    def _chat(self) -> ChatEncoder:
        if self._template is None:
            raise UnsupportedPlan(
                self._subject, "the model has no chat template; send a text prompt"
            )
        tokenizer = self._tokenizer
        template = ChatTemplate(self._template, tokenizer.special_texts, self._subject)
        specials = tokenizer.special_tokens
        longest_special = max((len(special.text) for special in specials), default=0)
        return ChatEncoder(
            template,
            specials,
            tokenizer.encode_run,
            tokenizer.bos,
            self._longest_text + self.context_length * longest_special,
        )
