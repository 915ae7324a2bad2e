from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from quorate.engines.spec import EngineSpec
from quorate.engines.worker.statuses import WorkerPhase
from quorate.errors import DeadlinePassed, ModelUnusable, NotFound, SettingsError, Unavailable
from quorate.fleet.fleet import Fleet
from quorate.fleet.life_cycle import ModelSource
from quorate.fleet.status import ModelState
from support.managed_engines import (
    Cast,
    ManagedInProcess,
    broken_source,
    loaded_fleet,
    scripted_source,
)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def reaches(fleet: Fleet, model: str, state: ModelState) -> None:
    async with asyncio.timeout(5):
        async for status in fleet.watch():
            if status.id == model and status.state is state:
                return


async def test_a_loaded_model_tells_its_facts() -> None:
    options = {"context_length": 128, "sessions": 3}
    fleet = await loaded_fleet(Cast(), a=options, opaque={"vocabulary": "opaque"})
    status = fleet.get("a")
    assert status.state is ModelState.READY
    assert (status.has_bytes, fleet.get("opaque").has_bytes) == (True, False)
    assert (status.context_length, status.sessions, status.chat) == (128, 3, True)
    assert status.vocabulary_size > 0
    assert status.memory_bytes == 4096
    await fleet.close()


async def test_a_model_that_is_loaded_takes_no_core_from_another() -> None:
    cast = Cast()
    fleet = await loaded_fleet(cast, a={})
    assert cast.engines["a"].cores == (0, 1)
    fleet.add(scripted_source("b", cores=1))
    await fleet.load("b")
    assert (cast.engines["a"].cores, cast.engines["b"].cores) == ((0, 1), (0,))
    assert (fleet.get("a").cores, fleet.get("b").cores) == ((0, 1), (0,))
    await fleet.unload("b")
    assert fleet.get("b").cores == ()


async def test_models_that_compute_at_once_are_given_cores_of_their_own() -> None:
    cast = Cast()
    fleet = await loaded_fleet(cast, a={}, b={})
    async with asyncio.timeout(10):
        while cast.engines["a"].cores == (0, 1):
            for engine in cast.engines.values():
                engine.step(waited_seconds=0.005)
            await asyncio.sleep(0.001)
    assert (cast.engines["a"].cores, cast.engines["b"].cores) == ((0,), (1,))
    assert (fleet.get("a").cores, fleet.get("b").cores) == ((0,), (1,))
    await fleet.close()


async def test_a_model_that_cannot_be_loaded_fails_alone_with_its_reason() -> None:
    fleet = await loaded_fleet(Cast(), a={})
    fleet.add(broken_source("bad", "wrong magic"))
    with pytest.raises(ModelUnusable, match=r"^bad: wrong magic$"):
        await fleet.load("bad")
    assert fleet.get("bad").state is ModelState.FAILED
    assert fleet.get("bad").message == "wrong magic"
    assert fleet.get("a").state is ModelState.READY
    await fleet.close()


async def test_a_model_that_failed_is_unloaded_and_its_failure_forgotten() -> None:
    fleet = await loaded_fleet(Cast(), a={})
    fleet.add(broken_source("bad", "wrong magic"))
    with pytest.raises(ModelUnusable):
        await fleet.load("bad")
    unloaded = await fleet.unload("bad")
    assert (unloaded.state, unloaded.message) == (ModelState.UNLOADED, "")
    with pytest.raises(ModelUnusable, match=r"^bad: wrong magic$"):
        await fleet.load("bad")
    await fleet.close()


async def test_a_model_that_died_for_good_is_unloaded_like_one_that_never_came() -> None:
    cast = Cast()
    fleet = await loaded_fleet(cast, a={})
    cast.engines["a"].become(WorkerPhase.FAILED, "died 3 times")
    await reaches(fleet, "a", ModelState.FAILED)
    assert (await fleet.unload("a")).state is ModelState.UNLOADED
    assert not fleet.get("a").served
    assert (await fleet.load("a")).state is ModelState.READY
    await fleet.close()


