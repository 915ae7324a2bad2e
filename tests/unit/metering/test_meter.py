from __future__ import annotations

import pytest

from quorate.metering.meter import Meter
from quorate.request import Energy, EnergyTier
from quorate.request.work import Work
from support.metered_machine import Machine, estimate, gpu
from support.simulated_counters import SimulatedCounter


def test_a_request_alone_gets_what_was_spent_while_it_ran() -> None:
    machine = Machine([SimulatedCounter()])
    machine.pass_time(1.0, 5.0)
    job, energies = machine.answer(2.0, 60.0, a=Work(prefill=7, decode=3))
    assert energies == {"a": Energy(pytest.approx(50.0), EnergyTier.MEASURED)}
    assert job.idle_joules == pytest.approx(10.0)
    totals = machine.meter.totals()["package-0"]
    assert (totals.request_joules, totals.idle_joules) == (pytest.approx(50.0), pytest.approx(15.0))
    assert totals.counter_joules == 65.0


def test_requests_together_share_by_their_work_and_pay_the_idle_machine_by_their_time() -> None:
    machine = Machine([SimulatedCounter()], idle_watts=10.0)
    first, first_work = machine.begin()
    machine.pass_time(1.0, 40.0)
    first_work["a"] = Work(decode=1)
    second, second_work = machine.begin()
    machine.pass_time(1.0, 50.0)
    first_work["a"] = Work(decode=2)
    second_work["a"] = Work(decode=3)
    assert machine.meter.finish(second)["a"].joules == pytest.approx(30.0)
    assert machine.meter.finish(first)["a"].joules == pytest.approx(40.0)
    assert (first.idle_joules, second.idle_joules) == (pytest.approx(15.0), pytest.approx(5.0))
    machine.balance()


def test_the_work_is_asked_at_the_ends_of_windows_only() -> None:
    machine = Machine([SimulatedCounter()])
    asked = []
    job = machine.meter.begin(lambda: asked.append(machine.now) or {"a": Work(decode=1)})
    assert asked == []
    machine.pass_time(1.0, 1.0)
    machine.meter.tick()
    machine.pass_time(1.0, 1.0)
    machine.meter.finish(job)
    machine.meter.tick()
    assert asked == [101.0, 102.0]


def test_configured_idle_power_is_divided_among_domains_as_their_energy() -> None:
    machine = Machine([SimulatedCounter(), SimulatedCounter("dram-0")], idle_watts=20.0)
    machine.pass_time(1.0, 30.0, 10.0)
    job, energies = machine.answer(1.0, 60.0, 15.0, a=Work(decode=1))
    assert energies["a"].joules == pytest.approx(45.0 + 10.0)
    assert job.idle_joules == pytest.approx(20.0)


def test_an_estimate_has_no_idle_part_and_says_that_it_is_one() -> None:
    machine = Machine([estimate()], idle_watts=20.0)
    machine.pass_time(1.0, 3.0)
    job, energies = machine.answer(1.0, 8.0, a=Work(decode=1))
    assert energies == {"a": Energy(8.0, EnergyTier.ESTIMATED)}
    assert job.idle_joules is None


def test_the_estimate_of_a_model_is_its_own_cpu_time() -> None:
    machine = Machine([estimate()], cpu_seconds={"": 0.0, "a": 0.0, "b": 0.0})
    job, work = machine.begin()
    machine.cpu_seconds = {"": 0.0, "a": 3.0, "b": 1.0}
    machine.pass_time(1.0, 5.0 * 4.0)
    work["a"], work["b"] = Work(decode=1), Work(decode=1)
    energies = machine.meter.finish(job)
    assert [energies[model].joules for model in "ab"] == [pytest.approx(15.0), pytest.approx(5.0)]


def test_the_lowest_tier_of_what_contributed_is_told() -> None:
    machine = Machine([estimate(), gpu()])
    _, energies = machine.answer(1.0, 5.0, 70.0, a=Work(decode=1))
    assert energies == {"a": Energy(75.0, EnergyTier.ESTIMATED)}


def test_a_gpu_is_spent_by_the_models_on_it_alone() -> None:
    machine = Machine([SimulatedCounter(), gpu()], gpu_models={"g"})
    _, energies = machine.answer(1.0, 30.0, 70.0, c=Work(decode=2), g=Work(decode=1))
    assert energies["c"].joules == pytest.approx(20.0)
    assert energies["g"].joules == pytest.approx(10.0 + 70.0)


def test_a_counter_that_did_not_move_leaves_the_window_open() -> None:
    machine = Machine([gpu()])
    job, work = machine.begin()
    machine.pass_time(0.1, 0.0)
    work["a"] = Work(decode=4)
    machine.meter.tick()
    machine.pass_time(0.1, 20.0)
    machine.meter.tick()
    machine.pass_time(0.1, 0.0)
    assert machine.meter.finish(job) == {"a": Energy(20.0, EnergyTier.MEASURED)}
    machine.balance()


