"""Text to be turned into tokens, and tokens, between protobuf and domain."""

from __future__ import annotations

from quorate.api.grpc.translation.chats import chat_prompt
from quorate.api.tokenizing import Tokens
from quorate.errors import InvalidRequest
from quorate.request import Prompt, TextPrompt
from quorate.v1 import models_pb2


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


def tokenize_response(found: Tokens) -> models_pb2.TokenizeResponse:
    """Translates the tokens of a text."""
    return models_pb2.TokenizeResponse(tokens=found.ids, pieces=found.pieces, control=found.control)


def detokenize_response(found: Tokens) -> models_pb2.DetokenizeResponse:
    """Translates what tokens stand for."""
    return models_pb2.DetokenizeResponse(
        text=found.text, pieces=found.pieces, control=found.control
    )
