"""What decides which settings are worth trying: of the models, the plans, the work. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quorate_bench.sweep import BenchPlan

# What a worker and its encoder take beside what the model's header tells.
_WORKER_BYTES = 200e6


@dataclass(frozen=True, slots=True)
class TunedModel:
    """A model of the configuration.

    Attributes:
        id: What plans call it.
        cores: Most cores it computes on, as configured; 0 for all.
        options: Every option of its engine with the value that it has here, defaults included.
        choices: Of options that are chosen from texts, those texts.
        highest: Of options that are numbers, the greatest that is allowed.
        context_length: Most tokens of a session, as the engine will take it; 0 where not known.
        fixed_bytes: Memory of weights and buffers; 0 where not known.
        cell_bytes: Memory of each KV token.
        file_bytes: Its size on the disk; 0 where it has no file.
        bits: Bits of each weight; 0 where it cannot be made into another type.
    """

    id: str
    cores: int
    options: Mapping[str, Any]
    choices: Mapping[str, tuple[str, ...]]
    highest: Mapping[str, float]
    context_length: int = 0
    fixed_bytes: float = 0.0
    cell_bytes: float = 0.0
    file_bytes: int = 0
    bits: float = 0.0

    def cells(self) -> int:
        """KV tokens of all sessions together."""
        return int(self.options.get("cells", 0)) or self.context_length

    def memory_bytes(self, cells: int, weights: float = 1.0) -> float:
        """What it takes where it is served with so many cells and a share of its weights."""
        return weights * self.fixed_bytes + cells * self.cell_bytes + _WORKER_BYTES


@dataclass(frozen=True, slots=True)
class Workload:
    """The work whose time or energy counts.

    Attributes:
        concurrency: Answers at once; each number is measured by itself.
        prompt_tokens: Length of each prompt, roughly.
        answer_tokens: Most tokens of each answer.
    """

    concurrency: tuple[int, ...]
    prompt_tokens: int
    answer_tokens: int


@dataclass(frozen=True, slots=True)
class TunedCase:
    """One plan under one load.

    Attributes:
        plan: What is asked; drafts and the like as the configuration has them.
        concurrency: Answers at once.
    """

    plan: BenchPlan
    concurrency: int

    @property
    def name(self) -> str:
        """What records and tables call it."""
        return f"{self.plan.name}, {self.concurrency} at once"


@dataclass(frozen=True, slots=True)
class Subject:
    """What is tuned.

    Attributes:
        models: Those that the plans name.
        plans: Whose answers are measured.
        workload: How they are asked.
        machine_cores: Cores that this process may use.
        pin_cores: As configured; None where this machine deals out no cores anyway.
        available_bytes: Memory that servers may take.
        other_answers: Whether settings that change answers are tried too.
        one_server: Whether no two servers can be loaded at the same time, whatever memory there is.
    """

    models: tuple[TunedModel, ...]
    plans: tuple[BenchPlan, ...]
    workload: Workload
    machine_cores: int
    pin_cores: bool | None
    available_bytes: float
    other_answers: bool = False
    one_server: bool = False

    def cases(self) -> tuple[TunedCase, ...]:
        """Everything that is measured of a variant, the plans in turn."""
        return tuple(
            TunedCase(plan, streams) for streams in self.workload.concurrency for plan in self.plans
        )
