"""A prompt as one text: for its size, and for the hash that the ledger keeps of it."""

from __future__ import annotations

import json

from quorate.request import Prompt, TextPrompt

_TURN_TOKENS = 8
_FRAME_TOKENS = 64


def prompt_text(prompt: Prompt) -> str:
    """The prompt's text; of a chat all its messages, as JSON."""
    if isinstance(prompt, TextPrompt):
        return prompt.text
    turns = [[turn.role, turn.content] for turn in prompt.messages]
    return json.dumps(turns, ensure_ascii=False)


def written(prompt: Prompt) -> str:
    """What was written, roles left out: of a chat all its messages, line by line."""
    if isinstance(prompt, TextPrompt):
        return prompt.text
    return "\n".join(turn.content for turn in prompt.messages)


def prompt_bytes(prompt: Prompt) -> int:
    """UTF-8 bytes of what was written, roles and templates left out."""
    if isinstance(prompt, TextPrompt):
        return _size(prompt.text)
    return sum(_size(turn.content) for turn in prompt.messages)


def most_prompt_tokens(prompt: Prompt) -> int:
    """Tokens that a prompt has at most, in any tokenizer, with what a chat template adds.

    A token stands for at least a byte. What templates add was looked up for the common ones, which
    need up to six tokens for a turn, and some for the end and a system prompt of their own.
    """
    turns = 0 if isinstance(prompt, TextPrompt) else len(prompt.messages)
    roles = 0 if isinstance(prompt, TextPrompt) else sum(_size(t.role) for t in prompt.messages)
    return prompt_bytes(prompt) + roles + _TURN_TOKENS * turns + _FRAME_TOKENS


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