async def test_a_failed_model_can_be_loaded_again() -> None:
    cast = Cast(ready=False)
    fleet = Fleet(cast.start, (0,))
    fleet.add(scripted_source("a"))
    first = asyncio.create_task(fleet.load("a"))
    await reaches(fleet, "a", ModelState.LOADING)
    await until(lambda: "a" in cast.engines)
    cast.engines["a"].become(WorkerPhase.FAILED, "died three times while loading")
    with pytest.raises(ModelUnusable, match="died three times"):
        await first
    second = asyncio.create_task(fleet.load("a"))
    previous = cast.engines["a"]
    await until(lambda: cast.engines["a"] is not previous)
    cast.engines["a"].become(WorkerPhase.READY)
    assert (await second).state is ModelState.READY
    await fleet.close()


async def test_a_restarting_model_is_away_until_it_is_back() -> None:
    cast = Cast()
    fleet = await loaded_fleet(cast, a={})
    cast.engines["a"].become(WorkerPhase.RESTARTING, "killed by SIGKILL")
    await reaches(fleet, "a", ModelState.RESTARTING)
    assert fleet.get("a").message == "killed by SIGKILL"
    with fleet.muster(["a"]) as (_, away):
        assert str(away["a"]).startswith("model a is restarting")
    cast.engines["a"].become(WorkerPhase.READY)
    await reaches(fleet, "a", ModelState.READY)
    with fleet.muster(["a"]) as (engines, away):
        assert [*engines.values()] == [cast.engines["a"]]
        assert away == {}
    await fleet.close()


async def test_a_lost_model_is_mustered_with_its_engine_where_it_restarts() -> None:
    cast = Cast()
    fleet = await loaded_fleet(cast, a={}, b={})
    with fleet.muster(["a", "b"]) as (engines, away):
        assert engines == {"a": cast.engines["a"], "b": cast.engines["b"]}
        assert away == {}
    cast.engines["a"].become(WorkerPhase.RESTARTING, "killed by SIGKILL")
    await reaches(fleet, "a", ModelState.RESTARTING)
    with fleet.muster(["a", "b"]) as (engines, away):
        assert [*engines] == ["a", "b"]
        assert {model: why.cause for model, why in away.items()} == {
            "a": "restarting: killed by SIGKILL"
        }
        unloading = asyncio.create_task(fleet.unload("a"))
        await reaches(fleet, "a", ModelState.UNLOADING)
        assert not unloading.done()
    await unloading
    await fleet.close()


async def test_of_a_model_that_failed_after_it_served_the_facts_stay_until_it_is_unloaded() -> None:
    cast = Cast()
    fleet = await loaded_fleet(cast, a={})
    assert fleet.get("a").served
    cast.engines["a"].become(WorkerPhase.FAILED, "died 3 times")
    await reaches(fleet, "a", ModelState.FAILED)
    with fleet.muster(["a"]) as (engines, away):
        assert engines == {}
        assert str(away["a"]) == "model a is failed: died 3 times"
    assert (fleet.get("a").served, fleet.get("a").sessions) == (True, 8)
    await fleet.load("a")
    await fleet.unload("a")
    assert not fleet.get("a").served
    with pytest.raises(ModelUnusable, match="a: is not loaded"), fleet.muster(["a"]):
        pass
    await fleet.close()


async def test_a_model_that_never_was_ready_is_not_mustered() -> None:
    fleet = await loaded_fleet(Cast(), a={})
    fleet.add(broken_source("bad", "wrong magic"))
    with pytest.raises(ModelUnusable):
        await fleet.load("bad")
    with pytest.raises(ModelUnusable, match="bad: wrong magic"), fleet.muster(["a", "bad"]):
        pass
    assert (await fleet.unload("a")).state is ModelState.UNLOADED
    await fleet.close()


