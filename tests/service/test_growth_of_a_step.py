"""``quorate bench growth`` over a real server, with a model that computes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from quorate_bench.growth.curves import curves
from quorate_bench.growth.plans import Axes, Given
from quorate_bench.growth.running import Growth
from quorate_bench.planning import ModelFacts
from quorate_bench.records import read_records
from quorate_bench.report.page import page
from quorate_bench.serving import Served
from quorate_bench.summary import summaries

from quorate.cli.views.bench_growth import print_growth

STEP_MS = 3.0
AXES = Axes(
    only=("members", "concurrency", "context"), members=(1, 2), concurrency=(1, 2),
    context=(16, 48), prompt_tokens=8, answer_tokens=8, repetitions=1, minutes=2,
)  # fmt: skip


async def test_the_thinnest_growth_is_measured_once_kept_and_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A token for each character, as the length of prompts is told in bytes of a sample.
    options = {"step_delay_ms": STEP_MS, "pieces": [chr(one) for one in range(32, 127)]}
    facts = ModelFacts(0, 0, 0, 512)
    given = Given("toy", Served(None, "scripted", options), facts, 0.0, 1, (), 8 << 30)
    path = tmp_path / "growth.jsonl"
    heard: list[tuple[int, int]] = []

    await Growth(given, AXES, "", path, "").run(lambda *told: heard.append(told[:2]))

    records = read_records(path)
    assert records.ended
    assert not records.left_out
    assert heard[-1][1] == len(records.measurements) == 8
    found = curves(records)
    assert {name: len(lines) for name, lines in found.items()} == {
        "members": 1, "concurrency": 2, "context": 2,
    }  # fmt: skip
    for lines in found.values():
        for one in lines:
            assert all(point.step_ms.value > 0 for point in one.points)
    ((alone, context),) = [[point.at for point in found["context"][0].points]]
    assert 8 < alone < context

    again = Growth(given, AXES, "", path, "")
    assert again.resumed
    await again.run(lambda *told: None)
    assert len(read_records(path).measurements) == 8

    print_growth(records, path, as_json=True)
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["event"] for one in events].count("step") == 10
    verdicts = [one["verdict"] for one in events if one["event"] == "growth"]
    assert len(verdicts) == 3
    assert all(verdict in page(records, summaries(records)) for verdict in verdicts)
