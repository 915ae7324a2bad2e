"""``quorate calibrate`` over real models.

Asks a dozen questions of our own; with ``QUORATE_QUESTIONS`` some of every file of labelled
questions in that folder.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.command_line import Serving

pytestmark = [pytest.mark.real_model, pytest.mark.timeout(600)]

OWN = Path(__file__).with_name("questions.jsonl")
VARIABLE = "QUORATE_QUESTIONS"
SLICE = 12
DEADLINE_SECONDS = 500


def datasets() -> Iterator[Path]:
    yield OWN
    if folder := os.environ.get(VARIABLE):
        yield from sorted(Path(folder).glob("*.jsonl"))


def calibrated(server: Serving, folder: Path, dataset: Path) -> list[dict[str, Any]]:
    shutil.copy(dataset, folder)
    done = server.asked(
        folder,
        *("calibrate", dataset.name, "--model", "small:0.4", "--model", "large:0.6"),
        *("--limit", str(SLICE), "--max-tokens", "8", "--json"),
        timeout=DEADLINE_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("dataset", list(datasets()), ids=lambda path: path.stem)
def test_models_alone_and_their_vote_are_graded(
    server: Serving, tmp_path: Path, dataset: Path
) -> None:
    events = calibrated(server, tmp_path, dataset)
    graded = {
        event["name"]: (event["right"], event["cases"])
        for event in events
        if event["event"] == "accuracy" and not event["task"]
    }
    assert len(graded) == 3
    assert {cases for _, cases in graded.values()} == {SLICE}
    if dataset == OWN:
        # Children's questions; luck would be two or three of them.
        assert min(right for right, _ in graded.values()) >= 5
