from __future__ import annotations

import asyncio
import logging
import os
import time
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from quorate.app.accounts import Identities, open_recorder, work_costs
from quorate.costs.cost_model import CostModels, FinishedRun
from quorate.costs.prediction import RunShape
from quorate.dispatch import AttemptRecorder
from quorate.errors import BudgetSpent, SettingsError
from quorate.fleet.fleet import Fleet
from quorate.ledger.charges import Charge, ModelCharge
from quorate.metering.open_meter import Host
from quorate.request import EnergyTier
from quorate.settings import Settings, parse_settings
from support.charges import bare_charge, reservation
from support.managed_engines import Cast
from support.powercap_tree import PowercapTree

TWO_MODELS = [{"id": "a", "engine": "scripted"}, {"id": "b", "engine": "scripted"}]
RUN = FinishedRun(RunShape(10, 20), 100.0, 20.0, 2.0, EnergyTier.ESTIMATED)
REMOTE = {"base_url": "http://127.0.0.1:9/v1", "model": "big"}


def settings(folder: Path, **sections: Any) -> Settings:
    return parse_settings({"models": TWO_MODELS, **sections}, folder)


def fleet() -> Fleet:
    return Fleet(Cast().start, (0, 1))


def spent(name: str, joules: float, usd: str, finished_at: float) -> Charge:
    whole = {"joules": joules, "tier": EnergyTier.ESTIMATED, "usd": Decimal(usd)}
    part = ModelCharge("a", **whole)
    return bare_charge(attempt_id=name, finished_at=finished_at, **whole, models=(part,))


async def settle(recorder: AttemptRecorder, *charges: Charge) -> None:
    assert recorder.ledger is not None
    for charge in charges:
        await recorder.ledger.settle(charge)


