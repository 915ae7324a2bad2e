"""Bits per byte of two models with different tokenizers, alone and together."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from figures import Figure, figure, say
from pairs import serving
from texts import texts

from quorate.client import Client

_MEMBERS = ("smollm2", "stories260k")
_ENSEMBLES: Mapping[str, Mapping[str, Any]] = {
    "default weighting": {},
    "static halves": {"weighting": "static"},
    "confidence": {"weighting": "confidence"},
    "bayesian, nothing forgotten": {"weighting": "bayesian", "forgetting": 1.0},
}


def measure_bits(generalist: Path, stories: Path) -> list[Figure]:
    """Bits per byte on every kind of text, held against the better member's."""
    with serving(dict(zip(_MEMBERS, (generalist, stories), strict=True))) as served:
        return asyncio.run(_measure(served.address))


async def _measure(address: str) -> list[Figure]:
    figures: list[Figure] = []
    async with Client(address) as client:
        for kind, samples in texts("reported").items():
            say(f"bits per byte on {kind}")
            bits: dict[str, float] = {}
            dropped = 0.0
            for name, options in _ENSEMBLES.items():
                scores = [
                    await client.score("", text, models=_MEMBERS, **options) for text in samples
                ]
                count = sum(score.bytes for score in scores)
                bits[name] = _bits(sum(score.logprob for score in scores), count)
                for index, member in enumerate(_MEMBERS):
                    whole = sum(score.members[index].logprob for score in scores)
                    bits[member] = _bits(whole, count)
                dropped = sum(s.members[0].dropped_mass * s.bytes for s in scores) / count
            figures += _figures(kind, bits, count, dropped)
    return figures


def _figures(kind: str, bits: Mapping[str, float], count: int, dropped: float) -> list[Figure]:
    best = min(bits[member] for member in _MEMBERS)
    detail = f"{count} bytes, byte-exact, epsilon 0.01"
    figures = [
        figure(f"{kind}: {name}", value, "bits/byte", detail) for name, value in bits.items()
    ]
    ours = bits["default weighting"]
    against = f"{ours:.4f} against {best:.4f} of the better member"
    name = f"{kind}: default weighting / better member"
    if kind == "interleaved":
        figures.append(figure(name, ours / best, "x", against, at_most=0.90))
    elif kind == "stories":
        figures.append(figure(name, ours / best, "x", against, at_most=1.0))
    else:
        name = f"{kind}: default weighting - better member"
        figures.append(figure(name, ours - best, "bits/byte", against, at_most=0.005))
    figures.append(figure(f"{kind}: dropped mass", dropped, "/byte", f"{_MEMBERS[0]}"))
    return figures


def _bits(logprob: float, count: int) -> float:
    return -logprob / math.log(2) / count
