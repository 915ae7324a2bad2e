"""Text to tokens and back, by the vocabulary of one model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from quorate.access import limits
from quorate.api.grpc.translation.tokens import prompt_to_tokenize, write_pieces
from quorate.engines.contract import Engine
from quorate.engines.prompt_sizes import check_prompt
from quorate.errors import InvalidRequest, Overloaded, PromptTooLong
from quorate.fleet.fleet import Fleet
from quorate.request import Prompt, TextPrompt
from quorate.v1 import models_pb2

_MOST_AT_ONCE = 64
# What engines call a text that they are given.
_OF_TEXT = ("prompt", "continuation")


class Tokenizing:
    """Asks models' encoders, which are bounded by context, budget of CPU time and quarantine.

    They take no turn in the queue of requests, so that there is a limit of its own.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._running = 0

    async def tokenize(
        self, model: str, request: models_pb2.TokenizeRequest
    ) -> models_pb2.TokenizeResponse:
        """The tokens of a text or a chat.

        Raises:
            NotFound: No such model.
            InvalidRequest: The request itself is wrong, or what ``Engine.encode`` refuses.
            ModelUnusable: It is not loaded.
            Unavailable: It is not ready.
            Overloaded: Too many ask at once.
        """
        prompt = prompt_to_tokenize(request)
        with self._engine(model) as engine:
            tokens = await _encoded(engine, prompt, request.continuation)
            response = models_pb2.TokenizeResponse(tokens=tokens)
            await write_pieces(response, tokens, engine.vocabulary)
        return response

    async def detokenize(
        self, model: str, request: models_pb2.DetokenizeRequest
    ) -> models_pb2.DetokenizeResponse:
        """The bytes of tokens; errors as for ``tokenize``."""
        tokens = limits.token_ids("tokens", request.tokens)
        response = models_pb2.DetokenizeResponse()
        with self._engine(model) as engine:
            await write_pieces(response, tokens, engine.vocabulary)
        response.text = b"".join(response.pieces).decode("utf-8", errors="replace")
        return response

    @contextmanager
    def _engine(self, model: str) -> Iterator[Engine]:
        """The engine of a model that is ready, which stays while it is asked."""
        if self._running >= _MOST_AT_ONCE:
            told = f"{_MOST_AT_ONCE} texts are being turned into tokens already; try again later"
            raise Overloaded(told, 1.0)
        self._running += 1
        try:
            with self._fleet.muster([model]) as (engines, away):
                if model in away:
                    raise away[model]
                yield engines[model]
        finally:
            self._running -= 1


async def _encoded(engine: Engine, prompt: Prompt, continuation: bool) -> list[int]:
    """The tokens of a prompt, as many as the context holds; errors name the caller's own field."""
    holds = engine.facts.context_length
    try:
        check_prompt(prompt, engine.vocabulary, holds)
        if continuation and isinstance(prompt, TextPrompt):
            tokens = await engine.encode_continuation(prompt.text)
        else:
            tokens = await engine.encode(prompt)
        if len(tokens) > holds:
            problem = f"it has {len(tokens)} tokens, and the context holds {holds}"
            raise PromptTooLong("prompt", problem)
    except InvalidRequest as error:
        if error.field not in _OF_TEXT:
            raise
        raise type(error)("text", error.problem) from None
    return tokens
