"""How fast answers of a running server grow, as a client sees it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from quorate.client import Client
from quorate.client.arguments import GenerateOptions

_LEAST_TOKENS = 8


@dataclass(frozen=True)
class Pace:
    """What came after the first tokens of an answer, and how long it took."""

    seconds: float
    tokens: int
    bytes: int

    @property
    def seconds_per_token(self) -> float:
        """Mean time of a token."""
        return self.seconds / self.tokens

    @property
    def bytes_per_second(self) -> float:
        """Text in UTF-8."""
        return self.bytes / self.seconds


def pace(address: str, prompt: str, **options: Any) -> Pace:
    """Reads one answer; options are those of ``Client.generate``.

    Raises:
        RuntimeError: The answer is too short to tell.
    """
    return asyncio.run(_pace(address, prompt, **options))


async def _pace(address: str, prompt: str, **options: Any) -> Pace:
    times: list[float] = []
    tokens, text = 0, 0
    async with Client(address) as client:
        async for event in client.generate(prompt, **options):
            if event.WhichOneof("event") != "delta":
                continue
            times.append(time.perf_counter())
            if len(times) > 1:
                tokens += len(event.delta.tokens)
                text += len(event.delta.text.encode())
    if tokens < _LEAST_TOKENS:
        raise RuntimeError(f"the answer ended after {tokens} tokens; take another prompt: {prompt}")
    return Pace(times[-1] - times[0], tokens, text)


def score_seconds(address: str, prompt: str, text: str, **options: Any) -> float:
    """Seconds that the score of a text takes; options are those of ``Client.score``."""

    async def run() -> float:
        async with Client(address) as client:
            await client.models()
            started = time.perf_counter()
            await client.score(prompt, text, **options)
            return time.perf_counter() - started

    return asyncio.run(run())


def reading_seconds(address: str, text: str, **options: Any) -> float:
    """Seconds from a request with this prompt to its first token."""

    async def run() -> float:
        async with Client(address) as client:
            await client.models()
            started = time.perf_counter()
            async for event in client.generate(text, max_tokens=1, temperature=0.0, **options):
                if event.WhichOneof("event") == "delta":
                    return time.perf_counter() - started
        raise RuntimeError("no token came")

    return asyncio.run(run())


def drafting(mode: str) -> dict[str, str]:
    """Options that choose how answers are drafted; none where the client knows no drafts."""
    return {"drafts": mode} if "drafts" in GenerateOptions.__annotations__ else {}
