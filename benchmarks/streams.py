"""Answers of a running server, timed as a client sees them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from quorate.client import Client
from quorate.v1 import inference_pb2, plan_pb2

PROMPT = (
    "The history of the lighthouse on the northern coast begins long before the first road was "
    "built. Fishermen who had seen the rocks in winter told their children"
)
"""What a model goes on with at length."""

STREAMS = 8
"""Answers at once."""

PLACES = STREAMS + 1
"""Sessions that they need: an eighth of all stays free for other callers, and each round of them
comes over connections of its own."""


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
    """Tokens per second of several streams at once; see ``tokens_per_second``."""

    async def run() -> list[list[float]]:
        return await asyncio.gather(
            *(token_times(address, prompt, models, tokens, **options) for _ in range(streams))
        )

    return tokens_per_second(asyncio.run(run()))


def tokens_per_second(times: Sequence[Sequence[float]]) -> float:
    """Throughput of several streams, from the last one's first token to the end of all.

    Counts every token that reached a client between the moment all streams were decoding and the
    end of the last one.

    Args:
        times: When each token of each stream came, in seconds.
    """
    begun = max(one[0] for one in times)
    ended = max(one[-1] for one in times)
    return sum(sum(moment > begun for moment in one) for one in times) / (ended - begun)


async def first_token_seconds(address: str, prompt: str, model: str) -> float:
    """Seconds from the request to the first token."""
    async with Client(address) as client:
        await client.models()
        started = time.perf_counter()
        async for event in client.generate(prompt, models=[model], temperature=0.0, max_tokens=1):
            if event.WhichOneof("event") == "delta":
                return time.perf_counter() - started
    raise RuntimeError("no token came")


@dataclass(frozen=True)
class Answer:
    """A whole answer, the plan that the router chose for it, and what it took."""

    text: str
    plan: plan_pb2.Candidate
    usage: inference_pb2.Usage

    @property
    def joules(self) -> float | None:
        """Energy of all models; None where one of them has none."""
        energies = [model.energy for model in self.usage.models]
        known = all(energy.HasField("joules") for energy in energies)
        return sum(energy.joules for energy in energies) if known else None


async def answer(client: Client, **request: Any) -> Answer:
    """Reads one answer to its end."""
    text, accepted, finished = "", None, None
    async for event in client.generate(**request):
        text += event.delta.text
        if event.HasField("accepted"):
            accepted = event.accepted
        elif event.HasField("finished"):
            finished = event.finished
    assert accepted is not None
    assert finished is not None
    (plan,) = [one for one in accepted.decision.candidates if one.chosen]
    return Answer(text, plan, finished.usage)
