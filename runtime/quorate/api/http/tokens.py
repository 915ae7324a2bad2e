"""``/tokenize`` and ``/detokenize``, as llama-server and vLLM have them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from quorate.access import limits
from quorate.access.keys import GENERATE
from quorate.api.http.asking import check_size
from quorate.api.http.bodies import MOST_VALUES_OF_TOKENS
from quorate.api.http.call import Call
from quorate.api.http.extension import piece_text
from quorate.api.http.fields import Fields, kind_of
from quorate.api.http.guard import Guard
from quorate.api.http.names import check_length, first_model
from quorate.api.http.openai.chats import chat_prompt, chat_tools
from quorate.api.tokenizing import Tokenizing, Tokens
from quorate.dispatch import Dispatcher
from quorate.errors import InvalidRequest
from quorate.fleet.fleet import Fleet
from quorate.request import PlanChoice, Prompt, TextPrompt

# What a text is called: by vLLM, and by llama-server.
_TEXTS = ("prompt", "content")


@dataclass(frozen=True, slots=True)
class _ToTokens:
    """What is to become tokens.

    Attributes:
        field: What its caller calls it.
        continuation: Whether it goes on with another text, so that nothing stands before it.
        pieces: Whether each token is told with what it stands for, as llama-server does.
        strings: Whether that is told beside the tokens, as vLLM does.
    """

    model: str
    prompt: Prompt
    field: str
    continuation: bool
    pieces: bool
    strings: bool


class AsksForTokens:
    """The part of handlers that ask models for tokens.

    Args:
        dispatcher: Knows the profiles, of whose default the first model is meant without another.
        fleet: Has the models.
        guard: Reads bodies.
        tokenizing: Asks them.
    """

    def __init__(
        self, dispatcher: Dispatcher, fleet: Fleet, guard: Guard, tokenizing: Tokenizing
    ) -> None:
        self._dispatcher = dispatcher
        self._fleet = fleet
        self._guard = guard
        self._tokenizing = tokenizing

    def _first_model(self, plan: PlanChoice | None = None) -> str:
        """The first model of a plan, or of the default one: a vote has no tokens of its own."""
        known = self._dispatcher
        models = [status.id for status in self._fleet.list()]
        return first_model(plan, known.profiles, known.default_profile, models)


class TokenPaths(AsksForTokens):
    """Turns texts into tokens and back."""

    async def tokenize(self, call: Call) -> None:
        """``POST /tokenize``."""
        call.record.caller.require(GENERATE)
        asked = await self._guard.read(call, _to_tokens)
        model = asked.model or self._first_model()
        call.record.name([model])
        found = await self._tokenizing.tokenize(
            model, asked.prompt, continuation=asked.continuation, field=asked.field
        )
        await call.answer_long(partial(_told, found, asked))

    async def detokenize(self, call: Call) -> None:
        """``POST /detokenize``."""
        call.record.caller.require(GENERATE)
        named, tokens = await self._guard.read(call, _to_text, MOST_VALUES_OF_TOKENS)
        model = named or self._first_model()
        call.record.name([model])
        found = await self._tokenizing.detokenize(model, tokens)
        await call.answer_long(lambda: dict.fromkeys(_TEXTS, found.text))


def _to_tokens(found: Mapping[str, Any]) -> _ToTokens:
    body = Fields(found)
    field, prompt = _prompt(body)
    # llama-server writes what begins a prompt where it is asked for, vLLM wherever it is not.
    begins = body.flag("add_special") if field == "content" else body.flag("add_special_tokens")
    begins = field != "content" if begins is None else begins
    return _ToTokens(
        model=_model(body),
        prompt=check_size(field, prompt),
        field=field,
        continuation=not begins and isinstance(prompt, TextPrompt),
        pieces=body.flag("with_pieces") or False,
        strings=body.flag("return_token_strs") or False,
    )


def _prompt(body: Fields) -> tuple[str, Prompt]:
    if body.has("messages"):
        return "messages", chat_prompt(body, chat_tools(body))
    for field in _TEXTS:
        if (text := body.text(field)) is not None:
            return field, TextPrompt(text, body.flag("parse_special") or False)
    raise InvalidRequest(_TEXTS[0], "is missing; give a text, or messages")


def _to_text(found: Mapping[str, Any]) -> tuple[str, list[int]]:
    body = Fields(found)
    tokens = body.items("tokens")
    if tokens is None:
        raise InvalidRequest("tokens", "is missing; give a list of ids")
    for index, token in enumerate(tokens):
        if isinstance(token, bool) or not isinstance(token, int):
            raise InvalidRequest(f"tokens[{index}]", f"is {kind_of(token)}; give an id")
    return _model(body), list(limits.token_ids("tokens", tokens))


def _model(body: Fields) -> str:
    name = body.text("model") or ""
    check_length("model", name)
    return name


def _told(found: Tokens, asked: _ToTokens) -> dict[str, Any]:
    texts = [
        found.control.get(token) or piece_text(piece)
        for token, piece in zip(found.ids, found.pieces, strict=True)
    ]
    return {
        "tokens": _pieces(found) if asked.pieces else list(found.ids),
        "count": len(found.ids),
        "max_model_len": found.context_length,
        **({"token_strs": texts} if asked.strings else {}),
    }


def _pieces(found: Tokens) -> list[dict[str, Any]]:
    """What each token stands for: a control token for its name, what is no whole text for bytes."""
    return [
        {"id": token, "piece": found.control.get(token) or _text_or_bytes(piece)}
        for token, piece in zip(found.ids, found.pieces, strict=True)
    ]


def _text_or_bytes(piece: bytes) -> str | list[int]:
    try:
        return piece.decode("utf-8")
    except UnicodeDecodeError:
        return list(piece)
