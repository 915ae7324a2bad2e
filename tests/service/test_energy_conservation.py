"""No joule is lost and none is told twice, over the whole service with its worker processes.

This machine's own energy is an estimate from CPU time where it has no counters; the counters of the
last test are simulated, and said to be.
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from quorate.app.service import Service
from quorate.client import Client
from quorate.metering.open_meter import Host
from quorate.v1 import accounting_pb2, inference_pb2
from support.gguf_files import smollm2
from support.ledgers import charges_once
from support.powercap_tree import RANGE_MICROJOULES, PowercapTree
from support.streams import Stream, answer, joules_of
from support.whole_service import gguf, scripted, whole_service

SAY = "the quick brown fox jumps over the lazy dog and runs away " * 4
WITHIN = 0.01
MICROJOULE = 1e-6
POWER_WATTS = {"intel-rapl:0": 50.0, "intel-rapl:0:0": 40.0, "intel-rapl:0:2": 10.0}


@dataclass
class Spent:
    """What a service told of its energy after some requests.

    Attributes:
        told: Joules in the answers that clients heard to their end.
        untold: Joules of requests that nobody heard the end of, from the ledger.
        machine: The machine's own account.
    """

    told: float
    untold: float
    machine: accounting_pb2.MachineEnergy

    @property
    def error(self) -> float:
        """What is missing or too much, relative to the counter."""
        machine = self.machine
        parts = self.told + self.untold + machine.idle_joules + machine.unattributed_joules
        return abs(parts - machine.counter_joules) / machine.counter_joules


def requests(models: list[str]) -> list[dict[str, Any]]:
    """Seven of different plans and lengths; the test adds one that is cancelled."""
    one, two = models[0], models[-1]
    return [
        {"model": one, "max_tokens": 4},
        {"model": one, "max_tokens": 40},
        {"model": two, "max_tokens": 64},
        {"models": [one, two], "max_tokens": 16},
        {"models": [one, two], "max_tokens": 48, "rule": "geometric"},
        {"stages": [(one, 1.0), two], "max_tokens": 12},
        {"models": {one: 3.0, two: 1.0}, "max_tokens": 80},
    ]


async def spent_by_eight(service: Service, client: Client, models: list[str]) -> Spent:
    """Runs eight requests at once, one of which is left in the middle."""
    heard = [
        Stream(client, "Tell me " * (1 + 4 * n), seed=n, request_id=f"r{n}", **options)
        for n, options in enumerate(requests(models))
    ]
    left = Stream(client, "Tell me", model=models[0], max_tokens=200, request_id="left")
    await left.until(lambda stream: len(stream.events) > 5)
    await left.leave()
    for one in heard:
        await one.end()
    rows = await charges_once(client, lambda rows: len(rows) == 8)
    service.dispatcher.recorder.meter.tick()
    machine = (await client.spend()).machine
    by_id = {row.request_id: row for row in rows}
    assert by_id["left"].outcome == "cancelled"
    for one in heard:
        row = by_id[one.request_id]
        if all(model.energy.HasField("joules") for model in one.usage.models):
            bound = MICROJOULE * len(row.models)
            assert row.energy.joules == pytest.approx(joules_of(one.usage), abs=bound)
    return Spent(
        math.fsum(joules_of(one.usage) for one in heard), by_id["left"].energy.joules, machine
    )


def assert_conserved(spent: Spent) -> None:
    machine = spent.machine
    assert machine.counter_joules > 0
    assert spent.error < WITHIN, spent
    assert machine.request_joules > 0
    assert machine.request_joules == pytest.approx(spent.told + spent.untold, rel=WITHIN)


def sections(**energy: Any) -> dict[str, Any]:
    return {"routing": {"probe": False, "exploration": 0.0}, "energy": energy}


async def test_what_requests_and_idle_and_nobody_took_is_what_was_estimated(
    tmp_path: Path,
) -> None:
    models = [scripted("a", say=SAY, seed=1), scripted("b", say=SAY, seed=2)]
    given = sections(source="estimate", tdp_watts=20.0)
    async with whole_service(tmp_path, *models, sections=given) as (service, client):
        spent = await spent_by_eight(service, client, ["a", "b"])
    assert spent.machine.tier == inference_pb2.ENERGY_TIER_ESTIMATED
    assert_conserved(spent)


@pytest.mark.slow
@pytest.mark.demo_model
async def test_the_same_with_real_models_again_and_again(tmp_path: Path) -> None:
    models = [gguf(name, smollm2(), context_length=1024, sessions=8) for name in ("a", "b")]
    async with whole_service(tmp_path, *models, sections=sections()) as (service, client):
        spent = await spent_by_eight(service, client, ["a", "b"])
        assert_conserved(spent)
        # Nothing drifts: what comes after it adds up as well.
        more = [await answer(client, "Tell me", model="a", max_tokens=16) for _ in range(5)]
        service.dispatcher.recorder.meter.tick()
        later = (await client.spend()).machine
    told = spent.told + math.fsum(joules_of(one.usage) for one in more)
    assert_conserved(Spent(told, spent.untold, later))
    assert later.tier != inference_pb2.ENERGY_TIER_UNAVAILABLE


@pytest.mark.parametrize("tick_seconds", [0.002, 0.1], ids=["fine", "coarse"])
async def test_what_requests_and_idle_and_nobody_took_is_what_simulated_counters_counted(
    tmp_path: Path, tick_seconds: float
) -> None:
    tree = PowercapTree(tmp_path / "powercap")
    # The package is about to pass the end of its register.
    tree.add("intel-rapl:0", "package-0", RANGE_MICROJOULES - 1_000_000)
    tree.add("intel-rapl:0:0", "core")
    tree.add("intel-rapl:0:2", "dram")
    simulated = 0.0

    async def burn() -> None:
        nonlocal simulated
        before = time.monotonic()
        while True:
            now = time.monotonic()
            # The part named core is counted in the package as well.
            for zone, watts in POWER_WATTS.items():
                tree.spend(zone, watts * (now - before))
            simulated += (POWER_WATTS["intel-rapl:0"] + POWER_WATTS["intel-rapl:0:2"]) * (
                now - before
            )
            before = now
            await asyncio.sleep(tick_seconds)

    models = [scripted(name, say=SAY, step_delay_ms=4.0, seed=n) for n, name in enumerate("ab")]
    given = sections(source="rapl", idle_watts=2.0, window_seconds=0.1)
    async with whole_service(
        tmp_path, *models, sections=given, machine=Host(powercap=tree.root)
    ) as (service, client):
        burning = asyncio.create_task(burn())
        spent = await spent_by_eight(service, client, ["a", "b"])
        burning.cancel()
        await asyncio.gather(burning, return_exceptions=True)
        service.dispatcher.recorder.meter.tick()
        last = (await client.spend()).machine
    assert spent.machine.tier == inference_pb2.ENERGY_TIER_MEASURED
    assert spent.machine.idle_joules > 0
    assert simulated > 2.0
    assert last.counter_joules == pytest.approx(simulated, abs=1e-3)
    assert_conserved(spent)
    if tick_seconds > 0.01:
        # Answers that were over before the counter moved are nobody's any more.
        assert spent.machine.unattributed_joules > 0.0
