"""From a report to what is kept of it for the server. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from quorate.calibration.data import CalibrationData, Source
from quorate.calibration.dataset import Dataset
from quorate.calibration.grading import Case
from quorate.calibration.report import Report, tagged_cases
from quorate.routing.confidence import Calibration, ConfidenceTable
from quorate.routing.quality import Tally
from quorate.routing.tasks import train_classifier


def findings(report: Report, dataset: Dataset, cases: Sequence[Case], date: str) -> CalibrationData:
    """What the server shall know.

    Cascades are no votes and leave nothing. A classifier is trained, on all tagged cases, only
    where guessing the task beat the best single model on cases it was not trained on.

    Args:
        report: What was found out.
        dataset: The questions are from.
        cases: Those that were asked.
        date: Day of the calibration, such as ``2026-01-31``.
    """
    tallies: dict[tuple[str, str], Tally] = {}
    curves: dict[tuple[str, str], Calibration] = {}
    sources: dict[str, Source] = {}
    for outcome in report.outcomes:
        vote = outcome.plan.quality_key
        if not vote:
            continue
        _forget(vote, tallies)
        _forget(vote, curves)
        models = outcome.plan.models
        sources[vote] = Source(dataset.name, dataset.sha256, date, len(cases), models)
        tallies.update({(vote, task): one for task, one in outcome.tallies.items()})
        for task, fitted in outcome.confidences.items():
            if fitted.calibration is not None:
                curves[vote, task] = fitted.calibration
    found = CalibrationData(tallies, ConfidenceTable(curves), sources=sources)
    if report.cross_validation is None or not report.cross_validation.pays:
        return found
    tagged = tagged_cases(report.outcomes, cases)
    return replace(
        found,
        classifier=train_classifier([one.prompt for one in tagged], [one.task for one in tagged]),
        classifier_source=Source(dataset.name, dataset.sha256, date, len(tagged)),
    )


def _forget(vote: str, known: dict[tuple[str, str], Any]) -> None:
    """Of two plans whose votes go by one key the later one counts."""
    for key in [key for key in known if key[0] == vote]:
        del known[key]
