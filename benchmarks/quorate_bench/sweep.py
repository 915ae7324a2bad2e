"""What shall be measured: models, plans, and what is varied. From TOML, or one of three presets."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from quorate.calibration.answers import TEMPERATURE_OF_SAMPLES
from quorate.client.requests import generate_request
from quorate.errors import InvalidRequest, SettingsError
from quorate.files import read_file
from quorate.options import as_table, field_names, option, read_options, refuse_unknown
from quorate_bench.quantisations import BITS

_MOST_CORES = 4096
_MOST_STREAMS = 256
_MOST_TOKENS = 1 << 20
_CASCADE_CONFIDENCE = 0.5
_OF_A_SWEEP = ("models", "plans", "axes", "measure", "quality")
_OF_A_PLAN = (
    "name", "model", "models", "stages", "answers", "rule", "alignment", "weighting", "forgetting",
    "beam_epsilon", "beam_width", "gate_leader", "gate_threshold", "gate_share", "drafts",
    "drafts_most", "stream_early", "samples", "select", "compare",
)  # fmt: skip
_LISTS = ("models", "stages", "answers")


@dataclass(frozen=True, slots=True)
class Axes:
    """What is varied; the first value of each is the base from which the others are tried.

    Attributes:
        cores: Cores that the server may use; 0 is all of this machine's.
        concurrency: Answers at once.
        prompt_tokens: Length of prompts, in tokens of the plan's first model, roughly.
        answer_tokens: Most tokens of an answer.
        context_length: Tokens that a session can hold; 0 is as each engine takes it.
        quantisations: Types that every model is made into; "" is as its file is.
    """

    cores: tuple[float, ...] = option((0,), lowest=0, highest=_MOST_CORES)
    concurrency: tuple[float, ...] = option((1,), lowest=1, highest=_MOST_STREAMS)
    prompt_tokens: tuple[float, ...] = option((64,), lowest=1, highest=_MOST_TOKENS)
    answer_tokens: tuple[float, ...] = option((48,), lowest=2, highest=_MOST_TOKENS)
    context_length: tuple[float, ...] = option((2048,), lowest=0, highest=_MOST_TOKENS)
    quantisations: tuple[str, ...] = option(("",), texts=True)


@dataclass(frozen=True, slots=True)
class Measure:
    """How it is measured.

    Attributes:
        repetitions: How often each case is measured.
        minutes: What all of it may take; what does not fit is left out, and said.
        design: ``star`` varies one axis at a time, ``grid`` takes every combination.
    """

    repetitions: int = option(3, lowest=1, highest=1000)
    minutes: float = option(10.0, lowest=0.1, highest=100_000)
    design: str = option("star", choices=("star", "grid"))


@dataclass(frozen=True, slots=True)
class Quality:
    """What tells how good answers are.

    Attributes:
        text: A file whose bits per byte are measured; "" is a text of our own.
        questions: A file of labelled questions, as ``quorate calibrate`` takes them; "" is none.
        limit: Most questions asked.
        max_tokens: Most tokens of an answer to a question.
    """

    text: str = ""
    questions: str = ""
    limit: int = option(50, lowest=1, highest=1_000_000)
    max_tokens: int = option(64, lowest=1, highest=_MOST_TOKENS)


@dataclass(frozen=True, slots=True)
class BenchPlan:
    """A plan as a client asks for it.

    Attributes:
        name: What reports call it.
        options: Arguments of ``Client.generate``.
        models: Every model that it names, once.
    """

    name: str
    options: Mapping[str, Any]
    models: tuple[str, ...]

    @property
    def is_one_vote(self) -> bool:
        """Whether it votes on tokens, and so has a distribution of its own."""
        return is_one_vote(self.options)


@dataclass(frozen=True, slots=True)
class Sweep:
    """All that shall be measured.

    Attributes:
        models: Path of each model's file, by the name that plans use.
    """

    name: str
    models: Mapping[str, Path]
    plans: tuple[BenchPlan, ...]
    axes: Axes = field(default_factory=Axes)
    measure: Measure = field(default_factory=Measure)
    quality: Quality = field(default_factory=Quality)

    def told(self) -> dict[str, Any]:
        """As JSON has it; two sweeps that tell the same measure the same."""
        return {
            "name": self.name,
            "models": {name: path.name for name, path in self.models.items()},
            "plans": [{"name": plan.name, **plan.options} for plan in self.plans],
            **{
                table: {name: getattr(value, name) for name in field_names(type(value))}
                for table, value in (
                    ("axes", self.axes), ("measure", self.measure), ("quality", self.quality)
                )
            },
        }  # fmt: skip


def is_one_vote(options: Mapping[str, Any]) -> bool:
    """Whether a plan votes on tokens: one that keeps one of several answers has no distribution."""
    return not ("stages" in options or "answers" in options)


def temperature(options: Mapping[str, Any]) -> float:
    """The temperature that a plan is measured at."""
    return TEMPERATURE_OF_SAMPLES if options.get("samples", 1) > 1 else 0.0


def preset(name: str, models: Mapping[str, Path], pairs: Sequence[tuple[str, str]]) -> Sweep:
    """One of ``quick``, ``standard`` and ``full``.

    Args:
        name: Which.
        models: Paths by name, the most capable first.
        pairs: Pairs of them that can vote, the more capable one first.
    """
    axes, measure = _PRESETS[name]
    return Sweep(name, MappingProxyType(dict(models)), _usual_plans(models, pairs), axes, measure)


def read_sweep(path: Path) -> Mapping[str, Any]:
    """The tables of a sweep of one's own.

    Raises:
        SettingsError: It cannot be read, or is no TOML.
    """
    try:
        return tomllib.loads(
            read_file(path, "give a sweep in TOML; see docs/bench.md").decode("utf-8-sig")
        )
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from error


def sweep_of(name: str, tables: Mapping[str, Any], models: Mapping[str, Path]) -> Sweep:
    """Reads a sweep.

    Args:
        name: What reports call it.
        tables: As TOML gives them; see ``docs/bench.md``.
        models: Paths of what ``tables["models"]`` names, by the same names.

    Raises:
        SettingsError: Something in it is wrong.
    """
    refuse_unknown(tables, _OF_A_SWEEP, "")
    written = tables.get("plans")
    if written is not None and not isinstance(written, list):
        raise SettingsError(f"plans: must be a list of tables [[plans]], not {written!r}")
    axes = read_options(Axes, as_table(tables.get("axes", {}), "axes"), "axes")
    for kind in axes.quantisations:
        if kind and kind not in BITS:
            raise SettingsError(
                f'axes.quantisations: no type {kind!r}; known: "" (as the file is), '
                f"{', '.join(BITS)}"
            )
    plans = (
        _usual_plans(models, [])
        if written is None
        else tuple(_plan(one, f"plans[{index}]", models) for index, one in enumerate(written))
    )
    if len({plan.name for plan in plans}) < len(plans):
        raise SettingsError("plans: two of them have the same name")
    return Sweep(
        name,
        MappingProxyType(dict(models)),
        plans,
        axes,
        read_options(Measure, as_table(tables.get("measure", {}), "measure"), "measure"),
        read_options(Quality, as_table(tables.get("quality", {}), "quality"), "quality"),
    )


def models_of(tables: Mapping[str, Any]) -> Mapping[str, str]:
    """What the table ``models`` names: an id of the registry or a path, by name.

    Raises:
        SettingsError: There is none, or it holds something else.
    """
    named = as_table(tables.get("models", {}), "models")
    for name, model in named.items():
        if not isinstance(model, str):
            raise SettingsError(f"models.{name}: must be a text, not {model!r}")
    if not named:
        raise SettingsError('models: there are none; give a table such as small = "PATH_OR_ID"')
    return named


def _plan(table: Any, where: str, models: Mapping[str, Path]) -> BenchPlan:
    table = as_table(table, where)
    refuse_unknown(table, _OF_A_PLAN, where)
    name = table.get("name")
    if not isinstance(name, str) or not name:
        raise SettingsError(f"{where}.name: must be a text that names the plan")
    options = {key: value for key, value in table.items() if key != "name"}
    for key in _LISTS:
        if not isinstance(options.get(key, []), list | dict):
            raise SettingsError(f"{where}.{key}: must be a list, not {options[key]!r}")
    if "stages" in options:
        options["stages"] = [_stage(stage) for stage in options["stages"]]
    try:
        generate_request("x", **options)
    except InvalidRequest as error:
        raise SettingsError(f"{where}: {error.field}: {error.problem}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise SettingsError(f"{where}: {error}") from error
    named = _named(options)
    for model in named:
        if model not in models:
            raise SettingsError(f"{where}: names {model!r}, which is not among the models")
    if not named:
        raise SettingsError(f"{where}: names no model; give model, models, stages or answers")
    return BenchPlan(name, MappingProxyType(options), named)


def _stage(stage: Any) -> Any:
    """TOML has no tuples: [model, confidence] is one."""
    if isinstance(stage, list) and len(stage) == 2 and isinstance(stage[1], int | float):
        return stage[0], float(stage[1])
    return stage


def _named(options: Mapping[str, Any]) -> tuple[str, ...]:
    found: list[str] = [options["model"]] if "model" in options else []
    found += [*options.get("models", ()), *options.get("answers", ())]
    for stage in options.get("stages", ()):
        models = stage[0] if isinstance(stage, tuple) else stage
        found += [models] if isinstance(models, str) else list(models)
    return tuple(dict.fromkeys(found))


def _usual_plans(
    models: Mapping[str, Path], pairs: Sequence[tuple[str, str]]
) -> tuple[BenchPlan, ...]:
    """Every model alone; of each pair its vote with drafts and without, and its cascade."""
    plans = [BenchPlan(name, MappingProxyType({"model": name}), (name,)) for name in models]
    for pair in pairs:
        large, small = pair
        both = " + ".join(pair)
        stages = [(small, _CASCADE_CONFIDENCE), large]
        for name, options in (
            (both, {"models": list(pair)}),
            (f"{both}, no drafts", {"models": list(pair), "drafts": "off"}),
            (f"{small} > {large}", {"stages": stages}),
        ):
            plans.append(BenchPlan(name, MappingProxyType(options), pair))
    return tuple(plans)


_PRESETS = {
    "quick": (
        Axes(concurrency=(1, 4), prompt_tokens=(64, 256)),
        Measure(repetitions=3, minutes=7),
    ),
    "standard": (
        Axes(
            cores=(0, 1),
            concurrency=(1, 4, 16),
            prompt_tokens=(64, 512),
            answer_tokens=(64, 192),
        ),
        Measure(repetitions=5, minutes=45),
    ),
    "full": (
        Axes(
            cores=(0, 1, 2, 4, 8, 16),
            concurrency=(1, 2, 4, 8, 16, 32),
            prompt_tokens=(64, 256, 1024),
            answer_tokens=(64, 256),
            context_length=(2048, 8192),
            quantisations=("", "Q8_0", "Q4_0"),
        ),
        Measure(repetitions=7, minutes=240),
    ),
}
PRESETS = tuple(_PRESETS)
