"""What an engine samples by itself, on its way to a reader who may be slower."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Self

from quorate.engines.contract import Capabilities
from quorate.engines.generation import SAMPLED_AHEAD, EngineSampling, SampledToken
from quorate.errors import InvalidRequest, QuorateError, UnsupportedPlan

_TOLD_BY = SAMPLED_AHEAD // 2


class SampledTokens:
    """The iterator that ``Session.generate`` returns: fed by the engine, read by the caller.

    It holds what the reader has not taken yet: at most ``SAMPLED_AHEAD`` tokens where the engine
    waits for readers, ``max_tokens`` of the generation elsewhere.
    """

    def __init__(self) -> None:
        self._on_taken: Callable[[int, bool], None] | None = None
        self._ahead = 0
        self._untaken: list[SampledToken] = []
        self._error: QuorateError | None = None
        self._ended = False
        self._news = asyncio.Event()

    def report_to(self, on_taken: Callable[[int, bool], None]) -> None:
        """Has an engine that waits for readers told, until the generation ends, how they get on.

        It is told how many tokens were taken since it was last told, and whether it may have waited
        for that.
        """
        self._on_taken = on_taken

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self._ended

    def push(self, tokens: Sequence[SampledToken], finished: bool) -> None:
        """Adds tokens; nothing comes after those that finished it."""
        self._untaken.extend(tokens)
        self._ahead += len(tokens)
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
        if self._on_taken is not None and self._ahead >= _TOLD_BY and not self._ended:
            ahead, self._ahead = self._ahead, 0
            self._on_taken(ahead, ahead >= SAMPLED_AHEAD)
        return taken


def check_able(subject: str, can: Capabilities, options: EngineSampling) -> None:
    """Checks that an engine can sample like this.

    Raises:
        UnsupportedPlan: It cannot, and is named as ``subject``.
    """
    if not can.generate:
        raise UnsupportedPlan(subject, "its engine cannot draw tokens by itself")
    if can.own_sampler and options.acts_on_tokens:
        raise UnsupportedPlan(subject, "its engine's own sampler knows neither bias nor penalties")


def check_sampling(options: EngineSampling, remaining: int) -> None:
    """Checks what a worker could not serve, where at most ``remaining`` tokens may be sampled.

    Raises:
        InvalidRequest: Names the option.
    """
    if not 1 <= options.max_tokens <= remaining:
        problem = f"{options.max_tokens} where 1 to {remaining} fit into what was reserved"
        raise InvalidRequest("max_tokens", problem)
