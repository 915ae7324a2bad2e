from __future__ import annotations

import tomllib
from dataclasses import replace

import pytest

from quorate.calibration.answers import Answer
from quorate.calibration.findings import findings
from quorate.calibration.profiles import cascade_profile, weights_profile
from quorate.calibration.report import report_of
from quorate.cli.views.calibrate import cascade_lines, cross_validation_line, remarks, verdict_line
from quorate.request import CascadePlan, Plan, WeightedModel
from quorate.routing.confidence import Signals
from quorate.routing.quality import Tally
from quorate.settings.profiles import read_profile
from support.calibrations import (
    DATASET,
    answer,
    cases_of,
    cheap_and_dear,
    outcome,
    plan,
    specialists,
)


def test_answers_that_there_are_not_count_as_wrong() -> None:
    cases = cases_of(3)
    found = outcome(
        plan("a"), cases, [answer(True), Answer("", problem="prompt: too long"), answer(False)]
    )
    assert found.tallies == {"": Tally(1.0, 3.0)}
    assert found.unanswered == 1
    assert found.mean_ms == 10.0


def test_energy_is_the_mean_of_what_is_known_where_that_is_most() -> None:
    cases = cases_of(20)
    most = [answer(True, joules=2.0)] * 18 + [answer(True)] * 2
    found = outcome(plan("a"), cases, most)
    assert (found.mean_joules, found.tier) == (2.0, "estimated")
    few = [answer(True, joules=2.0)] * 17 + [answer(True)] * 3
    found = outcome(plan("a"), cases, few)
    assert (found.mean_joules, found.tier) == (None, "unavailable")


def test_a_vote_is_compared_with_the_best_of_its_members() -> None:
    cases = cases_of(40)
    report = report_of(
        [
            outcome(plan("a"), cases, [answer(i < 10) for i in range(40)]),
            outcome(plan("b"), cases, [answer(i < 20) for i in range(40)]),
            outcome(plan("a", "b"), cases, [answer(i < 36) for i in range(40)]),
        ],
        cases,
    )
    (verdict,) = report.verdicts
    assert verdict.member.name == "b"
    assert verdict.comparison.verdict == "better"
    assert verdict_line(verdict).startswith(
        "a + b against b, its best member: better (+40.0 points"
    )


def test_suggested_weights_are_a_profile_that_the_settings_read() -> None:
    cases = cases_of(40)
    report = report_of(
        [
            outcome(plan('a"\\'), cases, [answer(i < 10) for i in range(40)]),
            outcome(plan("b"), cases, [answer(i < 30) for i in range(40)]),
            outcome(plan('a"\\', "b"), cases, [answer(True)] * 40),
        ],
        cases,
    )
    (suggested,) = report.weights
    table = tomllib.loads(weights_profile(suggested, 2))["profiles"]["calibrated-2"]
    read = read_profile(table, "profiles.x", ['a"\\', "b"])
    assert isinstance(read, Plan)
    assert read.members == (WeightedModel('a"\\', 0.106), WeightedModel("b", 0.894))
    assert (read.forgetting, read.beam.width) == (0.9, 8)


def test_a_cascade_that_pays_is_told_with_its_figures_and_as_a_profile() -> None:
    _, report = cheap_and_dear()
    (cascade,) = report.cascades
    assert (cascade.first.name, cascade.last.name, cascade.unit) == ("small", "large", "J")
    assert cascade.advice.pays
    assert cascade.advice.kept == 0.75
    table = tomllib.loads(cascade_profile(cascade))["profiles"]["calibrated-cascade"]
    read = read_profile(table, "profiles.x", ["small", "large"])
    assert isinstance(read, CascadePlan)
    assert [stage.plan.members[0].model for stage in read.stages] == ["small", "large"]
    assert read.stages[0].confidence == pytest.approx(cascade.advice.confidence, abs=1e-4)
    assert read.stages[0].confidence <= cascade.advice.confidence
    sentence = next(cascade_lines(report))
    assert sentence.startswith("cascade: pays small, then large below a confidence of ")
    assert "100.0 % right for 3.25 J on held-out cases, against 100.0 % for 9.00 J" in sentence


