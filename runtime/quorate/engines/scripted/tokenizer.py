"""The scripted engine's vocabularies, its tokenizer and its chat format."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from quorate.engines.chat.makeshift_tools import as_texts
from quorate.engines.vocabulary import Vocabulary
from quorate.errors import InvalidRequest
from quorate.foreign_text import quoted
from quorate.request import ChatPrompt, Message, Prompt, TextPrompt, TokenPrompt
from quorate.request.prompts import ASSISTANT
from quorate.request.tool_format import MAKESHIFT_FORMAT

BOS, EOS, END_OF_TURN, IM_START, IM_END = range(5)
"""Ids of the control tokens, in every scripted vocabulary.

``EOS`` and ``END_OF_TURN`` both end generation; ``IM_START`` and ``IM_END`` are control tokens that
do not and may be said; no model says ``BOS``.
"""

NAMES = ("<s>", "</s>", "<|end_of_turn|>", "<|im_start|>", "<|im_end|>")
"""Their texts."""

_MARKS = re.compile("(" + "|".join(map(re.escape, NAMES)) + ")")
_CONTROL_COUNT = 5
_OPAQUE_COUNT = 64
_ROLES = ("system", "user", "assistant")
_BYTES = tuple(bytes((value,)) for value in range(256))
_LETTERS = (b"th", b"he", b"in", b"er", b"an", b"the", b"ing", b" the", b" a", "é".encode())
_COMMON_WORDS = (
    "the a an and of to in is was it he she they we you one two three once upon time there little "
    "big red blue green cat dog bird house tree sun moon star day night said saw went came had "
    "have has did do not no yes very happy sad good bad small old new with for on at"
)
_WORDS = tuple(f" {word}".encode() for word in _COMMON_WORDS.split())
# A second token of the same bytes, as SentencePiece vocabularies have for the space.
_DUPLICATES = (b" ",)


@cache
def build_vocabulary(name: str, texts: tuple[str, ...] = ()) -> Vocabulary:
    """Builds the vocabulary of that name, or one of these texts where there are any."""
    if texts:
        pieces = tuple(text.encode() for text in texts)
    elif name == "opaque":
        pieces = (b"",) * _OPAQUE_COUNT
    else:
        pieces = _BYTES + (_LETTERS if name == "letters" else _WORDS + _DUPLICATES)
    whole = (b"",) * _CONTROL_COUNT + pieces
    return Vocabulary(
        pieces=whole,
        control=frozenset(token for token, piece in enumerate(whole) if not piece),
        end_of_generation=frozenset((EOS, END_OF_TURN)),
        bos=BOS,
        names=dict(enumerate(NAMES)),
    )


class Tokenizer:
    """Greedy longest match over the pieces.

    In a vocabulary by name the 256 single bytes make every text encodable; elsewhere bytes that no
    piece begins with are left out.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._ids: dict[bytes, int] = {}
        for token, piece in enumerate(vocabulary.pieces):
            if piece:
                self._ids.setdefault(piece, token)
        self._longest = max(map(len, self._ids), default=0)

    def encode(self, prompt: Prompt) -> list[int]:
        """Turns a prompt into tokens behind BOS.

        A chat that ends with a message of the assistant ends with its text.

        Raises:
            InvalidRequest: A message has a role the chat format does not know.
        """
        if isinstance(prompt, TokenPrompt):
            return [*prompt.tokens]
        if isinstance(prompt, TextPrompt):
            return [BOS, *self.encode_text(prompt.text)]
        return [BOS, *self._encode_chat(prompt)]

    def encode_text(self, text: str) -> list[int]:
        """Turns text into tokens, never into control tokens."""
        data = text.encode("utf-8", errors="replace")
        tokens, start = [], 0
        while start < len(data):
            length = min(self._longest, len(data) - start)
            while length and data[start : start + length] not in self._ids:
                length -= 1
            if length:
                tokens.append(self._ids[data[start : start + length]])
            start += max(length, 1)
        return tokens

    def encode_marked(self, text: str) -> list[int]:
        """Turns text into tokens, with the control tokens whose texts stand in it."""
        tokens: list[int] = []
        for part in _MARKS.split(text):
            tokens += [NAMES.index(part)] if part in NAMES else self.encode_text(part)
        return tokens

    def _encode_chat(self, prompt: ChatPrompt) -> list[int]:
        tokens: list[int] = []
        messages: Sequence[Message] = prompt.messages
        if prompt.shape.tools:
            messages = as_texts(messages, prompt.tools, prompt.calls or MAKESHIFT_FORMAT)
        for index, message in enumerate(messages):
            if message.role not in _ROLES:
                known = ", ".join(_ROLES)
                raise InvalidRequest(
                    f"chat.messages[{index}].role", f"{quoted(message.role)} is not one of {known}"
                )
            tokens += [IM_START, *self.encode_text(f"{message.role}\n{message.content}"), IM_END]
        if prompt.messages[-1].role == ASSISTANT:
            return tokens[:-1]
        return [*tokens, IM_START, *self.encode_text("assistant\n")]