async def test_the_ledger_and_what_was_learned_are_kept_at_home(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    async with open_recorder(chosen, fleet(), tmp_path) as (recorder, _):
        recorder.costs.observe("single:a", RUN)
        recorder.costs.observe("single:gone", RUN)
    assert (tmp_path / "ledger.sqlite3").exists()
    async with open_recorder(chosen, fleet(), tmp_path) as (recorder, _):
        assert set(recorder.costs.snapshot()) == {"single:a"}
        assert recorder.costs.snapshot()["single:a"].run.samples == 1


async def test_what_was_learned_of_another_model_of_the_name_is_not_believed(
    tmp_path: Path,
) -> None:
    async with open_recorder(settings(tmp_path), fleet(), tmp_path) as (recorder, _):
        for key in ("single:a", "single:b", "ensemble:a+b:same_vocabulary:static"):
            recorder.costs.observe(key, RUN)
    other = settings(tmp_path, models=[{**TWO_MODELS[0], "options": {"seed": 3}}, TWO_MODELS[1]])
    async with open_recorder(other, fleet(), tmp_path) as (recorder, _):
        assert set(recorder.costs.snapshot()) == {"single:b"}


async def test_windows_go_on_where_they_were(tmp_path: Path) -> None:
    now = time.time()
    chosen = settings(tmp_path, budgets={"joules_per_hour": 100.0, "usd_per_day": 1.0})
    async with open_recorder(chosen, fleet(), tmp_path) as (recorder, _):
        await settle(
            recorder,
            spent("now", 70.0, "0.25", now),
            spent("two hours ago", 50.0, "0.5", now - 7200),
            spent("days ago", 1000.0, "100", now - 200_000),
        )
    async with open_recorder(chosen, fleet(), tmp_path) as (recorder, _):
        joules, usd = recorder.budgets.status("")
        with pytest.raises(BudgetSpent):
            recorder.budgets.hold("", 31.0, None)
        recorder.budgets.hold("", 30.0, Decimal("0.25"))
    assert (joules.name, joules.spent) == ("joules per hour", 70.0)
    assert (usd.name, usd.spent) == ("usd per day", 0.75)


async def test_what_a_dead_server_left_is_told_of_and_counts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    chosen = settings(tmp_path, budgets={"usd_per_day": 1.0})
    reserved = reservation(reserved_usd=Decimal("0.125"))
    async with open_recorder(chosen, fleet(), tmp_path) as (recorder, _):
        assert recorder.ledger is not None
        await recorder.ledger.reserve(reserved)
    assert caplog.messages == []
    async with open_recorder(chosen, fleet(), tmp_path) as (recorder, _):
        (window,) = recorder.budgets.status("")
        assert recorder.ledger is not None
        ((row,), _) = await recorder.ledger.list_charges()
    assert caplog.messages == ["1 attempts were under way when the last server died"]
    assert (row.outcome, row.usd) == ("lost", Decimal("0.125"))
    assert (window.spent, window.held) == (0.125, 0.0)


async def test_two_services_cannot_keep_one_ledger(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    async with open_recorder(chosen, fleet(), tmp_path):
        with pytest.raises(SettingsError, match=r"ledger\.sqlite3") as refusal:
            async with open_recorder(chosen, fleet(), tmp_path):
                pytest.fail("the ledger was opened twice")
    assert "\n" not in refusal.value.message
    async with open_recorder(chosen, fleet(), tmp_path):
        pass


async def test_a_ledger_that_is_off_leaves_no_file(tmp_path: Path) -> None:
    chosen = settings(tmp_path, ledger={"path": "off"})
    async with open_recorder(chosen, fleet(), tmp_path) as (recorder, _):
        await settle(recorder, spent("x", 1.0, "0", 1.0))
    assert list(tmp_path.rglob("*.sqlite3*")) == []


async def test_a_ledger_may_be_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    chosen = settings(tmp_path / "kept", ledger={"path": "own.db"})
    async with open_recorder(chosen, fleet(), tmp_path):
        assert (tmp_path / "kept" / "own.db").exists()


async def test_charges_of_long_ago_become_sums_of_their_days(tmp_path: Path) -> None:
    chosen = settings(tmp_path, ledger={"keep_days": 2})
    async with open_recorder(chosen, fleet(), tmp_path) as (recorder, _):
        await settle(recorder, spent("old", 1.0, "0", 1_700_000_000.0))
    async with open_recorder(chosen, fleet(), tmp_path) as (recorder, _):
        assert recorder.ledger is not None
        async with asyncio.timeout(30):
            while (await recorder.ledger.list_charges())[0]:
                await asyncio.sleep(0)
        (row,) = await recorder.ledger.summarize([], None, None)
    assert (row.attempts, row.joules) == (1, 1.0)


@pytest.mark.parametrize(
    ("energy", "note"),
    [
        ({"source": "off"}, "energy is not metered: energy.source is off"),
        ({"source": "rapl"}, "energy measured: "),
    ],
)
async def test_what_the_energy_rests_on_is_told(
    tmp_path: Path, energy: dict[str, Any], note: str
) -> None:
    tree = PowercapTree(tmp_path / "powercap")
    tree.add("intel-rapl:0", "package-0")
    chosen = settings(tmp_path, energy=energy)
    async with open_recorder(chosen, fleet(), tmp_path, Host(powercap=tree.root)) as (_, notes):
        assert any(line.startswith(note) for line in notes)


async def test_counters_are_read_though_nobody_asks_for_anything(tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path / "powercap")
    tree.add("intel-rapl:0", "package-0")
    chosen = settings(tmp_path, energy={"source": "rapl", "window_seconds": 0.1})
    async with open_recorder(chosen, fleet(), tmp_path, Host(powercap=tree.root)) as (recorder, _):
        tree.spend("intel-rapl:0", 5.0)
        async with asyncio.timeout(30):
            while not (totals := next(iter(recorder.meter.totals().values()))).counter_joules:
                await asyncio.sleep(0.01)
    assert totals.counter_joules == pytest.approx(5.0)
    assert totals.idle_joules == pytest.approx(5.0)


async def test_a_source_that_is_not_there_ends_the_start(tmp_path: Path) -> None:
    chosen = settings(tmp_path, energy={"source": "rapl"})
    nowhere = Host(powercap=tmp_path / "none")
    with pytest.raises(SettingsError, match=r"^energy\.source: rapl: "):
        async with open_recorder(chosen, fleet(), tmp_path, nowhere):
            pytest.fail("the recorder were opened")


def test_an_identity_changes_with_whatever_makes_a_plan_faster_or_slower(tmp_path: Path) -> None:
    keys = ("single:a", "ensemble:a+b:byte_exact:static", "remote:far")
    base = settings(tmp_path, remotes={"far": REMOTE})
    first, second = base.models
    known = [Identities(base).of(key) for key in keys]
    assert len({*known}) == 3
    assert None not in known
    for changed in (
        replace(first, options={"seed": 1}),
        replace(first, engine="other"),
        replace(first, cores=4),
    ):
        other = Identities(replace(base, models=(changed, second)))
        assert other.of(keys[0]) != known[0]
        assert other.of(keys[1]) != known[1]
        assert other.of(keys[2]) == known[2]
    beside = replace(base, models=(first, second, replace(second, id="c", load=True)))
    assert [Identities(beside).of(key) for key in keys] == known
    elsewhere = settings(tmp_path, remotes={"far": {**REMOTE, "model": "bigger"}})
    assert Identities(elsewhere).of("remote:far") != known[2]


def test_the_size_of_a_models_file_is_a_part_of_its_identity(tmp_path: Path) -> None:
    path = tmp_path / "own.gguf"
    chosen = settings(tmp_path, models=[{"id": "a", "model": str(path)}])
    seen = [Identities(chosen).of("single:a")]
    for data in (b"x", b"xy"):
        path.write_bytes(data)
        seen.append(Identities(chosen).of("single:a"))
    assert len(set(seen)) == 3


def test_the_files_of_a_checkpoint_are_a_part_of_its_identity(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    chosen = settings(tmp_path, models=[{"id": "a", "model": f"{folder}/"}])
    seen = [Identities(chosen).of("single:a")]

    def look() -> None:
        assert Identities(chosen).of("single:a") == Identities(chosen).of("single:a")
        seen.append(Identities(chosen).of("single:a"))

    folder.mkdir()
    weights = folder / "model.safetensors"
    weights.write_bytes(b"x")
    look()
    weights.write_bytes(b"xy")
    look()
    # Another quantisation may take as many bytes.
    os.utime(weights, ns=(1, 1))
    look()
    (folder / "config.json").write_text("{}")
    os.utime(folder / "config.json", ns=(1, 1))
    look()
    weights.rename(folder / "other.safetensors")
    look()
    assert len(set(seen)) == 6


@pytest.mark.parametrize("key", ["single:c", "ensemble:a+c:same_vocabulary:static", "remote:far"])
def test_what_is_not_configured_has_no_identity(tmp_path: Path, key: str) -> None:
    assert Identities(settings(tmp_path)).of(key) is None


@dataclass
class Processes:
    """All that ``work_costs`` asks of a fleet."""

    models: tuple[str, ...]

    def process_ids(self) -> dict[str, int]:
        return dict.fromkeys(self.models, 1)


def test_work_has_costs_once_all_that_is_loaded_is_known() -> None:
    loaded = cast(Fleet, Processes(("a", "b")))
    costs = CostModels()
    assert work_costs(costs, loaded) == {}
    costs.observe("single:a", RUN)
    costs.observe("ensemble:a+b:same_vocabulary:static", RUN)
    # Costs of one model and a guess about the other have no unit in common.
    assert work_costs(costs, loaded) == {}
    costs.observe("single:b", RUN)
    by_model = work_costs(costs, loaded)
    assert set(by_model) == {"a", "b"}
    assert all(one.decode > 0 for one in by_model.values())
    assert set(work_costs(costs, cast(Fleet, Processes(("a",))))) == {"a"}
