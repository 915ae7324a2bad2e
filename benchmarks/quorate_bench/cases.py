"""From a sweep to single cases, in the order in which they are worth most. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from quorate_bench.sweep import Axes, BenchPlan, Sweep


@dataclass(frozen=True, slots=True, order=True)
class Setting:
    """What a server has to be started anew for."""

    cores: int
    context_length: int
    quantisation: str


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to be measured.

    Attributes:
        plan: Name of the plan.
        setting: The server.
        concurrency: Answers at once.
        prompt_tokens: Length of each prompt, roughly.
        answer_tokens: Most tokens of each answer.
    """

    plan: str
    setting: Setting
    concurrency: int
    prompt_tokens: int
    answer_tokens: int

    def told(self) -> dict[str, Any]:
        """As records have it."""
        told = asdict(self)
        return {"plan": told.pop("plan"), **told.pop("setting"), **told}


def case_of(told: Mapping[str, Any]) -> Case:
    """The case of a record.

    Raises:
        KeyError, TypeError, ValueError: It is none.
    """
    setting = Setting(int(told["cores"]), int(told["context_length"]), str(told["quantisation"]))
    return Case(
        str(told["plan"]),
        setting,
        int(told["concurrency"]),
        int(told["prompt_tokens"]),
        int(told["answer_tokens"]),
    )


def cases_of(sweep: Sweep, cores: int) -> list[Case]:
    """Every case, the bases of all plans first.

    Args:
        sweep: What shall be measured.
        cores: Cores of this machine; an axis of more is cut to them.
    """
    points = list(_points(sweep.axes, sweep.measure.design))
    found = [_case(plan, point, cores) for point in points for plan in sweep.plans]
    return list(dict.fromkeys(found))


def place(case: Case, axes: Mapping[str, Sequence[Any]], cores: int) -> tuple[int, ...]:
    """Where a case stands on each axis of its sweep, on a machine of so many cores.

    The base is at 0 everywhere. A value that is on no axis, as after the axes of a file were
    changed, comes behind all that are.
    """
    told = case.told()
    found = []
    for axis, name in _AXES.items():
        values = list(axes[axis])
        if axis != "quantisations":
            values = [int(value) for value in values]
        if axis == "cores":
            values = [min(value or cores, cores) for value in values]
        found.append(values.index(told[name]) if told[name] in values else len(values))
    return tuple(found)


def by_setting(cases: Sequence[Case]) -> dict[Setting, list[Case]]:
    """The cases of each server, servers and cases in the order given."""
    found: dict[Setting, list[Case]] = {}
    for case in cases:
        found.setdefault(case.setting, []).append(case)
    return found


_AXES = {
    "cores": "cores",
    "context_length": "context_length",
    "quantisations": "quantisation",
    "concurrency": "concurrency",
    "prompt_tokens": "prompt_tokens",
    "answer_tokens": "answer_tokens",
}
_Point = tuple[Any, ...]


def _points(axes: Axes, design: str) -> Iterator[_Point]:
    each: list[tuple[Any, ...]] = [
        axes.cores, axes.context_length, axes.quantisations, axes.concurrency,
        axes.prompt_tokens, axes.answer_tokens,
    ]  # fmt: skip
    each = [values or (None,) for values in each]
    base = tuple(values[0] for values in each)
    if design == "grid":
        # By how far they are from the base, so that what is left out last is what matters most.
        grid = itertools.product(*each)
        yield from sorted(grid, key=lambda one: sum(a != b for a, b in zip(one, base, strict=True)))
        return
    yield base
    for index, values in enumerate(each):
        for value in values[1:]:
            yield (*base[:index], value, *base[index + 1 :])


def _case(plan: BenchPlan, point: _Point, cores: int) -> Case:
    wanted, context, quantisation, concurrency, prompt, answer = point
    used = min(int(wanted) or cores, cores)
    setting = Setting(used, int(context), quantisation)
    return Case(plan.name, setting, int(concurrency), int(prompt), int(answer))
