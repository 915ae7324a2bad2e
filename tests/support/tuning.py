"""Configurations to be tuned, and a machine that is made up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from quorate_bench.sweep import BenchPlan
from quorate_bench.tuning.facts import Subject, TunedModel, Workload
from quorate_bench.tuning.search import Block, Limits, Outcome, Step, advance
from quorate_bench.tuning.space import Space, space_of
from quorate_bench.tuning.variants import Variant

PAIR = BenchPlan("pair", {"models": {"large": None, "small": 0.5}}, ("large", "small"))
ALONE = BenchPlan("alone", {"models": {"small": None}}, ("small",))
OPTIONS = {"sessions": 32, "cells": 0, "batch_tokens": 512, "flash_attention": "auto",
           "kv_type_k": "f16", "kv_type_v": "f16"}  # fmt: skip
CHOICES = {"flash_attention": ("auto", "on", "off"), "kv_type_k": ("f32", "f16", "q8_0")}
HIGHEST = {"sessions": 256.0, "cells": 2.0**30, "batch_tokens": 65536.0}


def model(name: str, size: int = 1_000_000_000, **options: Any) -> TunedModel:
    """A model of llama.cpp's kind, of about a gigabyte."""
    return TunedModel(
        name, 0, {**OPTIONS, **options}, CHOICES, HIGHEST, 4096, 1.1 * size, 30_000.0, size, 16.0
    )


def subject(*plans: BenchPlan, **changes: Any) -> Subject:
    """Two models that vote, on four cores with room enough; with changes of its fields."""
    known = {
        "models": (model("large"), model("small", 200_000_000)),
        "plans": plans or (PAIR,),
        "workload": Workload((1,), 128, 64),
        "machine_cores": 4,
        "pin_cores": True,
        "available_bytes": 16e9,
    }
    return Subject(**{**known, **changes})


def space(*plans: BenchPlan, problem: Callable[[Variant], str] = lambda one: "",
          **changes: Any) -> Space:  # fmt: skip
    """What is worth trying of it."""
    return space_of(subject(*plans, **changes), problem)


def searched(
    tried: Space,
    takes: Callable[[Variant, str], float],
    limits: Limits,
    noise: float = 0.0,
    seed: int = 0,
) -> tuple[Outcome, list[Block]]:
    """Runs a search to its end on a machine that is made up.

    Args:
        tried: The space.
        takes: Seconds of a variant in a case, as they truly are.
        limits: Of the search.
        noise: Spread of the logarithm of what is measured.
        seed: Of the noise.
    """
    rng = np.random.default_rng(seed)
    blocks: list[Block] = []
    while isinstance(step := advance(tried, blocks, limits), Step):
        blocks.append(measured(step, takes, lambda: float(np.exp(noise * rng.normal()))))
        assert len(blocks) < 1000
    return step, blocks


def measured(
    step: Step, takes: Callable[[Variant, str], float], noise: Callable[[], float]
) -> Block:
    """One repetition; what takes for ever cannot be measured."""
    values: dict[Variant, Mapping[str, float]] = {}
    problems = {}
    for variant in step.variants:
        times = {case: takes(variant, case) for case in step.cases}
        if float("inf") in times.values():
            problems[variant] = "it died"
        else:
            values[variant] = {case: time * noise() for case, time in times.items()}
    spent = sum(sum(one.values()) for one in values.values())
    return Block(step.race, step.base, values, problems, spent)
