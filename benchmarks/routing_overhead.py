"""Time of one decision, with the state of the service taken anew for each."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from figures import Figure, figure, say

from quorate.costs.cost_model import FinishedRun
from quorate.costs.prediction import RunShape
from quorate.dispatch.admission_queue import AdmissionQueue
from quorate.dispatch.recorder import AttemptRecorder
from quorate.dispatch.router import Router
from quorate.fleet.fleet import Fleet
from quorate.fleet.status import ModelState, ModelStatus
from quorate.remotes.remote import Remote
from quorate.remotes.settings import RemoteSettings
from quorate.request import (
    AutoPlan,
    Budget,
    CascadePlan,
    EnergyTier,
    NamedPlan,
    Plan,
    Request,
    Stage,
    StoppingOptions,
    TextPrompt,
    WeightedModel,
)
from quorate.routing.settings import RoutingSettings

_MODELS = 20
_REMOTES = 3
_DECISIONS = 3000
_WARM_UP = 200


@dataclass(frozen=True)
class _StatusesOnly:
    """A fleet of which nothing is there but what it tells of its models."""

    statuses: Mapping[str, ModelStatus]

    def wedged(self, model: str) -> bool:
        """None is."""
        return False


def measure_overhead() -> list[Figure]:
    """Decides for one request over and over, and notes how long each decision took."""
    say(f"{_DECISIONS} decisions over {_MODELS} models")
    router = _router()
    request = Request(
        TextPrompt("What is the capital of France? " * 20),
        AutoPlan(),
        stopping=StoppingOptions(max_tokens=64),
        budget=Budget(latency_ms=5000.0, energy_joules=1000.0),
    )
    seconds = []
    for _ in range(_WARM_UP + _DECISIONS):
        started = time.perf_counter()
        decision = router.decide(request, 64)
        seconds.append(time.perf_counter() - started)
    measured = 1000 * np.asarray(seconds[_WARM_UP:])
    detail = f"{len(decision.route.candidates)} candidates, {_DECISIONS} decisions"
    return [
        figure("decision: median", float(np.median(measured)), "ms", detail),
        figure("decision: p99", float(np.percentile(measured, 99)), "ms", detail, at_most=1.0),
    ]


def _router() -> Router:
    statuses = {f"model-{i}": _status(f"model-{i}") for i in range(_MODELS)}
    profiles = _profiles()
    recorder = AttemptRecorder()
    for name in statuses:
        _teach(recorder, f"single:{name}")
    for plan in profiles.values():
        stages = plan.stages if isinstance(plan, CascadePlan) else ()
        for vote in [plan] if isinstance(plan, Plan) else [stage.plan for stage in stages]:
            members = "+".join(member.model for member in vote.members)
            _teach(recorder, f"ensemble:{members}:same_vocabulary:static")
    settings = RemoteSettings(
        base_url="http://127.0.0.1:9/v1",
        model="any",
        text_prompts=True,
        input_usd_per_mtok=1.0,
        output_usd_per_mtok=2.0,
    )
    remotes = {f"remote-{i}": Remote(f"remote-{i}", settings) for i in range(_REMOTES)}
    fleet = cast(Fleet, _StatusesOnly(statuses))
    queue = AdmissionQueue(64, 256)
    return Router(fleet, queue, recorder, RoutingSettings(), profiles, "", remotes)


def _profiles() -> dict[str, NamedPlan]:
    """Half of them ensembles of two or three, half cascades of two models."""
    plans: dict[str, NamedPlan] = {}
    for i in range(_MODELS // 2):
        members = tuple(WeightedModel(f"model-{(i + j) % _MODELS}") for j in range(2 + i % 2))
        plans[f"ensemble-{i}"] = Plan(members)
        stages = (Stage(Plan(members[:1]), 0.7), Stage(Plan(members)))
        plans[f"cascade-{i}"] = CascadePlan(stages)
    return plans


def _status(name: str) -> ModelStatus:
    return ModelStatus(
        name,
        ModelState.READY,
        "llama_cpp",
        context_length=4096,
        vocabulary_fingerprint="same",
        has_bytes=True,
        sessions=32,
    )


def _teach(recorder: AttemptRecorder, key: str) -> None:
    for i in range(30):
        shape = RunShape(20.0 + 7 * i, 8.0 + 3 * (i % 9), 1.0 + i % 3)
        run: dict[str, Any] = {"joules": 3.0 + i, "tier": EnergyTier.ESTIMATED}
        recorder.costs.observe(key, FinishedRun(shape, 100.0 + 20 * i, 30.0, **run))