async def test_unloading_waits_for_those_who_use_the_model() -> None:
    cast = Cast()
    fleet = await loaded_fleet(cast, a={})
    with fleet.muster(["a"]):
        unloading = asyncio.create_task(fleet.unload("a"))
        await reaches(fleet, "a", ModelState.UNLOADING)
        with pytest.raises(Unavailable, match="unloading"), fleet.muster(["a"]):
            pass
        with pytest.raises(Unavailable, match="being unloaded"):
            await fleet.load("a")
        assert not unloading.done()
    assert (await unloading).state is ModelState.UNLOADED
    assert (await fleet.load("a")).state is ModelState.READY
    await fleet.close()


async def test_a_model_that_is_used_past_the_deadline_of_its_unloading_serves_on() -> None:
    cast = Cast()
    fleet = await loaded_fleet(cast, a={})
    with fleet.muster(["a"]), fleet.muster(["a"]):
        with pytest.raises(DeadlinePassed, match=r"a stays loaded.* used by 2 requests"):
            await fleet.unload("a", 0.01)
        assert fleet.get("a").state is ModelState.READY
        with fleet.muster(["a"]) as mustered:
            assert list(mustered.engines) == ["a"]
    assert (await fleet.unload("a", 0.0)).state is ModelState.UNLOADED
    await fleet.close()


async def test_one_who_gives_up_does_not_end_the_waiting_of_another() -> None:
    fleet = await loaded_fleet(Cast(), a={})
    with fleet.muster(["a"]):
        patient = asyncio.create_task(fleet.unload("a"))
        with pytest.raises(DeadlinePassed):
            await fleet.unload("a", 0.01)
        assert fleet.get("a").state is ModelState.UNLOADING
    assert (await patient).state is ModelState.UNLOADED
    await fleet.close()


async def test_force_ends_the_waiting_of_all_and_who_outlasts_it_keeps_no_later_life() -> None:
    fleet = await loaded_fleet(Cast(), a={})
    with fleet.muster(["a"]):
        patient = asyncio.create_task(fleet.unload("a"))
        await reaches(fleet, "a", ModelState.UNLOADING)
        assert (await fleet.unload("a", 0.01, force=True)).state is ModelState.UNLOADED
        assert (await patient).state is ModelState.UNLOADED
        assert (await fleet.load("a")).state is ModelState.READY
        # Nobody of this life uses it, though somebody of the last one still has not noticed.
        assert (await fleet.unload("a", 0.0)).state is ModelState.UNLOADED
    await fleet.load("a")
    with fleet.muster(["a"]), pytest.raises(DeadlinePassed, match="1 request;"):
        await fleet.unload("a", 0.0)
    await fleet.close()


async def test_an_unloading_goes_on_when_its_caller_leaves() -> None:
    fleet = await loaded_fleet(Cast(), a={})
    with fleet.muster(["a"]):
        unloading = asyncio.create_task(fleet.unload("a"))
        await reaches(fleet, "a", ModelState.UNLOADING)
        unloading.cancel()
        await asyncio.gather(unloading, return_exceptions=True)
        assert fleet.get("a").state is ModelState.UNLOADING
    await reaches(fleet, "a", ModelState.UNLOADED)
    await fleet.close()


async def test_a_model_outside_the_configuration_is_found_and_added() -> None:
    cast = Cast()

    def find(name: str) -> object:
        if name == "extra":
            return scripted_source("extra")
        raise NotFound("model", name, ["extra"])

    fleet = Fleet(cast.start, (0,), find)  # type: ignore[arg-type]
    assert (await fleet.load("extra")).state is ModelState.READY
    with pytest.raises(NotFound, match="did you mean extra"):
        await fleet.load("extr")
    assert [status.id for status in fleet.list()] == ["extra"]
    await fleet.close()


async def test_an_unknown_model_is_not_found_by_any_call() -> None:
    fleet = await loaded_fleet(Cast(), a={})
    with pytest.raises(NotFound):
        fleet.get("b")
    with pytest.raises(NotFound):
        await fleet.unload("b")
    with pytest.raises(NotFound), fleet.muster(["b"]):
        pass
    await fleet.close()


