"""Plans that were measured, as profiles of a configuration. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from quorate_bench.records import Records
from quorate_bench.report.advice import Advice

_NO_NAME = re.compile(r"[^a-z0-9]+")


def profiles_toml(records: Records, found: Sequence[Advice]) -> str:
    """One profile for each plan that is the best within some limit, named after it."""
    plans = {plan["name"]: plan for plan in records.run["sweep"]["plans"]}
    names: list[str] = []
    for one in found:
        names.append(_name(one.summary.case.plan, names))
    return "\n".join(
        _profile(name, plans[one.summary.case.plan], one)
        for name, one in zip(names, found, strict=True)
    )


def _profile(name: str, plan: dict[str, Any], one: Advice) -> str:
    lines = [
        f"# {one.why}, {one.summary.token_ms.value:.3g} ms per token",
        f"[profiles.{name}]",
    ]
    for key, value in plan.items():
        match key:
            case "name":
                continue
            case "model" | "models":
                lines.append(f"members = {_members(value)}")
            case "answers":
                lines.append(f"answers = {_members(value)}")
            case "stages":
                lines.append(f"stages = [{', '.join(map(_stage, value))}]")
            case _:
                lines.append(f"{key} = {json.dumps(value)}")
    return "\n".join(lines) + "\n"


def _members(models: Any) -> str:
    if isinstance(models, str):
        models = [models]
    weights = models if isinstance(models, dict) else dict.fromkeys(models)
    return f"[{', '.join(_member(model, weight) for model, weight in weights.items())}]"


def _member(model: str, weight: float | None) -> str:
    name = json.dumps(model)
    return name if weight is None else f"{{ model = {name}, weight = {weight} }}"


def _stage(stage: Any) -> str:
    """A stage as a client writes it: models, or a pair of models and a confidence."""
    if isinstance(stage, list) and len(stage) == 2 and isinstance(stage[1], int | float):
        return f"{{ members = {_members(stage[0])}, confidence = {stage[1]} }}"
    return f"{{ members = {_members(stage)} }}"


def _name(plan: str, taken: Sequence[str]) -> str:
    """A key of TOML; plans whose names differ in marks alone are numbered."""
    name = _NO_NAME.sub("-", plan.lower()).strip("-") or "plan"
    number = sum(one == name or re.fullmatch(rf"{name}-\d+", one) is not None for one in taken)
    return f"{name}-{number + 1}" if number else name
