"""Records of a tuning, and what records of a bench speak for."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from quorate_bench.records import Records
from quorate_bench.tuning.configuration import Configuration
from quorate_bench.tuning.from_records import recorded_gains, recorded_proposal
from quorate_bench.tuning.records import block_record, read_tune_records
from quorate_bench.tuning.search import Limits

from quorate.errors import SettingsError
from support.bench_records import records_of_a_run
from support.tuning import PAIR, searched, space

RUN = {"kind": "tune", "schema": 1}


def written(path: Path, *records: Any) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    return path


def test_repetitions_come_back_as_they_were_measured(tmp_path: Path) -> None:
    def takes(variant: Any, case: str) -> float:
        return float("inf") if "prompt" in str(variant) else 1.5

    _, blocks = searched(space(PAIR), takes, Limits())
    records = [block_record(one, [], 1.8e9) for one in blocks]
    path = written(tmp_path / "a.jsonl", RUN, *records)
    with open(path, "ab") as file:
        file.write(b'{"kind": "repetition", "ra')
    found = read_tune_records(path).blocks
    assert [(one.race, one.base, one.values, one.problems) for one in found] == [
        (one.race, one.base, one.values, one.problems) for one in blocks
    ]


BLOCK = {"kind": "repetition", "race": "x", "base": [], "failed": [], "seconds": 1, "loads": [],
         "measured": [{"changes": [], "values": {"a": 1.0}}]}  # fmt: skip


@pytest.mark.parametrize(
    ("records", "told"),
    [
        ([], "holds no records"),
        ([{"kind": "run"}], "line 1: no record of a tuning; see docs/tune.md"),
        ([{"kind": "tune", "schema": 9}], "is of schema 9, and this version reads 1"),
        ([RUN, {"kind": "what"}], "line 2: no kind: 'what'"),
        ([RUN, {**BLOCK, "measured": []}], "line 2: its base was not measured"),
        ([RUN, {**BLOCK, "measured": [{"changes": [], "values": {"a": -1}}]}], "is no time"),
        ([RUN, {**BLOCK, "loads": [1]}], "line 2: "),
        ([RUN, {**BLOCK, "measured": [*BLOCK["measured"],  # type: ignore[misc]
                                      {"changes": [[["a"], 1]], "values": {"b": 1}}]}],
         "line 2: its cases are not the same for all"),
    ],
)  # fmt: skip
def test_what_is_no_record_is_refused_in_one_line(
    tmp_path: Path, records: list[Any], told: str
) -> None:
    path = written(tmp_path / "a.jsonl", *records)
    with pytest.raises(SettingsError) as caught:
        read_tune_records(path)
    assert told in caught.value.message
    assert "\n" not in caught.value.message


TEXT = """\
[[models]]   # mine
id = "large"
model = "large.gguf"

[[models]]
id = "small"
model = "small.gguf"

[profiles.both]
members = ["large", "small"]

[profiles.small]
members = ["small"]
"""


def configuration(text: str = TEXT) -> Configuration:
    paths = {"large": Path("/m/large.gguf"), "small": Path("/m/small.gguf")}
    ids = tuple(one["id"] for one in tomllib.loads(text)["models"])
    return Configuration(text, tomllib.loads(text), ids, paths, {},
                         lambda path, kind: path.with_suffix(f".{kind}.gguf"))  # fmt: skip


def faster(records: Records, factor: float, **where: Any) -> Records:
    """The same where some cases take another time."""
    for one in records.measurements:
        if all(one[key] == value for key, value in where.items()):
            one["gaps_ms"] = [factor * gap for gap in one["gaps_ms"]]
            one["first_ms"] = [factor * first for first in one["first_ms"]]
    return records


def with_a_plan_without_drafts(factor: float) -> Records:
    records = records_of_a_run()
    plans = records.run["sweep"]["plans"]
    records.run["sweep"]["plans"] = [
        *plans, {"name": "plain", "models": ["large", "small"], "rule": "linear", "drafts": "off"},
    ]  # fmt: skip
    more = [{**one, "plan": "plain"} for one in records.measurements
            if one["plan"] == "large + small"]  # fmt: skip
    records.measurements += more
    return faster(records, factor, plan="plain")


def test_drafts_that_cost_more_than_they_bring_are_left_to_profiles_of_these_members() -> None:
    records = with_a_plan_without_drafts(0.7)
    (gain,) = recorded_gains(records, other_answers=False)
    assert gain.what == "large + small: drafts as in plain"
    assert gain.ratio.value == pytest.approx(0.7)
    found = recorded_proposal(records, configuration(), other_answers=False)
    tables = tomllib.loads(found.written)
    assert tables["profiles"]["both"] == {"members": ["large", "small"], "drafts": "off"}
    # A profile of the user's with the name of one that is proposed stays what it is.
    assert tables["profiles"]["small"] == {"members": ["small"]}
    assert tables["profiles"]["large-small"]["members"] == ["large", "small"]
    assert "# mine" in found.written
    assert '[profiles.both]\ndrafts = "off"' in found.toml


def test_records_in_which_nothing_was_better_speak_for_nothing() -> None:
    assert recorded_gains(with_a_plan_without_drafts(0.99), other_answers=True) == []
    assert recorded_gains(records_of_a_run(), other_answers=True) == []


def test_fewer_cores_are_for_every_model_and_only_where_every_plan_gained() -> None:
    records = faster(records_of_a_run(), 0.3, cores=1)
    (gain,) = recorded_gains(records, other_answers=False)
    assert gain.changes == {("models", name, "cores"): 1 for name in ("large", "small")}
    assert gain.ratio.value == pytest.approx(0.6)
    assert recorded_gains(faster(records, 4, cores=1, plan="small"), other_answers=False) == []


def test_smaller_weights_are_told_on_request_with_what_they_lose() -> None:
    records = records_of_a_run()
    base = [one for one in records.measurements if one["cores"] == 2]
    records.measurements += [{**one, "quantisation": "Q4_K_M"} for one in base]
    faster(records, 0.5, quantisation="Q4_K_M")
    records.qualities += [
        {**one, "quantisation": "Q4_K_M", "bits_per_byte": one["bits_per_byte"] + 0.01}
        for one in records.qualities
    ]
    assert recorded_gains(records, other_answers=False) == []
    (gain,) = recorded_gains(records, other_answers=True)
    assert gain.ratio.value == pytest.approx(0.5)
    assert gain.loss["small"] == pytest.approx(0.01)
    found = recorded_proposal(records, configuration(), other_answers=True)
    assert tomllib.loads(found.written)["models"][0]["model"] == "/m/large.Q4_K_M.gguf"
    # Without a configuration nobody knows where the files are.
    assert (
        "model" not in recorded_proposal(records, None, other_answers=True).toml.split("[prof")[0]
    )


def test_records_of_other_models_are_refused() -> None:
    other = configuration(TEXT.replace('"small"', '"tiny"'))
    with pytest.raises(SettingsError, match="the records are of small, and the configuration has"):
        recorded_proposal(records_of_a_run(), other, other_answers=False)
