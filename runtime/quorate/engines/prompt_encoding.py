"""Prompts as tokens, the same way for every engine that brings a tokenizer of its own.

Sizes are checked before anything is tokenised, and what that takes is spent from the budget of the
thread; see ``encoding_budget``. What special tokens and BOS are, the tokenizer says.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cached_property
from typing import Protocol

from quorate.engines.chat.encoder import ChatEncoder
from quorate.engines.chat.probe import TemplateUse, probe, unusable
from quorate.engines.chat.special_tokens import SpecialToken, SpecialTokens
from quorate.engines.chat.template import ChatTemplate
from quorate.engines.identity import identity
from quorate.engines.prompt_sizes import check_prompt, check_text
from quorate.engines.template_facts import TemplateFacts
from quorate.engines.vocabulary import Vocabulary
from quorate.errors import UnsupportedPlan
from quorate.request import ChatPrompt, Prompt, TokenPrompt


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

    What its chat template can do is found out at once, which never fails: a template that is of no
    use is as good as none, and the facts say why.

    Args:
        template: Its chat template, or None where it has none.
        context_length: Most tokens a sequence can have, as far as it is known by now.

    Attributes:
        context_length: The same.
    """

    def __init__(
        self, tokenizer: Tokenizer, template: str | None, subject: str, context_length: int = 0
    ) -> None:
        self._tokenizer = tokenizer
        self._subject = subject
        self.context_length = context_length
        self._template: ChatTemplate | None = None
        self._use = TemplateUse()
        if template is not None:
            self._take(template)

    def prepare(self) -> None:
        """Builds what chats are looked up in; else the first one waits for that.

        Not at once: a worker beside which another process encodes never needs it.
        """
        if self._template is not None:
            self._specials.prepare()

    def set_context_length(self, context_length: int) -> None:
        """From now on sequences can have so many tokens."""
        self.context_length = context_length
        self.__dict__.pop("_chat", None)

    @property
    def identity(self) -> str:
        """What tells tokenizer and template from others; see ``identity``."""
        table = self._tokenizer.vocabulary.to_bytes()
        return identity(hashlib.sha256(table).digest(), self.template_facts)

    @property
    def can_chat(self) -> bool:
        """Whether the model has a chat template that can be used."""
        return self._template is not None

    @property
    def template_facts(self) -> TemplateFacts:
        """What its chat template can do, or why it is of no use."""
        return self._use.facts

    def encode(self, prompt: Prompt) -> list[int]:
        """Turns a prompt into tokens, with BOS where the model wants one.

        Raises:
            UnsupportedPlan: The model has no tokenizer, or this is a chat and it has no usable
                template.
            TemplateRefused: The template refuses these messages, or leaves some of them out.
            PromptTooLong: Not even the longest tokens could make the context hold it.
        """
        self._check_tokenizer()
        check_prompt(prompt, self._tokenizer.vocabulary, self.context_length)
        if isinstance(prompt, ChatPrompt):
            return self._chat.encode(prompt.messages, prompt.tools, prompt.calls)
        if isinstance(prompt, TokenPrompt):
            return [*prompt.tokens]
        if prompt.parse_special:
            return self._encode_with_specials(prompt.text)
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

    @property
    def _longest_text(self) -> int:
        return self.context_length * self._tokenizer.vocabulary.longest_piece

    def _encode_with_specials(self, text: str) -> list[int]:
        """Tokenises a text in which special tokens are special, with BOS where it has none yet."""
        tokens: list[int] = []
        for run in self._specials.partition(text):
            if isinstance(run, int):
                tokens.append(run)
            elif tokens:
                tokens.extend(self._tokenizer.encode_run(run))
            else:
                # The beginning of a document, with all that belongs there.
                tokens.extend(self._tokenizer.encode_text(run))
        bos = self._tokenizer.bos
        if not tokens:
            return self._tokenizer.encode_text("")
        return tokens if bos is None or tokens[0] == bos else [bos, *tokens]

    def _take(self, source: str) -> None:
        if not self._tokenizer.vocabulary.has_bytes:
            return
        try:
            template = ChatTemplate(source, self._tokenizer.special_texts, self._subject)
            use = probe(template)
        except UnsupportedPlan as error:
            use = unusable(error.problem)
        digest = hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()
        self._use = replace(use, facts=replace(use.facts, digest=digest))
        if not use.facts.problem:
            self._template = template

    @cached_property
    def _specials(self) -> SpecialTokens:
        return SpecialTokens(self._tokenizer.special_tokens)

    @cached_property
    def _chat(self) -> ChatEncoder:
        if self._template is None:
            problem = self._use.facts.problem or "the model has no chat template"
            raise UnsupportedPlan(self._subject, f"{problem}; send a text prompt")
        specials = self._specials
        return ChatEncoder(
            self._template,
            self._use,
            specials,
            self._tokenizer.encode_run,
            self._tokenizer.bos,
            self._longest_text + self.context_length * specials.longest,
        )
