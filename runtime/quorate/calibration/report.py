"""What the answers of a calibration come to: outcomes, verdicts and suggestions. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from quorate.calibration.advice import CascadeAdvice, CascadeCase, advise_cascade, suggest_weights
from quorate.calibration.answers import Answer, CalibratedPlan
from quorate.calibration.cross_validation import (
    CrossValidation,
    TaggedCase,
    cross_validate_classifier,
)
from quorate.calibration.fits import (
    FittedConfidence,
    LabelledAnswer,
    fit_tasks,
    held_out_confidences,
    tally,
)
from quorate.calibration.grading import Case, is_right
from quorate.calibration.intervals import Comparison, compare
from quorate.calibration.pairs import Pair, pairs_of
from quorate.routing.quality import Tally

JOULES = "J"
MILLISECONDS = "ms"

_KNOWN_ENERGIES = 0.9


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one plan.

    Attributes:
        answers: By case id.
        labelled: In the order of the cases.
        tallies: By task; "" is all of them.
        confidences: By task, as far as one could be fitted.
    """

    plan: CalibratedPlan
    answers: Mapping[str, Answer]
    labelled: tuple[LabelledAnswer, ...]
    tallies: Mapping[str, Tally]
    confidences: Mapping[str, FittedConfidence]

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        whole = self.tallies[""]
        return whole.right / whole.cases

    @property
    def unanswered(self) -> int:
        """Cases that it could not answer; they count as wrong."""
        return sum(bool(answer.problem) for answer in self.answers.values())

    @property
    def cut(self) -> int:
        """Answers that the limit of tokens ended."""
        return sum(answer.cut for answer in self.answers.values())

    @property
    def mean_ms(self) -> float | None:
        """Mean time of an answer."""
        times = [answer.duration_ms for answer in self._told()]
        return math.fsum(times) / len(times) if times else None

    @property
    def mean_joules(self) -> float | None:
        """Mean energy of those of its answers where it is known, or None where those are few.

        An answer that is over within one tick of the processor's clock may have none.
        """
        answers = self._told()
        known = [answer.joules for answer in answers if answer.joules is not None]
        if not known or len(known) < _KNOWN_ENERGIES * len(answers):
            return None
        return math.fsum(known) / len(known)

    @property
    def tier(self) -> str:
        """How its energy is known; the least certain of its answers counts."""
        tiers = {answer.tier for answer in self._told() if answer.joules is not None}
        if self.mean_joules is None:
            return "unavailable"
        return "estimated" if "estimated" in tiers else "measured"

    def _told(self) -> list[Answer]:
        return [answer for answer in self.answers.values() if not answer.problem]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A vote against the best of its members alone."""

    vote: CalibratedPlan
    member: CalibratedPlan
    comparison: Comparison


@dataclass(frozen=True, slots=True)
class Weights:
    """Suggested weights of a vote's members, by id."""

    vote: CalibratedPlan
    weights: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Cascade:
    """What a cascade of two stages would do.

    Attributes:
        unit: What costs are counted in: ``J`` where the energy of all plans is known, else ``ms``.
    """

    first: CalibratedPlan
    last: CalibratedPlan
    advice: CascadeAdvice
    unit: str


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that is told at the end.

    Attributes:
        cascades: From each cheaper plan to the best one; those that pay come first, and of them the
            cheapest.
        cross_validation: What guessing the task is worth; None where it could not be measured.
        pairs: Of all models that were asked alone, those first of which one is right most often.
        by_domain: Whether that held out whole domains, and not cases of the same kinds.
    """

    outcomes: tuple[Outcome, ...]
    verdicts: tuple[Verdict, ...]
    weights: tuple[Weights, ...]
    cascades: tuple[Cascade, ...]
    cross_validation: CrossValidation | None
    pairs: tuple[Pair, ...]
    by_domain: bool


def evaluate(plan: CalibratedPlan, cases: Sequence[Case], answers: Mapping[str, Answer]) -> Outcome:
    """Grades the answers of one plan, one for each case by its id, and fits its confidence."""
    labelled = tuple(
        LabelledAnswer(
            case=case.id,
            task=case.task,
            right=not answers[case.id].problem and is_right(answers[case.id].text, case),
            signals=answers[case.id].signals,
            group=case.key,
        )
        for case in cases
    )
    confidences = fit_tasks(labelled) if plan.vote else {}
    return Outcome(plan, answers, labelled, tally(labelled), confidences)


def report_of(outcomes: Sequence[Outcome], cases: Sequence[Case]) -> Report:
    """Compares the plans with each other."""
    alone = _alone(outcomes)
    return Report(
        outcomes=tuple(outcomes),
        verdicts=tuple(_verdicts(outcomes, alone)),
        weights=tuple(_weights(outcomes, alone)),
        cascades=tuple(_cascades(outcomes)),
        cross_validation=cross_validate_classifier(tagged_cases(outcomes, cases)),
        pairs=tuple(pairs_of({model: _right(outcome) for model, outcome in alone.items()})),
        by_domain=_by_domain(cases),
    )


def tagged_cases(outcomes: Sequence[Outcome], cases: Sequence[Case]) -> list[TaggedCase]:
    """The cases that have a tag, with which models alone were right.

    Cases of one domain stay together where every case names one and there are several.
    """
    alone = _alone(outcomes)
    right = {
        model: {answer.case: answer.right for answer in outcome.labelled}
        for model, outcome in alone.items()
    }
    by_domain = _by_domain(cases)
    return [
        TaggedCase(
            prompt=case.text,
            task=case.task,
            right={model: outcome[case.id] for model, outcome in right.items()},
            group=case.domain if by_domain else case.key,
        )
        for case in cases
        if case.task
    ]


def _by_domain(cases: Sequence[Case]) -> bool:
    domains = {case.domain for case in cases if case.task}
    return "" not in domains and len(domains) > 1


def _alone(outcomes: Sequence[Outcome]) -> dict[str, Outcome]:
    return {
        outcome.plan.members[0]: outcome
        for outcome in outcomes
        if outcome.plan.vote and len(outcome.plan.members) == 1
    }


def _verdicts(outcomes: Sequence[Outcome], alone: Mapping[str, Outcome]) -> Iterator[Verdict]:
    for outcome in outcomes:
        members = [alone[model] for model in outcome.plan.members if model in alone]
        if not outcome.plan.quality_key or len(outcome.plan.members) < 2 or not members:
            continue
        best = max(members, key=lambda one: one.accuracy)
        comparison = compare(_right(outcome), _right(best))
        yield Verdict(outcome.plan, best.plan, comparison)


def _weights(outcomes: Sequence[Outcome], alone: Mapping[str, Outcome]) -> Iterator[Weights]:
    told: set[tuple[str, ...]] = set()
    for outcome in outcomes:
        members = outcome.plan.members
        complete = len(members) > 1 and all(model in alone for model in members)
        if outcome.plan.vote and complete and members not in told:
            told.add(members)
            tallies = {model: alone[model].tallies[""] for model in members}
            yield Weights(outcome.plan, suggest_weights(tallies))


def _cascades(outcomes: Sequence[Outcome]) -> list[Cascade]:
    votes = [outcome for outcome in outcomes if outcome.plan.vote]
    by_energy = all(outcome.mean_joules is not None for outcome in votes)
    unit = JOULES if by_energy else MILLISECONDS
    costs = {
        outcome.plan.vote: outcome.mean_joules if by_energy else outcome.mean_ms
        for outcome in votes
    }
    priced = [outcome for outcome in votes if costs[outcome.plan.vote] is not None]
    if not priced:
        return []
    last = max(priced, key=lambda one: (one.accuracy, -(costs[one.plan.vote] or 0.0)))
    last_cost = costs[last.plan.vote] or 0.0
    found = []
    for first in priced:
        first_cost = costs[first.plan.vote] or 0.0
        if first is last or first_cost >= last_cost:
            continue
        advice = advise_cascade(_paired(first, last), first_cost, last_cost)
        if advice is not None:
            found.append(Cascade(first.plan, last.plan, advice, unit))
    return sorted(found, key=lambda one: (not one.advice.pays, one.advice.held_out_cost))


def _paired(first: Outcome, last: Outcome) -> list[CascadeCase]:
    stated = held_out_confidences(first.labelled, dict(first.confidences))
    right = {answer.case: answer.right for answer in last.labelled}
    return [
        CascadeCase(stated[answer.case], answer.right, right[answer.case], answer.group)
        for answer in first.labelled
        if answer.case in stated
    ]


def _right(outcome: Outcome) -> list[bool]:
    return [answer.right for answer in outcome.labelled]
