"""What telemetry is told, made by hand, and what it tells, read back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from quorate.request import (
    Energy,
    EnergyTier,
    FinishReason,
    ModelUsage,
    NoticeKind,
    PlanKind,
    Route,
    SamplingOptions,
    Usage,
)
from quorate.telemetry.attempts import SettledAttempt, SettledRun
from support.attempts import vote_decision

VOTE = replace(
    vote_decision({"a": 0.5, "b": 0.5}, profile="pair"),
    route=Route(name="a+b", kind=PlanKind.ENSEMBLE),
)


def settled(**changes: Any) -> SettledAttempt:
    """A vote of two models that arrived at 1000 s, began after 2 and took 10 in all."""
    models = (
        ModelUsage("a", 7, 3, 20, 500.0, Energy(4.0, EnergyTier.MEASURED)),
        ModelUsage("b", 7, 0, 20, 900.0, Energy(6.0, EnergyTier.ESTIMATED), dropped_mass=0.25),
    )
    known: dict[str, Any] = {
        "operation": "generate",
        "request_id": "r",
        "decision": VOTE,
        "outcome": "finished",
        "arrived_at": 1000.0,
        "began_at": 1002.0,
        "ended_at": 1010.0,
        "usage": Usage(7, 21, 3000.0, 10_000.0, models),
        "reason": FinishReason.MAX_TOKENS,
        "sampling": SamplingOptions(temperature=0.5),
        "max_tokens": 21,
        "runs": (SettledRun(VOTE, 1002.0, 1003.0, 1009.0, models=models),),
        "notices": {NoticeKind.MEMBER_DROPPED: 2},
    }
    return SettledAttempt(**{**known, **changes})


def scrape(address: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Every sample that an address tells, by its name and its sorted labels."""
    with urlopen(f"http://{address}/metrics", timeout=60.0) as response:
        return parsed(response.read().decode())


def parsed(text: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Every sample of a text in Prometheus' format, by its name and its sorted labels."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found
