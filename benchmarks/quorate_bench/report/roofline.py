"""What the memory of a machine allows: its measured bandwidth over the bytes of a token. Pure.

The roofline of Williams, Waterman and Patterson (2009), at its memory-bound side: to decode a token
every weight is read once, and nothing else is as large.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from quorate_bench.records import Records
from quorate_bench.summary import Summary


@dataclass(frozen=True, slots=True)
class Bound:
    """What a plan does and could do, in tokens per second of one answer."""

    plan: str
    measured: float
    bound: float


def bounds(records: Records, base: Sequence[Summary]) -> list[Bound]:
    """For every plan whose members all read their weights for each token."""
    speed = records.run["machine"]["read_bytes_per_second"]
    cores = records.run["machine"]["cores"]
    models = {plan["name"]: _members(plan) for plan in records.run["sweep"]["plans"]}
    found = []
    for one in base:
        members = models[one.case.plan]
        sizes = [_bytes(records, model, one) for model in members]
        if members and all(sizes):
            share = one.case.setting.cores / cores
            bound = share * speed / sum(sizes)
            found.append(Bound(one.case.plan, 1e3 / one.token_ms.value, bound))
    return found


def _bytes(records: Records, model: str, one: Summary) -> float:
    for server in records.servers:
        if server["quantisation"] == one.case.setting.quantisation:
            return float(server["file_bytes"].get(model, 0))
    return 0.0


def _members(plan: dict[str, Any]) -> list[str]:
    """None of a cascade, of whose stages not all answer."""
    if "model" in plan:
        return [plan["model"]]
    return list(plan.get("models", ()))