def test_without_energies_cascades_are_compared_by_time() -> None:
    cases = cases_of(40)
    fast = [answer(i % 4 > 0, sure=i % 4 > 0, ms=10, joules=1.0) for i in range(40)]
    slow = [answer(True, ms=100) for _ in range(40)]
    report = report_of(
        [outcome(plan("fast"), cases, fast), outcome(plan("slow"), cases, slow)], cases
    )
    assert report.cascades[0].unit == "ms"
    assert report.cascades[0].advice.last_cost == 100.0


def test_a_best_plan_that_is_also_the_cheapest_leaves_no_cascade() -> None:
    cases = cases_of(40)
    report = report_of(
        [
            outcome(plan("a"), cases, [answer(True, ms=5)] * 40),
            outcome(plan("b"), cases, [answer(False, ms=50)] * 40),
        ],
        cases,
    )
    assert report.cascades == ()
    assert list(cascade_lines(report)) == [
        "cascade: no plan is cheaper than the best one and has cases enough"
    ]


def test_what_is_kept_has_tallies_curves_and_where_they_come_from() -> None:
    cases, report = cheap_and_dear()
    data = findings(report, DATASET, cases, "2026-01-31")
    assert data.quality_measured == {
        ("single:small", ""): Tally(60.0, 80.0),
        ("single:large", ""): Tally(80.0, 80.0),
    }
    curve = data.confidences.calibrations["single:small", ""]
    assert curve.confidence(Signals(mean_logprob=-0.1)) > 0.9
    assert curve.confidence(Signals(mean_logprob=-2.0)) < 0.3
    assert data.sources["single:small"].date == "2026-01-31"
    assert data.sources["single:small"].models == {"small": "tiny"}
    assert data.classifier is None


def test_of_a_cascade_nothing_is_kept_and_that_is_said() -> None:
    cases = cases_of(5)
    report = report_of([outcome(plan("a", "b", vote=""), cases, [answer(True)] * 5)], cases)
    assert findings(report, DATASET, cases, "2026-01-31").sources == {}
    assert list(remarks(report)) == ["a + b: is a cascade; only its votes are calibrated"]


def test_of_two_plans_with_one_key_the_later_one_is_kept_and_that_is_said() -> None:
    cases = cases_of(4, ("x", "y"))
    first = outcome(plan("a", vote="single:a"), cases, [answer(True)] * 4)
    untagged = cases_of(4)
    later = outcome(plan("b", vote="single:a"), untagged, [answer(False)] * 4)
    report = report_of([first, later], untagged)
    data = findings(report, DATASET, untagged, "2026-01-31")
    assert data.quality_measured == {("single:a", ""): Tally(0.0, 4.0)}
    assert list(remarks(report)) == [
        "b: has the members and the manner of a; what is kept for both is that of b"
    ]


def test_a_classifier_that_beats_the_best_single_model_is_kept() -> None:
    cases, report = specialists(80)
    assert report.cross_validation is not None
    assert report.cross_validation.guessed == 1.0
    data = findings(report, DATASET, cases, "2026-01-31")
    assert data.classifier is not None
    assert data.classifier.task("arithmetic question 99") == "arithmetic"
    assert data.classifier_source is not None
    assert data.classifier_source.cases == 80
    sentence = cross_validation_line(report) or ""
    assert sentence.startswith("task classifier: on; the best model of the guessed task was right")


def test_a_classifier_that_does_not_stays_off_and_both_figures_are_told() -> None:
    cases = cases_of(80, ("arithmetic", "spelling"))
    report = report_of(
        [
            outcome(plan("a"), cases, [answer(True)] * 80),
            outcome(plan("b"), cases, [answer(False)] * 80),
        ],
        cases,
    )
    assert findings(report, DATASET, cases, "2026-01-31").classifier is None
    sentence = cross_validation_line(report) or ""
    told = "stays off; the best model of the guessed task was right in 100.0 %, the best single"
    assert told in sentence


def test_a_trial_says_whether_it_held_out_whole_domains() -> None:
    kinds, report = specialists(80)
    sentence = cross_validation_line(report) or ""
    assert "80 held-out cases of the same kinds" in sentence
    cases = [replace(case, domain=f"book {i // 2 % 6}") for i, case in enumerate(kinds)]
    by_domain = report_of(report.outcomes, cases)
    sentence = cross_validation_line(by_domain) or ""
    assert "80 cases of held-out domains" in sentence
