"""What a context could possibly hold, by sizes alone: known before anything is encoded. Pure.

A token has as many bytes as the longest of its vocabulary at most, and runs of one character come
near that. So these bounds are wide; what they let through is encoded in pieces, within a budget.
"""

from __future__ import annotations

from quorate.engines.vocabulary import Vocabulary
from quorate.errors import PromptTooLong
from quorate.large_texts import utf8_size
from quorate.request import ChatPrompt, Prompt


def check_prompt(prompt: Prompt, vocabulary: Vocabulary, context_length: int) -> None:
    """Checks text, roles and number of messages of a prompt.

    Raises:
        PromptTooLong: Not even the longest tokens could make the context hold it.
    """
    if not isinstance(prompt, ChatPrompt):
        _check(prompt.size_bytes, "prompt", vocabulary, context_length)
        return
    count = len(prompt.messages)
    if count > context_length:
        raise PromptTooLong(
            "chat",
            f"{count} messages cannot fit the {context_length} tokens of the context: each takes "
            "one at least; leave the oldest out",
        )
    _check(prompt.size_bytes + prompt.role_bytes, "chat", vocabulary, context_length)


def check_text(field: str, text: str, vocabulary: Vocabulary, context_length: int) -> None:
    """Checks a text that is no prompt.

    Raises:
        PromptTooLong: Not even the longest tokens could make the context hold it.
    """
    _check(utf8_size(text), field, vocabulary, context_length)


def _check(size: int, field: str, vocabulary: Vocabulary, context_length: int) -> None:
    limit = context_length * vocabulary.longest_piece
    if vocabulary.has_bytes and size > limit:
        raise PromptTooLong(
            field,
            f"{size} bytes cannot fit the {context_length} tokens of the context; {limit} is the "
            "most",
        )
