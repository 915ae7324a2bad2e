"""Predicted against actual time and energy of mixed requests."""

from __future__ import annotations

import asyncio
import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalogue import domain_questions
from figures import Figure, figure, say
from general_questions import general_questions
from pairs import serving
from streams import answer
from texts import texts

from quorate.client import Client
from quorate.v1 import inference_pb2

_GENERALIST, _SPECIALIST = "smollm2", "specialist"
_PLANS: Sequence[Mapping[str, Any]] = (
    {"model": _GENERALIST},
    {"model": _SPECIALIST},
    {"models": (_GENERALIST, _SPECIALIST)},
)
_MAX_TOKENS = (8, 16, 32, 64)
_AT_ONCE = (1, 3)
_WARM_UP = 90
_SEED = 5


@dataclass(frozen=True)
class _Outcome:
    """What a decision predicted of a request, and what it took."""

    plan: str
    task: str
    predicted_ms: float | None
    q90_ms: float | None
    actual_ms: float
    predicted_joules: float | None
    actual_joules: float | None
    tier: str

    @property
    def error(self) -> float | None:
        """Relative error of the predicted time; None where nothing was predicted."""
        if self.predicted_ms is None:
            return None
        return abs(self.predicted_ms - self.actual_ms) / self.actual_ms


def measure_prediction(generalist: Path, specialist: Path, requests: int) -> list[Figure]:
    """For each number of requests at a time: a warm-up, then as many requests, compared."""
    figures = []
    for at_once in _AT_ONCE:
        with serving({_GENERALIST: generalist, _SPECIALIST: specialist}) as served:
            drawn = _Requests(random.Random(_SEED))
            say(f"{_WARM_UP} mixed requests to learn from, {at_once} at a time")
            asyncio.run(_ask(served.address, [drawn.next() for _ in range(_WARM_UP)], at_once))
            say(f"{requests} mixed requests to predict, {at_once} at a time")
            asked = [drawn.next() for _ in range(requests)]
            figures += _figures(asyncio.run(_ask(served.address, asked, at_once)), at_once)
    return figures


class _Requests:
    """Draws requests: questions of two kinds, whose answers end by themselves, and texts to go on.

    Each has the tag of its kind, as a caller would give it.

    Args:
        chosen: Draws plan, prompt and length.
    """

    def __init__(self, chosen: random.Random) -> None:
        self._chosen = chosen
        self._questions = {
            "general": [question.text for question in general_questions()],
            "catalogue": [question.text for question in domain_questions()],
        }
        self._texts = [text for kind in texts("tuning").values() for text in kind]

    def next(self) -> dict[str, Any]:
        """Options of the next request."""
        chosen = self._chosen
        common = {
            **chosen.choice(_PLANS),
            "max_tokens": chosen.choice(_MAX_TOKENS),
            "seed": chosen.randrange(1 << 30),
        }
        if chosen.random() < 0.5:
            task = chosen.choice(sorted(self._questions))
            question = chosen.choice(self._questions[task])
            return {**common, "messages": [("user", question)], "task": task}
        words = chosen.choice(self._texts).split()
        # Any place in a text: prompts that begin alike would be found in the prefix cache.
        begin = chosen.randrange(max(1, len(words) - 5))
        end = chosen.randint(min(begin + 5, len(words)), len(words))
        return {**common, "prompt": " ".join(words[begin:end]), "task": "text"}


async def _ask(address: str, requests: Sequence[dict[str, Any]], at_once: int) -> list[_Outcome]:
    """Asks so many at a time, in this order."""
    waiting = list(reversed(requests))
    outcomes: list[_Outcome] = []
    async with Client(address) as client:

        async def work() -> None:
            while waiting:
                outcomes.append(await _one(client, waiting.pop()))

        await asyncio.gather(*(work() for _ in range(at_once)))
    return outcomes


async def _one(client: Client, request: dict[str, Any]) -> _Outcome:
    given = await answer(client, **request)
    candidate, tier = given.plan, given.usage.models[0].energy.tier
    return _Outcome(
        plan=candidate.name,
        task=request["task"],
        predicted_ms=candidate.time_ms if candidate.HasField("time_ms") else None,
        q90_ms=candidate.time_q90_ms if candidate.HasField("time_q90_ms") else None,
        actual_ms=given.usage.duration_ms,
        predicted_joules=candidate.joules if candidate.HasField("joules") else None,
        actual_joules=given.joules,
        tier=inference_pb2.EnergyTier.Name(tier).removeprefix("ENERGY_TIER_").lower(),
    )


def _figures(outcomes: Sequence[_Outcome], at_once: int) -> list[Figure]:
    timed = [one for one in outcomes if one.error is not None]
    covered = [one.q90_ms is not None and one.actual_ms <= one.q90_ms for one in timed]
    share = 100 * sum(covered) / len(covered)
    detail = f"{len(timed)} of {len(outcomes)} requests"
    how = f"{at_once} at a time"
    figures = [
        figure(f"{how}: median error of time", _median_error(timed), "%", detail, at_most=15),
        Figure(f"{how}: time within q90", share, "%", "85 to 95", 85 <= share <= 95, detail),
    ]
    for plan, task in sorted({(one.plan, one.task) for one in timed}):
        own = [one for one in timed if (one.plan, one.task) == (plan, task)]
        typical = statistics.median(one.actual_ms for one in own)
        detail = f"{len(own)} requests of {typical:.0f} ms"
        name = f"{how}: {plan}, {task}"
        figures.append(figure(name, _median_error(own), "%", detail))
    return [*figures, *_energy(outcomes, how)]


def _median_error(outcomes: Sequence[_Outcome]) -> float:
    return 100 * statistics.median(one.error for one in outcomes if one.error is not None)


def _energy(outcomes: Sequence[_Outcome], how: str) -> list[Figure]:
    known = [
        (one.predicted_joules, one.actual_joules)
        for one in outcomes
        if one.predicted_joules is not None and one.actual_joules
    ]
    if not known:
        return []
    errors = [abs(predicted - actual) / actual for predicted, actual in known]
    detail = f"{len(known)} requests, {outcomes[0].tier}"
    return [figure(f"{how}: median error of energy", 100 * statistics.median(errors), "%", detail)]
