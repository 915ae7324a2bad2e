"""Text to tokens and back, by the vocabulary of one model."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from quorate.access import limits
from quorate.engines.contract import Engine
from quorate.engines.prompt_sizes import check_prompt
from quorate.engines.vocabulary import Vocabulary
from quorate.errors import InvalidRequest, Overloaded, PromptTooLong
from quorate.fleet.fleet import Fleet
from quorate.request import Prompt, TextPrompt

_MOST_AT_ONCE = 64
_CHUNK = 4096
# What engines call a text that they are given.
_OF_TEXT = ("prompt", "continuation")


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens, and what they stand for.

    Attributes:
        pieces: The bytes of each.
        control: Names of those that are control tokens, by id.
        context_length: Most tokens that the model's context holds.
    """

    ids: Sequence[int]
    pieces: Sequence[bytes]
    control: Mapping[int, str]
    context_length: int

    @property
    def text(self) -> str:
        """What they stand for together."""
        return b"".join(self.pieces).decode("utf-8", errors="replace")


class Tokenizing:
    """Asks models' encoders, which are bounded by context, budget of CPU time and quarantine.

    They take no turn in the queue of requests, so that there is a limit of its own.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._running = 0

    async def tokenize(
        self, model: str, prompt: Prompt, *, continuation: bool = False, field: str = "text"
    ) -> Tokens:
        """The tokens of a text or a chat.

        Args:
            model: Whose tokens.
            prompt: The text, or the chat.
            continuation: Whether the text goes on with another, so that nothing begins it.
            field: What its caller calls the text.

        Raises:
            NotFound: No such model.
            InvalidRequest: The request itself is wrong, or what ``Engine.encode`` refuses.
            ModelUnusable: It is not loaded.
            Unavailable: It is not ready.
            Overloaded: Too many ask at once.
        """
        with self._engine(model) as engine:
            tokens = await _encoded(engine, prompt, continuation, field)
            return await _told(tokens, engine, field)

    async def detokenize(
        self, model: str, tokens: Sequence[int], *, field: str = "tokens"
    ) -> Tokens:
        """What tokens stand for; ``field`` and errors are as for ``tokenize``."""
        tokens = limits.token_ids(field, tokens)
        with self._engine(model) as engine:
            return await _told(tokens, engine, field)

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


async def _encoded(engine: Engine, prompt: Prompt, continuation: bool, field: str) -> Sequence[int]:
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
        raise type(error)(field, error.problem) from None
    return tokens


async def _told(tokens: Sequence[int], engine: Engine, field: str) -> Tokens:
    """These with their pieces and names, found without holding up the event loop.

    Raises:
        InvalidRequest: An id outside the vocabulary, or more bytes than an answer holds.
    """
    vocabulary, found, control = engine.vocabulary, list[bytes](), dict[int, str]()
    room = limits.MAX_DETOKENIZED_BYTES
    for start in range(0, len(tokens), _CHUNK):
        part = tokens[start : start + _CHUNK]
        if min(part) < 0 or max(part) >= len(vocabulary):
            raise _unknown(field, start, part, vocabulary)
        pieces = [vocabulary.pieces[token] for token in part]
        room -= sum(map(len, pieces))
        if room < 0:
            problem = f"stand for more than {limits.MAX_DETOKENIZED_BYTES} bytes; send fewer"
            raise InvalidRequest(field, problem)
        found += pieces
        for token in vocabulary.control.intersection(part):
            control[token] = vocabulary.names.get(token, "")
        await asyncio.sleep(0)
    return Tokens(tokens, found, control, engine.facts.context_length)


def _unknown(field: str, start: int, part: Sequence[int], vocabulary: Vocabulary) -> InvalidRequest:
    size = len(vocabulary)
    index, token = next((index, token) for index, token in enumerate(part) if not 0 <= token < size)
    problem = f"is {token}; the vocabulary's ids are 0 to {size - 1}"
    return InvalidRequest(f"{field}[{start + index}]", problem)
