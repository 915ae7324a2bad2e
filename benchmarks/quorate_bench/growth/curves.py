"""From records to curves: what a step took, and what this machine allows. Pure.

What it allows is the roofline of Williams, Waterman and Patterson (2009). At its memory-bound side
a step reads all weights, the KV cache of what stands before, and its rows; at its compute-bound
side it computes a token for each answer, as fast as the same model reads a long prompt, where
many tokens share each reading of the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from quorate.calibration.intervals import Interval
from quorate_bench.cases import Case, case_of
from quorate_bench.growth.plans import member_name
from quorate_bench.intervals import median_interval
from quorate_bench.records import Records

# A row of float32 is written by the worker, and read by whoever chooses.
_ROW_BYTES = 8


@dataclass(frozen=True, slots=True)
class Point:
    """One case.

    Attributes:
        at: How much of what is varied.
        step_ms: Median time of a step, over repetitions.
        allowed_ms: What this machine allows.
        alone_ms: What the same members take by themselves, one after the other.
    """

    at: float
    step_ms: Interval
    allowed_ms: float
    alone_ms: float


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of one line, by what is varied.

    Attributes:
        name: Of the line.
        points: At least one.
    """

    name: str
    points: tuple[Point, ...]


def curves(records: Records) -> dict[str, list[Curve]]:
    """The lines of every quantity of which at least two points were measured."""
    reading = _Reading(records)
    found = {
        "members": [
            reading.curve("a vote", reading.member_cases, lambda case: reading.members(case.plan))
        ],
        "concurrency": reading.lines(reading.streams_cases, lambda case: case.concurrency),
        "context": reading.lines(reading.context_cases, reading.context),
        "vocabulary": [
            reading.curve(
                "two members", reading.vocabulary_cases, lambda case: reading.vocabulary(case.plan)
            )
        ],
    }
    kept = {name: [line for line in lines if len(line.points) > 1] for name, lines in found.items()}
    return {name: lines for name, lines in kept.items() if lines}


class _Reading:
    """Records, by case."""

    def __init__(self, records: Records) -> None:
        sweep = records.run["sweep"]
        self._plans: dict[str, Mapping[str, Any]] = {one["name"]: one for one in sweep["plans"]}
        self._axes = sweep["axes"]
        self._kv = float(sweep["kv_bytes_per_token"])
        self._speed = float(records.run["machine"]["read_bytes_per_second"])
        self._servers = records.servers
        self._cases: dict[Case, list[dict[str, Any]]] = {}
        for one in records.measurements:
            self._cases.setdefault(case_of(one), []).append(one)
        self._prompt_seconds = self._read_fastest()

    @property
    def member_cases(self) -> list[Case]:
        return [one for one in self._of_copies() if self._is_base(one)]

    @property
    def streams_cases(self) -> list[Case]:
        base = self._axes["prompt_tokens"][0]
        return [one for one in self._of_copies() if one.prompt_tokens == base]

    @property
    def context_cases(self) -> list[Case]:
        return [one for one in self._of_copies() if one.concurrency == 1]

    @property
    def vocabulary_cases(self) -> list[Case]:
        return [one for one in self._cases if self.vocabulary(one.plan)]

    def members(self, plan: str) -> int:
        return int(self._plans[plan]["members"])

    def vocabulary(self, plan: str) -> int:
        return int(self._plans[plan].get("vocabulary", 0))

    def context(self, case: Case) -> float:
        """Tokens before the middle of the answer."""
        measured = self._cases[case]
        before = median(float(one["read_tokens"]) for one in measured)
        answers = median(float(one["tokens"]) for one in measured)
        return (before + answers / 2) / case.concurrency

    def lines(self, cases: Sequence[Case], at: Callable[[Case], float]) -> list[Curve]:
        """A line for one member, and one for two."""
        names = [member_name(1), member_name(2)]
        return [
            self.curve(name, [case for case in cases if case.plan == name], at) for name in names
        ]

    def curve(self, name: str, cases: Sequence[Case], at: Callable[[Case], float]) -> Curve:
        """Points in rising order; of two with the same place the first counts."""
        points = {at(case): self._point(case, at(case)) for case in reversed(cases)}
        return Curve(name, tuple(points[place] for place in sorted(points)))

    def _point(self, case: Case, at: float) -> Point:
        steps = [median(one["gaps_ms"]) for one in self._cases[case]]
        return Point(at, median_interval(steps), self._allowed_ms(case), self._alone_ms(case))

    def _allowed_ms(self, case: Case) -> float:
        members = self.members(case.plan)
        rows = members * case.concurrency * _ROW_BYTES * self.vocabulary(case.plan)
        cache = members * case.concurrency * self._kv * self.context(case)
        weights, speed = self._weights(case)
        reading = (weights + cache + rows) / speed
        return 1e3 * max(reading, members * case.concurrency * self._prompt_seconds)

    def _alone_ms(self, case: Case) -> float:
        """So many times what one member takes at the same point; nan where that is not known."""
        if self.vocabulary(case.plan):
            return float("nan")
        for other, measured in self._cases.items():
            asked = other.setting, other.concurrency, other.prompt_tokens
            wanted = case.setting, case.concurrency, case.prompt_tokens
            if other.plan == member_name(1) and asked == wanted:
                one = float(median(median(each["gaps_ms"]) for each in measured))
                return self.members(case.plan) * one
        return float("nan")

    def _weights(self, case: Case) -> tuple[float, float]:
        """Bytes of all members, and the speed at which that much is read."""
        plan = self._plans[case.plan]
        names = [plan["model"]] if "model" in plan else list(plan["models"])
        for server in reversed(self._servers):
            if server["context_length"] == case.setting.context_length:
                sizes = sum(float(server["file_bytes"].get(name, 0)) for name in names)
                speeds = server.get("read_bytes_per_second", {})
                return sizes, float(speeds.get(case.plan, self._speed))
        return 0.0, self._speed

    def _read_fastest(self) -> float:
        """Seconds of a token of a prompt, at best, of one member; 0 where none was read alone."""
        name = member_name(1)
        found = [
            float(min(one["first_ms"])) / 1e3 / one["read_tokens"]
            for case, measured in self._cases.items()
            for one in measured
            if case.plan == name and case.concurrency == 1 and one["read_tokens"]
        ]
        return min(found, default=0.0)

    def _of_copies(self) -> list[Case]:
        return [one for one in self._cases if not self.vocabulary(one.plan)]

    def _is_base(self, case: Case) -> bool:
        base = self._axes["prompt_tokens"][0]
        return case.concurrency == 1 and case.prompt_tokens == base
