"""Four models, work that moves between them, and the threads and cores that it takes."""

from __future__ import annotations

import time

import pytest

from quorate.engines.spec import EngineSpec
from support.gguf_files import smollm2
from support.moving_work import (
    Threads,
    Work,
    cores_of_a_lone_request,
    fleet_of,
    usable_cores,
)

CORES = usable_cores()[:2]


def four_models() -> list[EngineSpec]:
    small = {"context_length": 256, "sessions": 4}
    toy = {"uses_cores": True, "sessions": 4, "vocabulary": "words"}
    return [
        EngineSpec("a", "llama_cpp", str(smollm2()), small),
        EngineSpec("b", "llama_cpp", str(smollm2()), small),
        EngineSpec("c", "scripted", "", toy | {"step_delay_ms": 3.0}),
        EngineSpec("d", "scripted", "", toy | {"step_delay_ms": 9.0}),
    ]


async def proven(seconds: float, rounds: int) -> tuple[Threads, Work]:
    """Runs work of so many seconds, in rounds, and looks at what must hold however slow it is."""
    specs = four_models()
    models = [spec.model for spec in specs]
    async with fleet_of(CORES, *specs) as fleet:
        pids = fleet.process_ids()
        work = Work(fleet, models, seed=rounds)
        began = time.monotonic()
        with Threads([pids["a"], pids["b"]], len(CORES)) as threads:
            while time.monotonic() - began < seconds:
                work.answered.clear()
                await work.go_on(seconds / rounds)
                # Nobody starves, neither a model nor a request.
                assert min(work.answered.get(model, 0) for model in models) > 0
                for model in models:
                    assert await cores_of_a_lone_request(fleet, model) == pytest.approx(len(CORES))
        assert fleet.process_ids() == pids
        assert threads.samples > 50
        return threads, work


@pytest.mark.demo_model
async def test_cores_follow_work_that_moves_between_models() -> None:
    await proven(seconds=8.0, rounds=2)


@pytest.mark.slow
@pytest.mark.demo_model
@pytest.mark.timeout(900)
async def test_cores_follow_work_that_moves_between_models_for_long() -> None:
    threads, work = await proven(seconds=300.0, rounds=30)
    assert work.slowest < 30.0
    # A machine that is busy with something else hands cores over late.
    assert threads.above <= 0.1 * threads.samples
    assert threads.longest_seconds < 0.1