def test_a_request_that_ends_before_the_counter_moves_has_no_figure_and_never_zero() -> None:
    machine = Machine([gpu()])
    short, short_work = machine.begin()
    other, other_work = machine.begin()
    machine.pass_time(0.05, 0.0)
    short_work["a"] = Work(decode=3)
    assert machine.meter.finish(short) == {"a": Energy(None, EnergyTier.UNAVAILABLE)}
    machine.pass_time(0.05, 40.0)
    other_work["a"] = Work(decode=1)
    assert machine.meter.finish(other)["a"].joules == pytest.approx(10.0)
    assert machine.meter.totals()["gpu-0"].unattributed_joules == pytest.approx(30.0)
    machine.balance()


def test_work_that_waits_for_its_first_joules_makes_a_figure_unavailable() -> None:
    machine = Machine([gpu()])
    job, work = machine.begin()
    machine.pass_time(0.1, 20.0)
    work["a"] = Work(decode=1)
    machine.meter.tick()
    machine.pass_time(0.05, 0.0)
    work["b"] = Work(decode=1)
    energies = machine.meter.finish(job)
    assert energies == {"a": Energy(20.0, EnergyTier.MEASURED), "b": Energy()}


def test_a_gpu_that_has_yet_to_move_is_not_left_out_of_the_sum() -> None:
    machine = Machine([SimulatedCounter(), gpu()])
    _, energies = machine.answer(0.05, 3.0, 0.0, a=Work(decode=1))
    assert energies == {"a": Energy()}


def test_requests_that_begin_one_after_the_other_share_a_window() -> None:
    machine = Machine([SimulatedCounter()], idle_watts=100.0)
    first, of_first = machine.begin()
    machine.pass_time(0.01, 5.0)
    of_first["a"] = Work(decode=1)
    second, of_second = machine.begin()
    machine.pass_time(0.01, 5.0)
    of_first["a"] = Work(decode=2)
    of_second["a"] = Work(decode=2)
    energies = [machine.meter.finish(job)["a"].joules for job in (first, second)]
    # Eight by work, of which each did half, and two by the time that each was there.
    assert energies == [pytest.approx(4.0), pytest.approx(4.0)]
    assert (first.idle_joules, second.idle_joules) == (pytest.approx(4 / 3), pytest.approx(2 / 3))
    machine.balance()


def test_what_was_spent_before_the_first_reading_is_nobodys() -> None:
    machine = Machine([SimulatedCounter(joules=None)])
    machine.meter.tick()
    machine.counters[0].joules = 500.0
    _, energies = machine.answer(1.0, 20.0, a=Work(decode=1))
    assert energies == {"a": Energy(20.0, EnergyTier.MEASURED)}
    assert machine.meter.totals()["package-0"].counter_joules == 20.0


def test_a_domain_that_is_lost_breaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine([SimulatedCounter(), gpu()])
    during, during_work = machine.begin()
    machine.pass_time(1.0, 10.0, 70.0)
    during_work["a"] = Work(decode=1)
    machine.meter.tick()
    machine.counters[1].joules = None
    machine.now += 1.0
    machine.counters[0].spend(10.0)
    during_work["a"] = Work(decode=2)
    machine.meter.tick()
    assert [record.getMessage() for record in caplog.records] == [
        "energy counter gpu-0 cannot be read any more"
    ]
    assert machine.meter.finish(during) == {"a": Energy()}
    after, after_work = machine.begin()
    machine.now += 1.0
    machine.counters[0].spend(10.0)
    after_work["a"] = Work(decode=1)
    assert machine.meter.finish(after) == {"a": Energy(10.0, EnergyTier.MEASURED)}
    machine.balance()


def test_a_domain_that_comes_back_is_paid_by_the_work_meanwhile() -> None:
    machine = Machine([SimulatedCounter()])
    job, work = machine.begin()
    machine.counters[0].joules = None
    machine.now += 1.0
    work["a"] = Work(decode=1)
    machine.meter.tick()
    machine.counters[0].joules = 30.0
    machine.now += 1.0
    assert machine.meter.finish(job) == {"a": Energy(30.0, EnergyTier.MEASURED)}


def test_without_a_domain_that_could_be_read_energy_is_unavailable() -> None:
    machine = Machine([SimulatedCounter(joules=None)])
    job, work = machine.begin()
    machine.now += 1.0
    work["a"] = Work(decode=1)
    assert machine.meter.finish(job) == {"a": Energy(None, EnergyTier.UNAVAILABLE)}
    assert job.idle_joules is None


def test_a_request_that_used_no_model_has_no_energy_of_its_own() -> None:
    machine = Machine([SimulatedCounter()])
    assert machine.answer(1.0, 10.0)[1] == {}
    assert machine.meter.totals()["package-0"].unattributed_joules == 10.0


def test_the_absent_meter_names_the_models_and_knows_nothing() -> None:
    meter = Meter()
    job = meter.begin(lambda: {"a": Work(decode=1), "b": Work()})
    meter.tick()
    assert meter.finish(job) == {"a": Energy(), "b": Energy()}
    assert job.idle_joules is None
    assert meter.totals() == {}
