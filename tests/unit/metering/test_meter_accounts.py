from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.metering.meter import Job, Meter
from quorate.metering.rapl import find_rapl
from quorate.request import EnergyTier
from quorate.request.work import Work
from support.metered_machine import Machine, gpu
from support.powercap_tree import RANGE_MICROJOULES, PowercapTree
from support.simulated_counters import SimulatedCounter


def test_eight_interleaved_requests_add_up_to_what_recorded_counters_rose_by(
    tmp_path: Path,
) -> None:
    tree, draw = PowercapTree(tmp_path), random.Random(7)
    tree.add("intel-rapl:0", "package-0", RANGE_MICROJOULES - 20_000_000)
    tree.add("intel-rapl:0:0", "dram", 3_000_000)
    now, spent = 0.0, {"intel-rapl:0": 0.0, "intel-rapl:0:0": 0.0}
    cpu = {"": 0.0, "a": 0.0, "b": 0.0}
    meter = Meter(find_rapl(tree.root).counters, lambda: dict(cpu), clock=lambda: now)
    running: list[tuple[Job, dict[str, Work]]] = []
    told, idle, finished = 0.0, 0.0, 0
    for _ in range(400):
        now += draw.uniform(0.001, 1.0)
        for zone, most in (("intel-rapl:0", 60.0), ("intel-rapl:0:0", 6.0)):
            joules = round(draw.uniform(0.1, most), 6)
            tree.spend(zone, joules)
            spent[zone] += joules
        for model in cpu:
            cpu[model] += draw.uniform(0.0, 1.0)
        for _, work in running:
            model = draw.choice("ab")
            more = Work(draw.randrange(50), draw.randrange(5), draw.randrange(900))
            work[model] = work.get(model, Work()) + more
        if len(running) < 8 and draw.random() < 0.5:
            fresh: dict[str, Work] = {}
            running.append((meter.begin(lambda work=fresh: work), fresh))
        elif running and draw.random() < 0.4:
            job, _ = running.pop(draw.randrange(len(running)))
            energies = meter.finish(job)
            assert all(energy.tier is EnergyTier.MEASURED for energy in energies.values())
            told += sum(energy.joules or 0.0 for energy in energies.values())
            idle += job.idle_joules or 0.0
            finished += 1
        else:
            meter.tick()
    for job, _ in running:
        told += sum(energy.joules or 0.0 for energy in meter.finish(job).values())
        idle += job.idle_joules or 0.0
    totals = meter.totals()
    assert finished > 50
    assert spent["intel-rapl:0"] > 20.0
    assert {name: domain.counter_joules for name, domain in totals.items()} == {
        "package-0": pytest.approx(spent["intel-rapl:0"]),
        "package-0-dram": pytest.approx(spent["intel-rapl:0:0"]),
    }
    assert told == pytest.approx(sum(domain.request_joules for domain in totals.values()))
    assert idle <= sum(domain.idle_joules for domain in totals.values())
    rest = sum(domain.idle_joules + domain.unattributed_joules for domain in totals.values())
    assert told + rest == pytest.approx(sum(spent.values()))


steps = st.lists(
    st.tuples(
        st.sampled_from(["begin", "finish", "tick", "lose", "find"]),
        st.floats(0, 10),
        st.floats(0, 1000) | st.just(0.0),
        st.integers(0, 5),
    ),
    max_size=40,
)


@given(steps)
def test_whatever_happens_the_accounts_balance(steps: list[tuple[str, float, float, int]]) -> None:
    machine = Machine([SimulatedCounter(), gpu()], gpu_models={"a"})
    running: list[tuple[Job, dict[str, Work]]] = []
    register, told = 0.0, 0.0
    for what, seconds, joules, decoded in steps:
        machine.now += seconds
        register += joules
        machine.counters[0].joules = register
        for index, (_, work) in enumerate(running):
            model = "ab"[index % 2]
            work[model] = work.get(model, Work()) + Work(decode=decoded)
        if what == "lose":
            machine.counters[1].joules = None
        elif what == "find":
            machine.counters[1].joules = register
        if what == "begin":
            running.append(machine.begin())
        elif what == "finish" and running:
            energies = machine.meter.finish(running.pop(0)[0]).values()
            told += sum(energy.joules or 0.0 for energy in energies)
            assert all((e.joules is None) == (e.tier is EnergyTier.UNAVAILABLE) for e in energies)
        else:
            machine.meter.tick()
        machine.balance()
    # A request that has just begun may have ended no window.
    machine.meter.tick()
    totals = machine.meter.totals()
    assert totals["package-0"].counter_joules == pytest.approx(register)
    assert told <= sum(domain.request_joules for domain in totals.values()) + 1e-6
