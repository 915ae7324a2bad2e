"""What finished attempts teach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from quorate.costs.cost_model import CostModels, FinishedRun
from quorate.dispatch.attempt import Attempt, RemoteCall, Run
from quorate.dispatch.learning import Escalations, Lessons, learn
from quorate.request import Energy, EnergyTier, FinishReason, ModelUsage
from quorate.request.work import Work
from support.attempts import attempt, decision
from support.clocks import Clock


class Notes(CostModels):
    """CostModels that remember what they were told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, FinishedRun]] = []

    def observe(self, key: str, run: FinishedRun) -> None:
        self.told.append((key, run))


@dataclass
class SimulatedTable:
    """The part of a vote that is read after a run."""

    models: tuple[str, ...]
    was_disturbed: bool = False

    def usage(self) -> list[ModelUsage]:
        return [ModelUsage(model, 10 + index, 4) for index, model in enumerate(self.models)]

    def work(self) -> dict[str, Work]:
        return {model: Work(6, 5) for model in self.models}


def run(*models: str, reason: FinishReason | None = FinishReason.STOP_STRING, **rest: Any) -> Run:
    """A run from second 10 to 12, of which it waited half a second."""
    table: Any = SimulatedTable(models, rest.pop("was_disturbed", False))
    known = {"waited_seconds": 0.5, "first_token_at": 11.0, "ended_at": 12.0, "length": 7, **rest}
    return Run(decision(*models), table, 10.0, reason=reason, **known)


def attempted(*runs: Run, remote: RemoteCall | None = None) -> Attempt:
    return attempt(decision("a", task="law"), remote=remote, runs=list(runs))


def taught(*runs: Run, **energies: Energy) -> list[tuple[str, FinishedRun]]:
    notes = Notes()
    learn(notes, Lessons(), attempted(*runs), 3.0, energies)
    return notes.told


def measured(joules: float) -> Energy:
    return Energy(joules, EnergyTier.MEASURED)


def test_a_run_teaches_its_shape_its_times_without_waiting_and_its_energy() -> None:
    [(key, told)] = taught(run("a"), a=measured(5.0))
    assert key == "single:a"
    assert (told.shape.prompt_tokens, told.shape.cached_tokens) == (6, 4)
    assert (told.shape.output_tokens, told.shape.batch) == (7, 3.0)
    assert (told.duration_ms, told.first_token_ms) == (1500.0, 500.0)
    assert (told.joules, told.tier) == (5.0, EnergyTier.MEASURED)
    assert (told.complete, told.task, told.prompt_bytes) == (True, "law", 4)


def test_the_energy_of_a_vote_is_that_of_all_and_as_uncertain_as_the_worst() -> None:
    estimated = Energy(2.0, EnergyTier.ESTIMATED)
    [(key, told)] = taught(run("a", "b"), a=measured(5.0), b=estimated)
    assert key == "ensemble:a+b:same_vocabulary:static"
    assert (told.joules, told.tier) == (7.0, EnergyTier.ESTIMATED)
    [(_, told)] = taught(run("a", "b"), a=measured(5.0))
    assert (told.joules, told.tier) == (None, EnergyTier.UNAVAILABLE)


@pytest.mark.parametrize(
    ("reason", "complete"),
    [
        (FinishReason.END_OF_GENERATION, True),
        (FinishReason.STOP_STRING, True),
        (FinishReason.TOOL_CALLS, True),
        (FinishReason.MAX_TOKENS, False),
        (FinishReason.MAX_BYTES, False),
        (FinishReason.CONTEXT_FULL, False),
        (FinishReason.CONTENT_FILTER, False),
    ],
)
def test_an_answer_that_was_cut_off_does_not_tell_its_length(
    reason: FinishReason, complete: bool
) -> None:
    [(_, told)] = taught(run("a", reason=reason))
    assert told.complete is complete


@pytest.mark.parametrize(
    "disturbed",
    [{"reason": None}, {"ended_at": None}, {"was_disturbed": True}, {"stalled_seconds": 0.31}],
)
def test_a_run_that_was_disturbed_teaches_nothing(disturbed: dict[str, Any]) -> None:
    assert taught(run("a", **disturbed)) == []
    assert len(taught(run("a", stalled_seconds=0.29))) == 1


def test_each_stage_of_a_cascade_teaches_its_own_vote() -> None:
    told = taught(run("a"), run("b"), a=measured(1.0), b=measured(2.0))
    assert [(key, one.joules) for key, one in told] == [("single:a", 1.0), ("single:b", 2.0)]


def test_what_a_model_took_in_two_stages_cannot_be_told_apart() -> None:
    told = taught(run("a"), run("a", "b"), a=measured(1.0), b=measured(2.0))
    assert [one.joules for _, one in told] == [None, None]


def test_a_remote_teaches_only_what_it_counted_itself() -> None:
    notes = Notes()
    call = RemoteCall("far", 10, 4, 7, asked=True, complete=True)
    learn(notes, Lessons(), attempted(remote=call), 1.0, {})
    [(key, told)] = notes.told
    assert key == "remote:far"
    shape = told.shape
    assert (shape.prompt_tokens, shape.cached_tokens, shape.output_tokens) == (6, 4, 7)
    assert told.joules is None
    unfinished = RemoteCall("far", 10, 4, 7, asked=True, complete=False)
    uncounted = RemoteCall("far", None, 0, 7, asked=True, complete=True)
    for unknown in (unfinished, uncounted):
        learn(notes, Lessons(), attempted(remote=unknown), 1.0, {})
    assert len(notes.told) == 1


def test_the_latest_requests_of_a_cascade_count_most() -> None:
    escalations = Escalations()
    escalations.observe("c", True)
    assert escalations.rates == {"c": pytest.approx(0.525)}
    for _ in range(200):
        escalations.observe("c", False)
    assert escalations.rates["c"] < 1e-4


def test_cascades_that_were_not_asked_for_long_are_forgotten() -> None:
    escalations = Escalations()
    for number in range(600):
        escalations.observe(f"c{number}", True)
        escalations.observe("c0", True)
    assert len(escalations.rates) == 512
    assert "c0" in escalations.rates
    assert "c1" not in escalations.rates


def test_of_a_plan_that_ran_often_some_runs_in_a_second_are_learned_from() -> None:
    clock = Clock()
    lessons = Lessons(clock)
    assert all(lessons.wanted("single:a") for _ in range(128))
    learned = 0
    for _ in range(100):
        learned += lessons.wanted("single:a")
        clock.now += 2**-5
    assert learned == 49
    assert lessons.wanted("single:b")
