"""What a bench measures, and what of it fits."""

from __future__ import annotations

from pathlib import Path

import pytest
from quorate_bench.cases import Case, Setting, case_of, cases_of
from quorate_bench.machine import MachineFacts
from quorate_bench.planning import ModelFacts, planned
from quorate_bench.sweep import (
    Axes,
    Measure,
    Sweep,
    models_of,
    preset,
    sweep_of,
    temperature,
)

from quorate.errors import SettingsError

MODELS = {"large": Path("large.gguf"), "small": Path("small.gguf")}
MACHINE = MachineFacts("a processor", 4, 16 << 30, (), 10e9, (), "", "Linux")
FACTS = {"large": ModelFacts(2_000_000_000, 1_000_000_000, 1_200_000_000, 4096),
         "small": ModelFacts(200_000_000, 100_000_000, 150_000_000, 2048)}  # fmt: skip


def sweep(axes: Axes | None = None, **measure: object) -> Sweep:
    tables = {"plans": [{"name": "vote", "models": ["large", "small"]},
                        {"name": "small", "model": "small"}], "measure": measure}  # fmt: skip
    found = sweep_of("mine", tables, MODELS)
    return found if axes is None else Sweep("mine", MODELS, found.plans, axes, found.measure)


def test_a_star_varies_one_axis_at_a_time_and_begins_with_the_base_of_every_plan() -> None:
    axes = Axes(cores=(0, 1), concurrency=(1, 4, 16), prompt_tokens=(64,))
    found = cases_of(sweep(axes), 4)
    base = Setting(4, 2048, "")
    assert [(one.plan, one.setting, one.concurrency) for one in found] == [
        ("vote", base, 1), ("small", base, 1),
        ("vote", Setting(1, 2048, ""), 1), ("small", Setting(1, 2048, ""), 1),
        ("vote", base, 4), ("small", base, 4), ("vote", base, 16), ("small", base, 16),
    ]  # fmt: skip


def test_a_grid_takes_every_combination_once_and_those_near_the_base_first() -> None:
    axes = Axes(cores=(0, 1, 9), concurrency=(1, 4), prompt_tokens=(64, 256))
    found = cases_of(sweep(axes, design="grid"), 4)
    # Nine cores are cut to the four that there are, which the base has already.
    assert len(found) == len(set(found)) == 2 * 2 * 2 * 2
    assert [one.plan for one in found[:2]] == ["vote", "small"]
    assert found[-1] == Case("small", Setting(1, 2048, ""), 4, 256, 48)


def test_a_case_comes_back_from_what_records_have_of_it() -> None:
    case = Case("vote", Setting(2, 0, "Q8_0"), 4, 64, 48)
    assert case_of(case.told()) == case


def test_whole_answers_are_no_vote_on_tokens_and_samples_are_drawn() -> None:
    tables = {"plans": [
        {"name": "agreed", "answers": ["large", "small"], "compare": "numeric"},
        {"name": "sampled", "answers": ["small"], "samples": 5},
        {"name": "gated", "models": ["large", "small"], "weighting": "gated", "gate_share": 0.1},
    ]}  # fmt: skip
    agreed, sampled, gated = sweep_of("mine", tables, MODELS).plans
    assert agreed.models == ("large", "small")
    assert [one.is_one_vote for one in (agreed, sampled, gated)] == [False, False, True]
    assert [temperature(one.options) for one in (agreed, sampled, gated)] == [0.0, 0.7, 0.0]


def test_presets_have_every_model_alone_and_every_pair_as_vote_with_and_without_drafts() -> None:
    found = preset("quick", MODELS, [("large", "small")])
    assert [plan.name for plan in found.plans] == [
        "large", "small", "large + small", "large + small, no drafts", "small > large",
    ]  # fmt: skip
    assert found.plans[3].options["drafts"] == "off"
    assert found.plans[4].models == ("large", "small")


@pytest.mark.parametrize(
    ("tables", "complaint"),
    [
        ({"plan": []}, "plan: unknown key; did you mean plans?"),
        ({"axes": {"cores": [-1]}}, r"axes.cores\[0\]: must be from 0"),
        ({"axes": {"concurency": [1]}}, "axes.concurency: unknown key"),
        ({"measure": {"design": "spiral"}}, "measure.design: must be one of star, grid"),
        ({"plans": [{"model": "small"}]}, r"plans\[0\].name: must be a text"),
        ({"plans": [{"name": "x", "model": "tiny"}]}, r"plans\[0\]: names 'tiny'"),
        ({"plans": [{"name": "x"}]}, r"plans\[0\]: names no model"),
        ({"plans": [{"name": "x", "models": ["small"], "rule": "best"}]}, r"plans\[0\]: .*rule"),
        ({"plans": [{"name": "x", "model": "small"}] * 2}, "two of them have the same name"),
        ({"plans": 3}, "plans: must be a list"),
        ({"plans": [{"name": "x", "models": 3}]}, "models: must be a list, not 3"),
        ({"plans": [{"name": "x", "stages": [7, "small"]}]}, "plans"),
        ({"plans": [{"name": "x", "answers": ["tiny"]}]}, r"plans\[0\]: names 'tiny'"),
        ({"plans": [{"name": "x", "models": ["small"], "samples": 3}]}, r"plans\[0\]: .*samples"),
    ],
)
def test_a_sweep_that_is_wrong_is_refused_with_its_place(tables: dict, complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        sweep_of("mine", tables, MODELS)


@pytest.mark.parametrize("tables", [{}, {"models": {}}, {"models": {"a": 3}}, {"models": []}])
def test_a_sweep_names_models(tables: dict) -> None:
    with pytest.raises(SettingsError, match="models"):
        models_of(tables)


def test_what_takes_more_memory_than_there_is_is_left_out_and_said() -> None:
    axes = Axes(quantisations=("", "F32"))
    found = planned(sweep(axes), MACHINE, FACTS, available_bytes=4_000_000_000)
    assert [one.setting.quantisation for one in found.cases] == ["", ""]
    assert {one.reason for one in found.left_out} == {"no memory: its models take 9.4 GB of 4.0"}


def test_what_takes_more_time_than_is_allowed_is_left_out_and_the_base_is_kept() -> None:
    axes = Axes(concurrency=(1, 64), answer_tokens=(200,))
    found = planned(sweep(axes, minutes=3), MACHINE, FACTS, 12 << 30)
    assert [(one.plan, one.concurrency) for one in found.cases[:2]] == [("vote", 1), ("small", 1)]
    assert "no time: 180 s are allowed" in {one.reason for one in found.left_out}
    assert found.seconds <= 180


def test_a_model_is_never_served_with_more_context_than_it_was_trained_for() -> None:
    assert FACTS["small"].context(8192) == 2048
    assert FACTS["small"].context(0) == 0
    assert ModelFacts(0, 1, 1, 0).context(8192) == 8192


def test_repetitions_and_minutes_have_bounds() -> None:
    assert sweep(repetitions=4).measure == Measure(repetitions=4)
    with pytest.raises(SettingsError, match=r"measure\.minutes"):
        sweep(minutes=0)
