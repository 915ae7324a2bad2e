"""What of a sweep fits this machine's memory and the time that it may take. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quorate_bench.cases import Case, Setting, cases_of
from quorate_bench.machine import MachineFacts
from quorate_bench.quantisations import BITS
from quorate_bench.sweep import BenchPlan, Sweep

# What a worker and its encoder take beside the weights, and what the machine keeps for others.
_WORKER_BYTES = 200e6
_RESERVE = 0.1
# A token of a prompt is one of many that share a reading of the weights.
_PROMPT_SHARE = 0.12
# A further answer in a batch adds its own arithmetic to the reading that all share.
_STREAM_SHARE = 0.35
_TOKEN_SECONDS = 1e-3
# Tokens of the texts by which plans are judged, roughly.
_OUR_TEXT = 300
_LONGEST_TEXT = 300_000
_USUAL_CONTEXT = 4096
_LOAD_SECONDS = 3.0
_LOADED_BYTES_PER_SECOND = 1e9


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What decides how large and how slow a model is.

    Attributes:
        parameters: Their number; 0 where its file does not tell.
        file_bytes: As it is.
        memory_bytes: Weights and KV cache for one session of the base context.
        context_length: Longest it was trained for, in tokens; 0 where its file does not tell.
    """

    parameters: int
    file_bytes: int
    memory_bytes: int
    context_length: int

    def context(self, wanted: int) -> int:
        """The context that it is served with where so much is wanted; 0 is as its engine likes."""
        return min(wanted, self.context_length) if self.context_length else wanted

    def weight_bytes(self, quantisation: str) -> float:
        """What is read for each token, roughly."""
        if not quantisation or not self.parameters:
            return float(self.file_bytes)
        return self.parameters * BITS[quantisation] / 8


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A case that is not measured, and why."""

    case: Case
    reason: str


@dataclass(frozen=True, slots=True)
class Planned:
    """What will be measured, the most telling first, and what will not."""

    cases: tuple[Case, ...]
    left_out: tuple[LeftOut, ...]
    seconds: float


def planned(
    sweep: Sweep,
    machine: MachineFacts,
    models: Mapping[str, ModelFacts],
    available_bytes: int,
) -> Planned:
    """Chooses what fits.

    Args:
        sweep: What shall be measured.
        machine: This one.
        models: By the names of the sweep.
        available_bytes: Memory that can be taken.
    """
    plans = {plan.name: plan for plan in sweep.plans}
    kept: list[Case] = []
    left_out: list[LeftOut] = []
    seconds = 0.0
    allowed = 60 * sweep.measure.minutes
    loaded: set[Setting] = set()
    judged: set[tuple[str, str]] = set()
    for case in cases_of(sweep, machine.cores):
        if reason := _no_room(case, models, available_bytes):
            left_out.append(LeftOut(case, reason))
            continue
        cost = sweep.measure.repetitions * case_seconds(case, plans[case.plan], models, machine)
        if case.setting not in loaded:
            cost += _load_seconds(case.setting, models)
        answers = case.plan, case.setting.quantisation
        if answers not in judged:
            cost += _judging_seconds(plans[case.plan], sweep, answers[1], models, machine)
        if seconds + cost > allowed:
            left_out.append(LeftOut(case, f"no time: {allowed:.0f} s are allowed"))
            continue
        seconds += cost
        loaded.add(case.setting)
        judged.add(answers)
        kept.append(case)
    return Planned(tuple(kept), tuple(left_out), seconds)


def case_seconds(
    case: Case, plan: BenchPlan, models: Mapping[str, ModelFacts], machine: MachineFacts
) -> float:
    """What one repetition takes, by the bytes that have to be read; within a factor of two or so.

    How far off it is shows with the first cases, by which a run corrects what is left.
    """
    share = case.setting.cores / machine.cores
    step = _step_seconds(plan, case.setting.quantisation, models, machine) / max(share, 1e-3)
    streams = 1 + _STREAM_SHARE * (case.concurrency - 1)
    prompt = step * _PROMPT_SHARE * case.prompt_tokens * case.concurrency
    return prompt + case.answer_tokens * (step * streams + _TOKEN_SECONDS * case.concurrency)


def _step_seconds(
    plan: BenchPlan, quantisation: str, models: Mapping[str, ModelFacts], machine: MachineFacts
) -> float:
    """A step on all cores."""
    weights = sum(models[model].weight_bytes(quantisation) for model in plan.models)
    return weights / machine.read_bytes_per_second


def _judging_seconds(
    plan: BenchPlan,
    sweep: Sweep,
    quantisation: str,
    models: Mapping[str, ModelFacts],
    machine: MachineFacts,
) -> float:
    """What it takes to find out how good a plan is: a text that is read, questions answered."""
    step = _step_seconds(plan, quantisation, models, machine)
    quality = sweep.quality
    context = sweep.axes.context_length[0] or _USUAL_CONTEXT
    text = min(context, _LONGEST_TEXT) if quality.text else min(context, _OUR_TEXT)
    asked = quality.limit * quality.max_tokens if quality.questions else 0
    return step * (_PROMPT_SHARE * text + asked)


def _load_seconds(setting: Setting, models: Mapping[str, ModelFacts]) -> float:
    weights = sum(model.weight_bytes(setting.quantisation) for model in models.values())
    return _LOAD_SECONDS + weights / _LOADED_BYTES_PER_SECOND


def _no_room(case: Case, models: Mapping[str, ModelFacts], available_bytes: int) -> str:
    """Why the models of a setting do not fit together; "" where they do."""
    needed = sum(_needed(model, case.setting) for model in models.values())
    if needed <= available_bytes * (1 - _RESERVE):
        return ""
    return f"no memory: its models take {needed / 1e9:.1f} GB of {available_bytes / 1e9:.1f}"


def _needed(model: ModelFacts, setting: Setting) -> float:
    cache = max(0, model.memory_bytes - model.file_bytes)
    return model.weight_bytes(setting.quantisation) + cache + _WORKER_BYTES


def remaining_seconds(
    left: Sequence[Case],
    plans: Mapping[str, BenchPlan],
    models: Mapping[str, ModelFacts],
    machine: MachineFacts,
    factor: float,
) -> float:
    """What the given repetitions will take, by what those before took of their estimates."""
    return factor * sum(case_seconds(case, plans[case.plan], models, machine) for case in left)
