"""Speed of a byte-exact pair against its slower member alone, and of a union against it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from figures import Figure, figure, say, side_by_side
from pairs import serving
from streams import PROMPT

from quorate.client import Client

_GENERALIST, _SPECIALIST = "smollm2", "specialist"
_BYTES = 400
_ROUNDS = 7
_UNION = {"models": (_GENERALIST, _SPECIALIST), "alignment": "union_top_k"}


def measure_speed(generalist: Path, specialist: Path) -> list[Figure]:
    """Bytes per second in turn, on one core each."""
    say("speed of the byte-exact pair")
    pair: Mapping[str, Any] = {"models": (_GENERALIST, _SPECIALIST), "beam_epsilon": 0.01}
    with serving({_GENERALIST: generalist, _SPECIALIST: specialist}) as served:
        ours, theirs, ratio = side_by_side(
            lambda: asyncio.run(_bytes_per_second(served.address, pair)),
            lambda: asyncio.run(_bytes_per_second(served.address, {"model": _GENERALIST})),
            _ROUNDS,
        )
        union, exact, faster = side_by_side(
            lambda: asyncio.run(_bytes_per_second(served.address, _UNION)),
            lambda: asyncio.run(_bytes_per_second(served.address, pair)),
            _ROUNDS,
        )
        asked = asyncio.run(_score(served.address, pair))
    figures = [
        figure(
            "byte-exact pair / slower member alone, bytes per second",
            ratio,
            "x",
            f"{ours:.0f} against {theirs:.0f} bytes/s, one core each, epsilon 0.01",
            at_least=0.6,
        ),
        figure(
            "union of candidates / byte-exact, bytes per second",
            faster,
            "x",
            f"{union:.0f} against {exact:.0f} bytes/s, the same pair and cores",
        ),
    ]
    for model, forwards, dropped in asked:
        figures += [
            figure(f"forwards per token, {model}", forwards, "", "over the pair's own answer"),
            figure(f"dropped mass, {model}", dropped, "/byte", "over the pair's own answer"),
        ]
    return figures


async def _bytes_per_second(address: str, plan: Mapping[str, Any]) -> float:
    """Speed from the first delta of an answer to its last."""
    async with Client(address) as client:
        moments, sizes = [], []
        async for event in client.generate(PROMPT, temperature=0.0, max_bytes=_BYTES, **plan):
            if event.WhichOneof("event") == "delta":
                moments.append(time.perf_counter())
                sizes.append(len(event.delta.text.encode()))
    return sum(sizes[1:]) / (moments[-1] - moments[0])


async def _score(address: str, plan: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    """Forwards per token and dropped mass of each member over the pair's own answer."""
    async with Client(address) as client:
        text = await client.complete(PROMPT, temperature=0.0, max_bytes=_BYTES, **plan)
        score = await client.score(PROMPT, text, **plan)
    return [(m.model, m.forwards / m.tokens, m.dropped_mass) for m in score.members]
