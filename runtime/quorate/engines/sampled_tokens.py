"""What an engine samples by itself, on its way to a reader who may be slower."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Self

from quorate.engines.contract import EngineSampling, SampledToken
from quorate.errors import InvalidRequest, QuorateError


class SampledTokens:
    """The iterator that ``Session.generate`` returns: fed by the engine, read by the caller.

    It holds what the reader has not taken yet, at most ``max_tokens`` of the generation.
    """

    def __init__(self) -> None:
        self._untaken: list[SampledToken] = []
        self._error: QuorateError | None = None
        self._ended = False
        self._news = asyncio.Event()

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self._ended

    def push(self, tokens: Sequence[SampledToken], finished: bool) -> None:
        """Adds tokens; nothing comes after those that finished it."""
        self._untaken.extend(tokens)
        self._ended = self._ended or finished
        self._news.set()

    def fail(self, error: QuorateError) -> None:
        """Ends it with an error, behind what was sampled; ignored where it has ended."""
        if self._ended:
            return
        self._error, self._ended = error, True
        self._news.set()

    def close(self) -> None:
        """Ends it at once."""
        self._untaken.clear()
        self._error, self._ended = None, True
        self._news.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Sequence[SampledToken]:
        while not self._untaken:
            if self._error is not None:
                raise self._error
            if self._ended:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        taken, self._untaken = self._untaken, []
        return taken


def check_sampling(options: EngineSampling, remaining: int) -> None:
    """Checks what a worker could not serve, where at most ``remaining`` tokens may be sampled.

    Raises:
        InvalidRequest: Names the option.
    """
    if not 1 <= options.max_tokens <= remaining:
        problem = f"{options.max_tokens} where 1 to {remaining} fit into what was reserved"
        raise InvalidRequest("max_tokens", problem)
