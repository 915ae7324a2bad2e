"""Plans, cases and answers of calibrations."""

from __future__ import annotations

import random
from collections.abc import Sequence

from quorate.calibration.answers import Answer, CalibratedPlan
from quorate.calibration.dataset import Dataset
from quorate.calibration.grading import Case, Match
from quorate.calibration.report import Outcome, Report, evaluate, report_of
from quorate.request import Alignment, BeamOptions, Plan, WeightedModel, Weighting
from quorate.routing.confidence import Signals

DATASET = Dataset("questions.jsonl", "ab" * 32, ())
_SUMS = ("add {} and {}", "what is {} plus {}?", "the sum of {} and {}")
_WORDS = ("spell the name {} {}", "which letter begins {} {}?", "write {} {} backwards")


def plan(*members: str, vote: str | None = None) -> CalibratedPlan:
    """The vote of these models, or one of them alone, with the manner of a byte-exact vote."""
    voted = Plan(
        members=tuple(WeightedModel(one, 1 / len(members)) for one in members),
        alignment=Alignment.BYTE_EXACT,
        weighting=Weighting.BAYESIAN,
        forgetting=0.9,
        beam=BeamOptions(epsilon=0.01, width=8),
    )
    kind = "single" if len(members) == 1 else "ensemble"
    joined = "+".join(members)
    key = f"{kind}:{joined}" if vote is None else vote
    return CalibratedPlan(" + ".join(members), joined, voted, key, dict.fromkeys(members, "tiny"))


def cases_of(count: int, tasks: Sequence[str] = ("",)) -> list[Case]:
    """Questions whose answer is yes, their tasks in turn."""
    return [
        Case(
            f"q{index}",
            (),
            f"{tasks[index % len(tasks)] or 'plain'} question {index}",
            ("yes",),
            Match.EXACT,
            task=tasks[index % len(tasks)],
        )
        for index in range(count)
    ]


def answer(
    right: bool, *, sure: bool = True, ms: float = 10.0, joules: float | None = None
) -> Answer:
    """Yes or no, with a high or a low mean log-prob."""
    height = -0.1 if sure else -2.0
    tier = "unavailable" if joules is None else "estimated"
    return Answer(
        "yes" if right else "no", Signals(mean_logprob=height), "", False, ms, joules, tier
    )


def outcome(asked: CalibratedPlan, cases: Sequence[Case], answers: Sequence[Answer]) -> Outcome:
    """The answers of a plan, in the order of the cases, evaluated."""
    return evaluate(asked, cases, dict(zip([case.id for case in cases], answers, strict=True)))


def cheap_and_dear(count: int = 80) -> tuple[list[Case], Report]:
    """A cheap model that is wrong in every fourth case and knows it, and a dear one that is not."""
    cases = cases_of(count)
    cheap = [answer(i % 4 > 0, sure=i % 4 > 0, ms=10, joules=1.0) for i in range(count)]
    dear = [answer(True, ms=100, joules=9.0) for _ in range(count)]
    outcomes = [outcome(plan("small"), cases, cheap), outcome(plan("large"), cases, dear)]
    return cases, report_of(outcomes, cases)


def specialists(count: int) -> tuple[list[Case], Report]:
    """Two models, each right in everything of its own task and in nothing of the other."""
    cases = cases_of(count, ("arithmetic", "spelling"))
    return cases, report_of(
        [
            outcome(plan("a"), cases, [answer(i % 2 == 0) for i in range(count)]),
            outcome(plan("b"), cases, [answer(i % 2 == 1) for i in range(count)]),
        ],
        cases,
    )


def prompts(task: str, count: int) -> list[str]:
    """Prompts of the task ``sums`` or ``words``, the same at each call."""
    rng = random.Random(task)
    if task == "sums":
        return [
            rng.choice(_SUMS).format(rng.randrange(1000), rng.randrange(1000)) for _ in range(count)
        ]
    names = ("anna", "berta", "carla", "dora", "emil", "fritz", "gustav", "hugo")
    return [rng.choice(_WORDS).format(rng.choice(names), rng.choice(names)) for _ in range(count)]