async def test_a_slow_watcher_gets_the_latest_state_and_never_a_backlog() -> None:
    cast = Cast()
    fleet = await loaded_fleet(cast, a={})
    changes = fleet.watch()
    assert (await anext(changes)).state is ModelState.READY
    for number in range(100):
        cast.engines["a"].become(WorkerPhase.RESTARTING, f"death {number}")
        await asyncio.sleep(0)
    await reaches(fleet, "a", ModelState.RESTARTING)
    cast.engines["a"].become(WorkerPhase.READY)
    await reaches(fleet, "a", ModelState.READY)
    seen = await anext(changes)
    assert seen.state is ModelState.READY
    await changes.aclose()  # type: ignore[attr-defined]
    await fleet.close()


async def test_loading_goes_on_when_the_caller_leaves() -> None:
    cast = Cast(ready=False)
    fleet = Fleet(cast.start, (0,))
    fleet.add(scripted_source("a"))
    caller = asyncio.create_task(fleet.load("a"))
    await until(lambda: "a" in cast.engines)
    caller.cancel()
    cast.engines["a"].become(WorkerPhase.READY)
    await reaches(fleet, "a", ModelState.READY)
    await fleet.close()


async def test_a_defect_in_getting_the_files_fails_the_model_instead_of_keeping_it_loading() -> (
    None
):
    async def prepare(on_progress: Callable[[float], None]) -> EngineSpec:
        raise OSError("no space left on device")

    fleet = Fleet(Cast().start, (0,))
    fleet.add(ModelSource("a", "scripted", prepare))
    async with asyncio.timeout(5):
        with pytest.raises(ModelUnusable, match="no space left on device"):
            await fleet.load("a")
    assert fleet.get("a").state is ModelState.FAILED
    await fleet.close()


async def test_an_engine_that_cannot_be_started_fails_the_model() -> None:
    def start(spec: EngineSpec, cores: Sequence[int]) -> ManagedInProcess:
        raise SettingsError("cores: [7] are not among the usable cores [0]")

    fleet = Fleet(start, (0,))
    fleet.add(scripted_source("a"))
    async with asyncio.timeout(5):
        with pytest.raises(ModelUnusable, match="not among the usable cores"):
            await fleet.load("a")
    assert fleet.get("a").cores == ()
    await fleet.close()


async def test_a_download_that_still_reports_after_the_unloading_changes_nothing() -> None:
    reports: list[Callable[[float], None]] = []

    async def prepare(on_progress: Callable[[float], None]) -> EngineSpec:
        on_progress(0.25)
        reports.append(on_progress)
        await asyncio.Event().wait()
        raise AssertionError("is cancelled")

    fleet = Fleet(Cast().start, (0,))
    fleet.add(ModelSource("a", "scripted", prepare))
    caller = asyncio.create_task(fleet.load("a"))
    await reaches(fleet, "a", ModelState.DOWNLOADING)
    leaving = asyncio.create_task(fleet.unload("a"))
    await reaches(fleet, "a", ModelState.UNLOADING)
    reports[0](0.5)
    assert fleet.get("a").state is not ModelState.DOWNLOADING
    await leaving
    reports[0](0.75)
    assert fleet.get("a").state is ModelState.UNLOADED
    with pytest.raises(Unavailable):
        await caller
    await fleet.close()


async def test_cores_that_are_gone_end_no_review(caplog: pytest.LogCaptureFixture) -> None:
    cast = Cast()
    fleet = await loaded_fleet(cast, a={}, b={})
    refused = asyncio.Event()

    def refuse(cores: Sequence[int]) -> None:
        refused.set()
        raise SettingsError("cores: [1] are not among the usable cores [0]")

    for engine in cast.engines.values():
        engine.set_cores = refuse  # type: ignore[method-assign]
    async with asyncio.timeout(10):
        while not refused.is_set():
            for engine in cast.engines.values():
                engine.step(waited_seconds=0.005)
            await asyncio.sleep(0.001)
        await asyncio.sleep(0)

    assert "cannot be moved to other cores: cores: [1]" in caplog.text
    await fleet.close()
