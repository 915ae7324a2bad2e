"""What a calibration found out, as values and as fields of JSON. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from itertools import pairwise

from quorate.costs.saved import Json, Table, count, number, numbers, table, text
from quorate.routing.confidence import Calibration, ConfidenceTable, Signals
from quorate.routing.quality import Tally
from quorate.routing.tasks import BUCKETS, TaskClassifier

_VERSION = 1
_MAX_CASES = 1e12
_MAX_TASKS = 256
_MAX_POINTS = 65_536
_SIGNALS = tuple(one.name for one in fields(Signals))


@dataclass(frozen=True, slots=True)
class Source:
    """Where a finding comes from.

    Attributes:
        dataset: Name of the file of labelled questions.
        sha256: Of its bytes, in hexadecimal.
        date: Day of the calibration, such as ``2026-01-31``.
        cases: Labelled answers it rests on.
        models: Description of each model at that time, by its id.
    """

    dataset: str
    sha256: str
    date: str
    cases: int
    models: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CalibrationData:
    """All that is known from labelled answers.

    Attributes:
        quality_measured: For ``QualityTable.measured``: by key of a vote and task.
        confidences: For cascades.
        classifier: Guesses the task of a request; None where none has proved its worth.
        sources: Where it comes from, by key of a vote.
        classifier_source: Where the classifier comes from.
        notes: Lines for the log, such as why a file was not believed.
    """

    quality_measured: Mapping[tuple[str, str], Tally] = field(default_factory=dict)
    confidences: ConfidenceTable = field(default_factory=ConfidenceTable)
    classifier: TaskClassifier | None = None
    sources: Mapping[str, Source] = field(default_factory=dict)
    classifier_source: Source | None = None
    notes: tuple[str, ...] = ()


def merge(known: CalibrationData, found: CalibrationData) -> CalibrationData:
    """Adds a later calibration: of the votes it is about it takes the place of what was known.

    The classifier stays where the later one has none.
    """
    again = set(found.sources)
    kept_tallies = {k: v for k, v in known.quality_measured.items() if k[0] not in again}
    kept_curves = {k: v for k, v in known.confidences.calibrations.items() if k[0] not in again}
    newer = known if found.classifier is None else found
    return CalibrationData(
        quality_measured={**kept_tallies, **found.quality_measured},
        confidences=ConfidenceTable({**kept_curves, **found.confidences.calibrations}),
        classifier=newer.classifier,
        sources={**known.sources, **found.sources},
        classifier_source=newer.classifier_source,
        notes=(*known.notes, *found.notes),
    )


def to_json(data: CalibrationData) -> dict[str, Json]:
    """The fields of a file; notes are left out."""
    return {
        "version": _VERSION,
        "signals": list(_SIGNALS),
        "votes": {key: _vote_to_json(data, key, data.sources[key]) for key in sorted(data.sources)},
        "classifier": _classifier_to_json(data),
    }


def from_json(content: Table) -> CalibrationData:
    """Reads the fields of a file.

    Raises:
        ValueError: Says which field is missing, wrong or out of range.
    """
    if count(content, "version") != _VERSION:
        raise ValueError("is of another version")
    if content.get("signals") != list(_SIGNALS):
        raise ValueError("rests on other signals than this version reads; calibrate anew")
    tallies: dict[tuple[str, str], Tally] = {}
    curves: dict[tuple[str, str], Calibration] = {}
    sources: dict[str, Source] = {}
    votes = table(content, "votes")
    for key in votes:
        vote = table(votes, key)
        sources[key] = _source(table(vote, "source"))
        for task, counted in _tables(vote, "tallies"):
            cases = number(counted, "cases", 0, _MAX_CASES)
            tallies[key, task] = Tally(number(counted, "right", 0, cases), cases)
        for task, curve in _tables(vote, "calibrations"):
            curves[key, task] = _calibration(curve)
    classifier, classifier_source = None, None
    if content.get("classifier") is not None:
        fields_of = table(content, "classifier")
        classifier = _classifier(fields_of)
        classifier_source = _source(table(fields_of, "source"))
    return CalibrationData(tallies, ConfidenceTable(curves), classifier, sources, classifier_source)


def _vote_to_json(data: CalibrationData, key: str, source: Source) -> dict[str, Json]:
    tallies: dict[str, Json] = {}
    curves: dict[str, Json] = {}
    for (vote, task), counted in sorted(data.quality_measured.items()):
        if vote == key:
            tallies[task] = asdict(counted)
    for (vote, task), curve in sorted(data.confidences.calibrations.items()):
        if vote == key:
            points: list[Json] = [list(point) for point in curve.curve]
            curves[task] = {**asdict(curve), "weights": list(curve.weights), "curve": points}
    return {"source": asdict(source), "tallies": tallies, "calibrations": curves}


def _classifier_to_json(data: CalibrationData) -> Json:
    classifier, source = data.classifier, data.classifier_source
    if classifier is None or source is None:
        return None
    return {
        "source": asdict(source),
        "priors": list(classifier.priors),
        "tasks": {
            task: list(scores)
            for task, scores in zip(classifier.tasks, classifier.scores, strict=True)
        },
    }


def _source(saved: Table) -> Source:
    models = table(saved, "models")
    return Source(
        dataset=text(saved, "dataset"),
        sha256=text(saved, "sha256"),
        date=text(saved, "date"),
        cases=count(saved, "cases"),
        models={model: text(models, model) for model in models},
    )


def _calibration(saved: Table) -> Calibration:
    weights = numbers(saved, "weights", len(_SIGNALS))
    if len(weights) != len(_SIGNALS):
        raise ValueError(f"weights is not a list of {len(_SIGNALS)} numbers")
    points = _curve(saved) if "curve" in saved else ()
    return Calibration(tuple(weights), number(saved, "bias"), count(saved, "cases"), points)


def _curve(saved: Table) -> tuple[tuple[float, float], ...]:
    points = saved["curve"]
    if not isinstance(points, list) or len(points) > _MAX_POINTS:
        raise ValueError("curve is not a list of points")
    rows = [numbers({"curve": point}, "curve", 2) for point in points]
    if any(len(row) != 2 or not 0 <= row[1] <= 1 for row in rows):
        raise ValueError("curve is not made of scores and shares")
    if any(last[0] >= row[0] or last[1] > row[1] for last, row in pairwise(rows)):
        raise ValueError("curve does not rise")
    return tuple((score, share) for score, share in rows)


def _classifier(saved: Table) -> TaskClassifier:
    tasks = table(saved, "tasks")
    scores = [tuple(numbers(tasks, task, BUCKETS, highest=0)) for task in tasks]
    priors = numbers(saved, "priors", _MAX_TASKS, highest=0)
    if not scores or len(priors) != len(scores) or any(len(one) != BUCKETS for one in scores):
        raise ValueError(f"the classifier does not have {BUCKETS} scores and a prior for each task")
    return TaskClassifier(tuple(tasks), tuple(scores), tuple(priors))


def _tables(parent: Table, name: str) -> list[tuple[str, Table]]:
    inner = table(parent, name)
    return [(key, table(inner, key)) for key in inner]
