from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quorate.calibration.data import CalibrationData, Source, merge, to_json
from quorate.calibration.file import load, read, write
from quorate.errors import SettingsError
from quorate.routing.confidence import Calibration, ConfidenceTable
from quorate.routing.quality import QualityTable, Tally
from quorate.routing.tasks import train_classifier

SOURCE = Source("questions.jsonl", "ab" * 32, "2026-01-31", 40, {"a": "scripted"})
CURVE = Calibration((1.0, 0.5, 0.0, -0.25, 0.0, 0.125), -0.5, 40)
BENT = replace(CURVE, curve=((-1.5, 0.25), (0.0, 0.25), (2.0, 0.9)))


def known(key: str = "single:a", right: float = 30.0) -> CalibrationData:
    return CalibrationData(
        quality_measured={(key, ""): Tally(right, 40.0), (key, "code"): Tally(5.0, 8.0)},
        confidences=ConfidenceTable({(key, ""): CURVE, (key, "code"): BENT}),
        sources={key: SOURCE},
    )


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "calibration.json"
    classifier = train_classifier(["add 1", "spell it"], ["sums", "words"])
    data = replace(known(), classifier=classifier, classifier_source=SOURCE)
    write(path, data)
    assert load(path) == data
    assert [one.name for one in path.parent.iterdir()] == ["calibration.json"]
    assert QualityTable(load(path).quality_measured).expected("single:a", ["a"], "") == (
        pytest.approx(32 / 44)
    )


def test_without_a_file_nothing_is_known_and_nothing_is_said(tmp_path: Path) -> None:
    assert load(tmp_path / "none.json") == CalibrationData()


def test_a_later_calibration_of_one_vote_keeps_what_is_known_of_others() -> None:
    both = merge(known("single:a"), known("single:b"))
    later = CalibrationData({("single:a", ""): Tally(1.0, 2.0)}, sources={"single:a": SOURCE})
    merged = merge(both, later)
    assert merged.quality_measured == {
        ("single:a", ""): Tally(1.0, 2.0),
        ("single:b", ""): Tally(30.0, 40.0),
        ("single:b", "code"): Tally(5.0, 8.0),
    }
    assert set(merged.confidences.calibrations) == {("single:b", ""), ("single:b", "code")}
    assert set(merged.sources) == {"single:a", "single:b"}


def test_a_classifier_stays_until_another_one_takes_its_place() -> None:
    first = train_classifier(["add"], ["sums"])
    second = train_classifier(["spell"], ["words"])
    before = replace(known(), classifier=first, classifier_source=SOURCE)
    assert merge(before, known("single:b")).classifier == first
    later = replace(known("single:b"), classifier=second, classifier_source=SOURCE)
    assert merge(before, later).classifier == second


def content(**changes: Any) -> dict[str, Any]:
    return json.loads(json.dumps(to_json(known()))) | changes


def vote(**changes: Any) -> dict[str, Any]:
    fields = content()
    fields["votes"]["single:a"] |= changes
    return fields


def curve(**changes: Any) -> dict[str, Any]:
    return vote(calibrations={"": {"weights": [0] * 6, "bias": 0, "cases": 1} | changes})


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        ("", "Expecting value"),
        ([], "is not a table"),
        ({}, "version is not a count"),
        (content(version=2), "is of another version"),
        (content(signals=["mood"]), "rests on other signals"),
        (content(votes=[]), "votes is not a table"),
        (vote(source=None), "source is not a table"),
        (vote(tallies={"": {"right": 3, "cases": 2}}), "right is out of range"),
        (curve(weights=[1]), "weights is not a list of 6 numbers"),
        (curve(bias=float("nan")), "bias is out of range"),
        (curve(curve=5), "curve is not a list of points"),
        (curve(curve=[[0, 0.5], [1]]), "curve is not made of scores and shares"),
        (curve(curve=[[0, 0.5], [1, 1.5]]), "curve is not made of scores and shares"),
        (curve(curve=[[1, 0.5], [1, 0.6]]), "curve does not rise"),
        (curve(curve=[[0, 0.5], [1, 0.4]]), "curve does not rise"),
        (
            content(
                classifier={
                    "source": content()["votes"]["single:a"]["source"],
                    "priors": [0.0],
                    "tasks": {"sums": [-1.0]},
                }
            ),
            "does not have 4096 scores",
        ),
        ("[" * 100_000, "is nested too deep"),
    ],
)
def test_a_broken_file_is_named_with_its_problem_and_a_service_goes_on_without(
    tmp_path: Path, broken: Any, problem: str
) -> None:
    path = tmp_path / "calibration.json"
    text = broken if isinstance(broken, str) else json.dumps(broken)
    path.write_text(text)
    with pytest.raises(SettingsError) as raised:
        read(path)
    assert raised.value.message.startswith(f"{path}: not a calibration of this version: ")
    assert problem in raised.value.message
    loaded = load(path)
    assert loaded.quality_measured == {}
    assert loaded.notes == (f"{raised.value.message}; going on without it",)
    assert path.read_text() == text


def test_a_folder_in_its_place_is_reported_and_nothing_is_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    path.mkdir()
    with pytest.raises(SettingsError, match="cannot be read"):
        read(path)
    with pytest.raises(SettingsError, match="cannot be written"):
        write(path, known())
    assert [one.name for one in tmp_path.iterdir()] == ["calibration.json"]
