"""Accuracy of a generalist and a specialist with different tokenizers, alone and together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalogue import domain_questions, mixed_questions
from figures import Figure, figure, say
from general_questions import general_questions
from grading import is_correct
from intervals import Interval, difference_interval, mean_interval
from pairs import serving

from quorate.client import Client

_GENERALIST, _SPECIALIST = "smollm2", "specialist"
_BOTH = (_GENERALIST, _SPECIALIST)
_PLANS: Mapping[str, Mapping[str, Any]] = {
    "generalist alone": {"model": _GENERALIST},
    "specialist alone": {"model": _SPECIALIST},
    "default weighting": {"models": _BOTH},
    "static halves": {"models": _BOTH, "weighting": "static"},
    "prompt": {"models": _BOTH, "weighting": "prompt"},
    "confidence": {"models": _BOTH, "weighting": "confidence"},
}
_ALONE = ("generalist alone", "specialist alone")
# Enough for one sentence about each thing that is asked.
_MAX_BYTES = {"domain": 80, "general": 80, "mixed": 160}
_MAX_TOKENS = 80
_AT_ONCE = 8


@dataclass(frozen=True)
class _Case:
    text: str
    holds: Callable[[str], bool]


def measure_questions(generalist: Path, specialist: Path, most: int | None) -> list[Figure]:
    """Accuracy under every plan on questions inside the domain, outside it, and on mixed ones."""
    sets = {
        "domain": [_case(q.text, q.gold) for q in domain_questions()],
        "general": [_case(q.text, q.gold) for q in general_questions()],
        "mixed": [_case(q.text, q.general, q.catalogue) for q in mixed_questions()],
    }
    figures: list[Figure] = []
    with serving({_GENERALIST: generalist, _SPECIALIST: specialist}) as served:
        for kind, cases in sets.items():
            chosen = cases if most is None else cases[:: max(1, len(cases) // most)][:most]
            correct = {
                plan: asyncio.run(
                    _grade(
                        served.address,
                        f"{kind}, {plan}",
                        chosen,
                        {**options, "max_bytes": _MAX_BYTES[kind], "max_tokens": _MAX_TOKENS},
                    )
                )
                for plan, options in _PLANS.items()
            }
            figures += _figures(kind, correct)
    return figures


def _case(text: str, *golds: Sequence[str]) -> _Case:
    return _Case(text, lambda answer: all(is_correct(answer, gold) for gold in golds))


async def _grade(
    address: str, name: str, cases: Sequence[_Case], options: Mapping[str, Any]
) -> list[float]:
    """1.0 for every question that was answered correctly, else 0.0."""
    say(f"{len(cases)} questions: {name}")
    places = asyncio.Semaphore(_AT_ONCE)
    async with Client(address) as client:

        async def answer(case: _Case) -> float:
            async with places:
                text = await client.complete(
                    messages=[("user", case.text)],
                    temperature=0.0,
                    **options,
                )
            return float(case.holds(text))

        return list(await asyncio.gather(*map(answer, cases)))


def _figures(kind: str, correct: Mapping[str, Sequence[float]]) -> list[Figure]:
    count = len(next(iter(correct.values())))
    figures = [
        figure(f"{kind}: {plan}", 100 * one.value, "%", _detail(one, count))
        for plan, one in ((plan, mean_interval(values)) for plan, values in correct.items())
    ]
    better = max(_ALONE, key=lambda plan: sum(correct[plan]))
    gap = difference_interval(correct["default weighting"], correct[better])
    # A prompt that needs both is for the ensemble to win; elsewhere it must not lose.
    goal = 0.0 if kind == "mixed" else -2.0
    detail = f"default weighting - {better}, {_detail(gap, count)}"
    name = f"{kind}: against the better member"
    return [*figures, figure(name, 100 * gap.value, "points", detail, at_least=goal)]


def _detail(one: Interval, count: int) -> str:
    return f"95 % {100 * one.low:.1f} to {100 * one.high:.1f}, {count} questions"
