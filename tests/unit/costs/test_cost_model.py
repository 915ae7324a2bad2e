from __future__ import annotations

import json
from typing import Any

import pytest

from quorate.costs.cost_model import MAX_PLANS, MAX_TASKS, CostModel, CostModels, FinishedRun
from quorate.costs.prediction import RunShape
from quorate.request import EnergyTier

SHAPE = RunShape(100, 50, cached_tokens=20)
RUN = FinishedRun(SHAPE, 5000.0, 800.0, 12.0, EnergyTier.MEASURED, prompt_bytes=480)


def learned(*keys: str) -> CostModels:
    """What a run of each of these plans teaches, in turn."""
    costs = CostModels()
    for key in keys:
        costs.observe(key, RUN)
    return costs


def test_a_run_teaches_costs_lengths_and_prompt_sizes() -> None:
    known = learned("single:a").snapshot()["single:a"]
    assert known.run.samples == 1
    energy = known.run.energy(SHAPE)
    assert energy is not None
    assert energy.joules == pytest.approx(12.0)
    assert known.lengths().samples == 1
    assert known.prompt_sizes.tokens(480) == pytest.approx(120)


def test_a_plan_that_never_ran_is_not_there_and_its_stand_in_is_cold() -> None:
    assert "single:b" not in CostModels().snapshot()
    assert CostModel().run.cold
    assert CostModel().lengths("code").quantile(0.9, 300) == 300


def test_the_snapshot_is_the_same_object_until_something_was_learned() -> None:
    costs = learned("single:a")
    first = costs.snapshot()
    assert costs.snapshot() is first
    costs.observe("single:b", RUN)
    assert costs.snapshot() is not first


def test_what_is_known_of_a_plan_that_ran_often_is_told_after_every_few_runs() -> None:
    costs, told = CostModels(), list[int]()
    for _ in range(2000):
        costs.observe("single:a", RUN)
        told.append(costs.snapshot()["single:a"].run.samples)
    assert told[:128] == [*range(1, 129)]
    assert all(0 <= runs - known <= runs / 64 for runs, known in enumerate(told, 1))
    assert max(runs - known for runs, known in enumerate(told, 1)) == 15
    assert len(set(told)) < 400


def test_a_snapshot_taken_earlier_does_not_change() -> None:
    costs = learned("single:a")
    earlier = costs.snapshot()
    costs.observe("single:a", RUN)
    costs.observe("single:b", RUN)
    costs.snapshot()
    assert list(earlier) == ["single:a"]
    assert earlier["single:a"].run.samples == 1
    with pytest.raises(TypeError):
        earlier["single:c"] = CostModel()  # type: ignore[index]


def test_only_the_plan_that_ran_is_priced_anew() -> None:
    costs = learned("single:a", "single:b")
    first = costs.snapshot()
    costs.observe("single:b", RUN)
    second = costs.snapshot()
    assert second["single:a"] is first["single:a"]
    assert second["single:b"].run.samples == 2


def test_tasks_have_lengths_of_their_own_once_there_are_ten() -> None:
    costs = CostModels()
    for _ in range(20):
        costs.observe("single:a", FinishedRun(RunShape(10, 500), 100.0, task="essay"))
    for _ in range(9):
        costs.observe("single:a", FinishedRun(RunShape(10, 5), 100.0, task="label"))
    assert costs.snapshot()["single:a"].lengths("label").samples == 29
    costs.observe("single:a", FinishedRun(RunShape(10, 5), 100.0, task="label"))
    known = costs.snapshot()["single:a"]
    assert known.lengths("label").samples == 10
    assert known.lengths("label").quantile(0.5, 1000) == 5
    assert known.lengths("essay").quantile(0.5, 1000) == 500
    assert known.lengths("unheard of").samples == 30


def test_plans_beyond_the_most_forget_the_one_that_ran_the_longest_ago() -> None:
    plans = (f"plan {number}" for number in range(MAX_PLANS))
    known = learned(*plans, "plan 0", "one more").snapshot()
    assert len(known) == MAX_PLANS
    assert "plan 1" not in known
    assert known["plan 0"].run.samples == 2


def test_tasks_beyond_the_most_are_forgotten_by_the_same_rule() -> None:
    costs = CostModels()
    for number in range(MAX_TASKS + 1):
        costs.observe("single:a", FinishedRun(SHAPE, 100.0, task=f"task {number}"))
    tasks = costs.snapshot()["single:a"].task_lengths
    assert len(tasks) == MAX_TASKS
    assert "task 0" not in tasks


def test_it_counts_what_it_learned_for_whoever_saves() -> None:
    costs = learned("single:a", "single:a")
    assert costs.observations == 2
    restored = CostModels()
    restored.restore("single:a", saved(costs, "single:a"))
    assert restored.observations == 0


def saved(costs: CostModels, key: str) -> Any:
    """A plan's state as it comes back from a file."""
    return json.loads(json.dumps(costs.states()))[key]


def test_a_file_of_before_the_largest_batch_was_kept_is_read() -> None:
    costs = CostModels()
    costs.observe("single:a", FinishedRun(SHAPE, 100.0, joules=5.0, tier=EnergyTier.MEASURED))
    state = saved(costs, "single:a")
    del state["costs"]["most_batch"]
    restored = CostModels()
    restored.restore("single:a", state)
    model = restored.snapshot()["single:a"].run.energy_model
    assert model is not None
    assert model.most_batch == 1.0


def test_the_names_in_a_file_stay_as_they_are() -> None:
    """Files of earlier releases are read by them."""
    state = saved(learned("single:a"), "single:a")
    assert set(state) == {"costs", "prompt_sizes", "chat_sizes", "lengths", "tasks", "cached"}
    assert set(state["costs"]) == {"time", "first_token", "energy", "tier", "most_batch"}


def test_a_saved_plan_goes_on_where_it_ended() -> None:
    first = CostModels()
    for step in range(30):
        shape = RunShape(100 + step, 20 + step % 9)
        first.observe("single:a", FinishedRun(shape, 700.0 + step, task="code", prompt_bytes=500))
    second = CostModels()
    second.restore("single:a", saved(first, "single:a"))
    assert second.snapshot() == first.snapshot()
    for costs in (first, second):
        costs.observe("single:a", RUN)
    assert second.snapshot() == first.snapshot()


@pytest.mark.parametrize("missing", ["costs", "prompt_sizes", "lengths", "tasks"])
def test_a_damaged_plan_is_refused_and_leaves_no_trace(missing: str) -> None:
    state = saved(learned("single:a"), "single:a")
    del state[missing]
    second = CostModels()
    with pytest.raises(ValueError, match=missing):
        second.restore("single:a", state)
    assert dict(second.snapshot()) == {}
