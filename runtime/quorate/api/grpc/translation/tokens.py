"""Text to be turned into tokens, and tokens, between protobuf and domain."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from quorate.access import limits
from quorate.api.grpc.translation.requests import chat_prompt
from quorate.engines.vocabulary import Vocabulary
from quorate.errors import InvalidRequest
from quorate.request import Prompt, TextPrompt
from quorate.v1 import models_pb2

_CHUNK = 4096


def prompt_to_tokenize(message: models_pb2.TokenizeRequest) -> Prompt:
    """What is to become tokens.

    Raises:
        InvalidRequest: Nothing is given, or a chat with what is for a text.
    """
    kind = message.WhichOneof("input")
    if kind is None:
        raise InvalidRequest("input", "is missing; set text or chat")
    if kind == "text" and not (message.continuation and message.parse_special):
        return TextPrompt(message.text, message.parse_special)
    for name in ("parse_special", "continuation"):
        if getattr(message, name):
            what = "a prompt" if kind == "text" else "a text"
            raise InvalidRequest(name, f"is for {what}; leave it out")
    return chat_prompt(message.chat)


async def write_pieces(response: Any, tokens: Sequence[int], vocabulary: Vocabulary) -> None:
    """Writes the pieces and control tokens of ids, without holding up the event loop.

    Raises:
        InvalidRequest: An id outside the vocabulary, or more bytes than an answer holds.
    """
    room = limits.MAX_DETOKENIZED_BYTES
    for start in range(0, len(tokens), _CHUNK):
        part = tokens[start : start + _CHUNK]
        if min(part) < 0 or max(part) >= len(vocabulary):
            raise _unknown(start, part, len(vocabulary))
        pieces = [vocabulary.pieces[token] for token in part]
        room -= sum(map(len, pieces))
        if room < 0:
            problem = f"stand for more than {limits.MAX_DETOKENIZED_BYTES} bytes; send fewer"
            raise InvalidRequest("tokens", problem)
        response.pieces.extend(pieces)
        for token in vocabulary.control.intersection(part):
            response.control[token] = vocabulary.names.get(token, "")
        await asyncio.sleep(0)


def _unknown(start: int, part: Sequence[int], size: int) -> InvalidRequest:
    index, token = next((index, token) for index, token in enumerate(part) if not 0 <= token < size)
    problem = f"is {token}; the vocabulary's ids are 0 to {size - 1}"
    return InvalidRequest(f"tokens[{start + index}]", problem)
