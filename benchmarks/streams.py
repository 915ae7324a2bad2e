"""Answers of a running server, timed as a client sees them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from quorate.client import Client


async def token_times(
    address: str, prompt: str, models: Sequence[str], tokens: int, **options: Any
) -> list[float]:
    """When each token of a greedy answer reached the client.

    Raises:
        RuntimeError: The answer ended before so many tokens.
    """
    times: list[float] = []
    async with Client(address) as client:
        async for event in client.generate(
            prompt, models=models, temperature=0.0, max_tokens=tokens, **options
        ):
            if event.WhichOneof("event") == "delta":
                times += [time.perf_counter()] * len(event.delta.tokens)
    if len(times) < tokens:
        raise RuntimeError(f"the answer ended after {len(times)} tokens; take another prompt")
    return times


def per_token_seconds(
    address: str, prompt: str, models: Sequence[str], tokens: int, **options: Any
) -> float:
    """Seconds per token after the first."""
    times = asyncio.run(token_times(address, prompt, models, tokens, **options))
    return (times[-1] - times[0]) / (tokens - 1)


def throughput(
    address: str, prompt: str, models: Sequence[str], tokens: int, streams: int, **options: Any
) -> float:
    """Tokens per second of several streams, from the last one's first token to the end of all.

    Counts every token that reached a client between the moment all streams were decoding and the
    end of the last one.
    """

    async def run() -> float:
        times = await asyncio.gather(
            *(token_times(address, prompt, models, tokens, **options) for _ in range(streams))
        )
        begun = max(times_of_one[0] for times_of_one in times)
        ended = max(times_of_one[-1] for times_of_one in times)
        count = sum(sum(moment > begun for moment in one) for one in times)
        return count / (ended - begun)

    return asyncio.run(run())


async def first_token_seconds(address: str, prompt: str, model: str) -> float:
    """Seconds from the request to the first token."""
    async with Client(address) as client:
        await client.models()
        started = time.perf_counter()
        async for event in client.generate(prompt, models=[model], temperature=0.0, max_tokens=1):
            if event.WhichOneof("event") == "delta":
                return time.perf_counter() - started
    raise RuntimeError("no token came")
