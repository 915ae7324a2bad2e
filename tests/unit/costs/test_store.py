from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest

from quorate.costs.cost_model import MAX_PLANS, CostModels, FinishedRun
from quorate.costs.prediction import RunShape
from quorate.costs.store import CostStore

MACHINE = "00ff"
IDENTITY = "a.gguf 93 MB llama_cpp 2 cores"
SHAPE = RunShape(100, 50)


def learned(*keys: str, duration_ms: float = 5000.0) -> CostModels:
    costs = CostModels()
    for key in keys:
        costs.observe(key, FinishedRun(SHAPE, duration_ms, task="code", prompt_bytes=400))
    return costs


def save(store: CostStore, costs: CostModels, identity: str = IDENTITY) -> str | None:
    states = costs.states()
    return store.save(states, dict.fromkeys(states, identity))


def ours(key: str) -> str:
    return IDENTITY


@pytest.fixture
def store(tmp_path: Path) -> CostStore:
    return CostStore(tmp_path / "measured", MACHINE)


def test_without_a_file_nothing_is_known_and_nothing_is_said(store: CostStore) -> None:
    loaded = store.load(ours)
    assert dict(loaded.costs.snapshot()) == {}
    assert loaded.note is None


def test_what_was_saved_comes_back(store: CostStore) -> None:
    costs = learned("single:a", "ensemble:a+b:byte_exact")
    assert save(store, costs) is None
    loaded = store.load(ours)
    assert loaded.note is None
    assert loaded.costs.snapshot() == costs.snapshot()
    assert [one.name for one in store.path.parent.iterdir()] == [f"costs-{MACHINE}.json"]


def test_what_was_learned_of_another_file_of_the_model_is_not_believed(store: CostStore) -> None:
    save(store, learned("single:a"), "a.gguf 50 MB")
    assert dict(store.load(ours).costs.snapshot()) == {}


def test_a_plan_without_identity_is_not_saved(store: CostStore) -> None:
    states = learned("single:a", "single:b").states()
    store.save(states, {"single:b": IDENTITY})
    assert list(store.load(ours).costs.snapshot()) == ["single:b"]


def test_a_plan_that_cannot_run_now_is_kept_for_later(store: CostStore) -> None:
    save(store, learned("single:a"))
    without_a = store.load(lambda key: None)
    assert dict(without_a.costs.snapshot()) == {}
    save(store, learned("single:b"))
    assert set(store.load(ours).costs.snapshot()) == {"single:a", "single:b"}


def test_of_two_that_save_the_same_plan_the_later_wins(store: CostStore) -> None:
    save(store, learned("single:a", duration_ms=1000.0))
    save(store, learned("single:a", duration_ms=2000.0))
    costs = store.load(ours).costs.snapshot()["single:a"].run
    assert costs.time(SHAPE).mean_ms == pytest.approx(2000.0)


def test_the_file_holds_no_more_plans_than_are_remembered(store: CostStore) -> None:
    save(store, learned("single:a", "single:b"))
    save(store, learned(*(f"plan {number}" for number in range(MAX_PLANS - 1))))
    known = store.load(ours).costs.snapshot()
    assert len(known) == MAX_PLANS
    assert "single:a" not in known
    assert "single:b" in known


def content(store: CostStore) -> Any:
    return json.loads(store.path.read_text())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"", "Expecting value"),
        (b'{"version": 1, "mach', "Unterminated"),
        (b'{"version": "\xff"}', "decode"),
        (b"[" * 100_000, "nested too deep"),
        (b"[1, 2]", "is not a table"),
        (b'{"machine": "00ff", "plans": {}}', "version"),
        (b'{"version": 2, "machine": "00ff", "plans": {}}', "another version"),
        (b'{"version": 1, "machine": "aaaa", "plans": {}}', "another machine"),
        (b'{"version": 1, "machine": "00ff", "plans": []}', "plans is not a table"),
        (b'{"version": 1, "machine": "00ff", "plans": {"x": 3}}', "x is not a table"),
    ],
)
def test_a_broken_or_foreign_file_is_set_aside_with_a_note(
    store: CostStore, text: bytes, problem: str
) -> None:
    store.path.parent.mkdir()
    store.path.write_bytes(text)
    loaded = store.load(ours)
    assert dict(loaded.costs.snapshot()) == {}
    assert loaded.note is not None
    assert problem in loaded.note
    assert "\n" not in loaded.note
    assert not store.path.exists()
    assert store.path.with_name(f"{store.path.name}.aside").read_bytes() == text
    assert save(store, learned("single:a")) is None
    assert store.load(ours).note is None


@pytest.mark.parametrize(
    "damage",
    [{"costs": None}, {"lengths": {}}, {"prompt_sizes": {"scale": -1}}, {"tasks": {"t": 3}}],
)
def test_one_damaged_plan_is_learned_anew_and_the_others_are_kept(
    store: CostStore, damage: dict[str, Any]
) -> None:
    save(store, learned("single:a", "single:b"))
    everything = content(store)
    everything["plans"]["single:a"]["state"].update(damage)
    store.path.write_text(json.dumps(everything))
    loaded = store.load(ours)
    assert list(loaded.costs.snapshot()) == ["single:b"]
    assert loaded.note is not None
    assert "'single:a'" in loaded.note


def test_numbers_that_are_none_are_refused(store: CostStore) -> None:
    save(store, learned("single:a"))
    everything = content(store)
    everything["plans"]["single:a"]["state"]["costs"]["time"]["regression"]["scale"] = float("nan")
    store.path.write_text(json.dumps(everything))
    assert dict(store.load(ours).costs.snapshot()) == {}


def test_a_folder_that_cannot_be_written_is_a_note(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    store = CostStore(tmp_path / "taken", MACHINE)
    note = save(store, learned("single:a"))
    assert note is not None
    assert "cannot be written" in note
    assert store.load(ours).note is not None


def test_a_file_that_is_a_folder_is_a_note_and_leaves_no_draft(store: CostStore) -> None:
    store.path.mkdir(parents=True)
    assert "cannot be read" in (store.load(ours).note or "")
    assert "cannot be written" in (save(store, learned("single:a")) or "")
    assert [one.name for one in store.path.parent.iterdir()] == [store.path.name]


def save_again_and_again(folder: Path, key: str, times: int) -> None:
    store = CostStore(folder, MACHINE)
    costs = learned(key)
    for _ in range(times):
        note = save(store, costs)
        assert note is None, note


def test_two_processes_that_save_at_once_never_leave_half_a_file(store: CostStore) -> None:
    spawn = multiprocessing.get_context("spawn")
    folder = store.path.parent
    writers = [
        spawn.Process(target=save_again_and_again, args=(folder, key, 100))
        for key in ("single:a", "single:b")
    ]
    for writer in writers:
        writer.start()
    looked = 0
    while any(writer.is_alive() for writer in writers):
        loaded = store.load(ours)
        assert loaded.note is None
        looked += len(loaded.costs.snapshot())
    for writer in writers:
        writer.join(30)
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert looked > 0
    assert store.load(ours).costs.snapshot()
    assert os.listdir(folder) == [store.path.name]
