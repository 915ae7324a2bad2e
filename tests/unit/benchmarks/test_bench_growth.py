"""How a step grows: what is measured, what this machine allows, and what is said of it."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader
from quorate_bench.growth.curves import Curve, curves
from quorate_bench.growth.networks import write_made_up
from quorate_bench.growth.plans import (
    QUANTITIES,
    Axes,
    Given,
    Vocabulary,
    copies,
    copy_cases,
    copy_options,
    copy_setting,
    copy_sides,
    told,
    vocabulary_cases,
    vocabulary_sides,
)
from quorate_bench.growth.verdicts import verdict
from quorate_bench.growth.vocabularies import vocabularies
from quorate_bench.planning import ModelFacts
from quorate_bench.serving import Served

from quorate.engines.scheduler.contract import Chunk
from quorate.errors import SettingsError
from quorate.request import TextPrompt
from support.bench_records import records_of_growth
from support.gguf_files import loaded

GIVEN = Given(
    "m", Served(None, "scripted"), ModelFacts(0, 80_000_000, 0, 4096), 10_000.0, 2,
    [Vocabulary("made up", 512, Path), Vocabulary("llama2", 32_000, Path)], 8 << 30,
)  # fmt: skip


def line(quantity: str, index: int = 0) -> Curve:
    return curves(records_of_growth())[quantity][index]


def test_every_point_is_measured_once() -> None:
    axes = Axes()
    cases = copy_cases(GIVEN, axes)
    assert len(set(cases)) == len(cases)
    base = [one for one in cases if one.concurrency == 1 and one.prompt_tokens == 64]
    assert [one.plan for one in base] == ["1 member", "2 members", "3 members", "4 members"]
    assert {one.concurrency for one in cases} == set(axes.concurrency)
    assert {one.plan for one in cases if one.concurrency > 1} == {"1 member", "2 members"}
    assert len(vocabulary_cases(GIVEN, axes)) == 2
    plans = {one.plan for one in (*cases, *vocabulary_cases(GIVEN, axes))}
    assert plans == {one["name"] for one in told(GIVEN, axes)["plans"]}
    # As a file has it.
    assert json.loads(json.dumps(told(GIVEN, axes)))["kv_bytes_per_token"] == 10_000.0


def test_context_goes_as_far_as_the_model_does_and_never_beyond() -> None:
    cases = copy_cases(GIVEN, Axes())
    longest = max(one.prompt_tokens for one in cases)
    assert copy_setting(GIVEN, Axes()).context_length == 4096
    assert 2048 < longest < 4096 / 1.2 - 32
    short = copy_setting(GIVEN, Axes(context=(128,)))
    assert short.context_length == 256


def test_a_server_has_room_for_all_answers_at_once() -> None:
    options = copy_options(GIVEN, Axes())
    assert options["sessions"] == 64
    assert options["cells"] >= 64 * (64 + 32)


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_one_quantity_alone_asks_for_no_more_than_it_needs(quantity: str) -> None:
    axes = Axes(only=(quantity,))
    cases = copy_cases(GIVEN, axes)
    assert {len({one.concurrency for one in cases}) > 1} == {quantity == "concurrency"}
    assert len(copies(GIVEN, axes)) == (4 if quantity == "members" else 2)
    sides = {one.name for one in copy_sides(GIVEN, axes)}
    assert {one.plan for one in cases} == sides
    assert (len(sides) == 0) == (quantity == "vocabulary")


def test_members_that_do_not_fit_into_memory_are_said() -> None:
    few = replace(GIVEN, available_bytes=1_000_000_000)
    sides = copy_sides(few, Axes())
    assert [bool(one.missing) for one in sides] == [False, False, True, True]
    assert sides[2].missing.startswith("no memory: 3 copies take 1.")


def test_what_a_machine_allows_is_reading_everything_or_computing_it() -> None:
    # 80 MB at the 20 GB/s of what a cache holds, and 66 tokens of 10 kB each.
    alone = line("members").points[0]
    assert alone.allowed_ms == pytest.approx(1e3 * (80e6 + 66 * 10e3) / 2e10)
    # Two of them are held by no cache.
    assert line("members").points[1].allowed_ms == pytest.approx(1e3 * 2 * (80e6 + 66e4) / 1e10)
    # 64 answers have 64 tokens to compute, each as long as one of a prompt: 0.1 ms.
    assert line("concurrency").points[-1].allowed_ms == pytest.approx(6.4)
    longest = line("context").points[-1]
    assert longest.at == 2050
    assert longest.allowed_ms == pytest.approx(1e3 * (80e6 + 2050 * 10e3) / 2e10)
    # A row of each member is written and read.
    few, many = line("vocabulary").points
    rows = 2 * 8 * 262_144 + 2 * 66 * 10e3
    assert many.allowed_ms == pytest.approx(1e3 * (2 * 16_777_216 + rows) / 1e10)
    assert (few.at, many.at) == (512, 262_144)


def test_steps_are_medians_of_repetitions_and_rise_along_each_line() -> None:
    found = curves(records_of_growth())
    assert list(found) == list(QUANTITIES)
    assert [one.name for one in found["context"]] == ["1 member", "2 members"]
    for lines in found.values():
        for one in lines:
            assert all(a.at < b.at for a, b in pairwise(one.points))
            assert all(a.step_ms.value < b.step_ms.value for a, b in pairwise(one.points))
    four = found["members"][0].points[3]
    assert four.step_ms.value == pytest.approx(4 * (10 + 1 / 16) * 1.01)
    assert four.alone_ms == pytest.approx(four.step_ms.value)


def test_each_quantity_has_a_verdict_with_its_figures() -> None:
    found = {name: verdict(name, lines) for name, lines in curves(records_of_growth()).items()}
    assert found["members"] == (
        "A step of 4 members takes 40.7 ms, 4.00x that of 1, and 1.00x what they take alone, one "
        "after the other (40.7 ms); reading their weights alone takes 32.3 ms."
    )
    assert "64 answers at once get 8.8x the tokens per second of 1" in found["concurrency"]
    assert "from 66 to 2,050 tokens of context" in found["context"]
    assert "From 512 to 262,144 tokens a step of two members" in found["vocabulary"]
    assert "7.63 µs for each further 1,000 tokens" in found["vocabulary"]


def test_a_run_that_measured_one_point_of_a_quantity_says_nothing_of_it() -> None:
    records = records_of_growth()
    records.measurements = [one for one in records.measurements if one["prompt_tokens"] == 64]
    assert list(curves(records)) == ["members", "concurrency", "vocabulary"]
    records.measurements.clear()
    assert curves(records) == {}


def test_a_made_up_vocabulary_has_its_size_and_never_says_its_end(tmp_path: Path) -> None:
    path = tmp_path / "made.gguf"
    write_made_up(path, 3500)
    fields = GGUFReader(path).fields
    texts = fields["tokenizer.ggml.tokens"].contents()
    assert len(texts) == len(set(texts)) == 3500
    with loaded(path, context_length=64) as model:
        assert len(model.vocabulary) == 3500
        text = "The harbour master kept two books."
        tokens = model.encode(TextPrompt(text))
        assert len(tokens) < len(text)
        assert b"".join(model.vocabulary.pieces[token] for token in tokens) == text.encode()
        row = np.empty(3500, np.float32)
        model.decode([Chunk(0, 0, tokens, row)])
    assert row[[*range(256), 3499]].max() < np.sort(row)[-100]


def test_vocabularies_are_real_where_they_lie_and_made_up_otherwise(tmp_path: Path) -> None:
    made = vocabularies(None, tmp_path / "kept")
    assert [one.size for one in made] == sorted(one.size for one in made)
    assert (made[0].size, made[-1].size, {one.name for one in made}) == (512, 262_144, {"made up"})
    with pytest.raises(SettingsError, match="has none of the folders llama2, "):
        vocabularies(tmp_path, tmp_path / "kept")
    folder = tmp_path / "llama3_1"
    folder.mkdir()
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("[]")
    with pytest.raises(SettingsError, match="holds no tokenizer that is understood"):
        vocabularies(tmp_path, tmp_path / "kept")
    letters = {chr(0x61 + k): k for k in range(26)}
    definition = {"model": {"vocab": letters, "merges": ["a b"]},
                  "added_tokens": [{"id": 700, "content": "<end>", "special": True}]}  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(definition))
    found = vocabularies(tmp_path, tmp_path / "kept")
    assert [(one.name, one.size) for one in found] == [
        ("made up", 512), ("llama3_1", 701), ("made up", 4096),
    ]  # fmt: skip
    assert [one.name for one in vocabulary_sides(replace(GIVEN, vocabularies=found))] == [
        "512 tokens (made up)", "701 tokens (llama3_1)", "4,096 tokens (made up)",
    ]  # fmt: skip
    network = found[1].model()
    assert network == found[1].model()
    assert len(GGUFReader(network).fields["tokenizer.ggml.tokens"].contents()) == 701
