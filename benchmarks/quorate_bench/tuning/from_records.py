"""What records of ``quorate bench`` speak for, without measuring anything. Pure.

What they hold was not measured to decide this: there is no last race that shows what was chosen by
luck. So a proposal says what was recorded, and only where the interval leaves no doubt.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from quorate.calibration.intervals import Interval
from quorate.errors import SettingsError
from quorate_bench.cases import Case, Setting, case_of
from quorate_bench.intervals import ratio_interval
from quorate_bench.records import Records
from quorate_bench.report.advice import advice
from quorate_bench.report.profiles import profiles_toml
from quorate_bench.summary import base_cases, summaries, token_ms
from quorate_bench.sweep import is_one_vote
from quorate_bench.tuning.configuration import Configuration, plan_of_profile
from quorate_bench.tuning.racing import MARGIN
from quorate_bench.tuning.variants import QUANTISATION, Key, Variant

_DRAFTS = ("drafts", "drafts_most")


@dataclass(frozen=True, slots=True)
class Recorded:
    """A setting that was better.

    Attributes:
        changes: New values by key; of a profile by the name of the plan that was measured.
        what: What was compared, for people.
        ratio: Time of an answer with it to that without.
        loss: Bits per byte that it costs by plan, of what changes answers; else nothing.
    """

    changes: Mapping[Key, Any]
    what: str
    ratio: Interval
    loss: Mapping[str, float]


def recorded_gains(records: Records, *, other_answers: bool) -> list[Recorded]:
    """Settings that were better by more than the noise.

    Args:
        records: Of a bench.
        other_answers: Whether quantisations are among them.
    """
    times = _times(records)
    found = [*_cores(records, times), *_drafts(records, times)]
    if other_answers:
        found += _quantisations(records, times)
    return found


@dataclass(frozen=True, slots=True)
class RecordedProposal:
    """What records speak for.

    Attributes:
        gains: In the order in which they were looked for.
        toml: To be put into a configuration: settings, and profiles that are best within a time.
        written: A configuration with all of it; "" where there is none to change.
    """

    gains: tuple[Recorded, ...]
    toml: str
    written: str


def recorded_proposal(
    records: Records, configuration: Configuration | None, *, other_answers: bool
) -> RecordedProposal:
    """Puts what records speak for into the words of a configuration.

    Args:
        records: Of a bench.
        configuration: Whose models and profiles are meant; without one they are as recorded.
        other_answers: Whether quantisations are among it.

    Raises:
        SettingsError: The records are of models that the configuration has not.
        CannotRun: The configuration cannot be written.
    """
    gains = recorded_gains(records, other_answers=other_answers)
    models = tuple(records.run["models"])
    if configuration is None:
        tables: dict[str, Any] = {"models": [{"id": name} for name in models]}
        named = Configuration("", tables, models, {}, {}, lambda path, kind: path)
    else:
        named = configuration
        _refuse_other_models(models, configuration)
    variant = Variant(tuple(sorted(_changes(records, gains, configuration).items())))
    profiles = _profiles(records, named)
    parts = [named.patch(variant) if variant.changes else "", profiles]
    toml = "\n".join(part for part in parts if part)
    written = ""
    if configuration is not None and toml:
        written = configuration.written(variant)
        written += f"\n{profiles}" if profiles else ""
    return RecordedProposal(tuple(gains), toml, written)


def _refuse_other_models(models: Sequence[str], configuration: Configuration) -> None:
    for name in models:
        if name not in configuration.ids:
            known = ", ".join(configuration.ids)
            raise SettingsError(f"the records are of {name}, and the configuration has {known}")


def _changes(
    records: Records, gains: Sequence[Recorded], configuration: Configuration | None
) -> dict[Key, Any]:
    """All gains by keys of the configuration: those of a plan are for profiles of its members."""
    plans = {plan["name"]: set(_models(plan)) for plan in records.run["sweep"]["plans"]}
    found: dict[Key, Any] = {}
    for one in gains:
        for key, value in one.changes.items():
            if key[0] != "profiles":
                # Files of other types are made for a configuration alone.
                if configuration is not None or key[-1] != QUANTISATION:
                    found[key] = value
                continue
            for name, members in _votes(configuration).items():
                if members == plans[key[1]]:
                    found["profiles", name, key[2]] = value
    return found


def _votes(configuration: Configuration | None) -> dict[str, set[str]]:
    """Members of each profile that is a vote."""
    tables = configuration.tables.get("profiles", {}) if configuration is not None else {}
    return {
        name: set(plan_of_profile(name, table).models)
        for name, table in tables.items()
        if is_one_vote(table)
    }


def _profiles(records: Records, configuration: Configuration) -> str:
    """The best plan within each time, but those whose name is taken."""
    taken = set(configuration.tables.get("profiles", {}))
    found = profiles_toml(records, advice(base_cases(summaries(records))))
    kept = [one for one in found.split("\n\n") if not any(f"[profiles.{n}]" in one for n in taken)]
    return "\n\n".join(kept)


_Times = Mapping[Case, Sequence[float]]


def _times(records: Records) -> _Times:
    """Milliseconds of an answer in each case, one for each repetition."""
    found: dict[Case, list[float]] = {}
    for one in records.measurements:
        case = case_of(one)
        whole = fmean(one["first_ms"]) + (case.answer_tokens - 1) * token_ms(one)
        found.setdefault(case, []).append(whole)
    return found


def _cores(records: Records, times: _Times) -> Iterator[Recorded]:
    """Fewer cores, where all plans that were measured with them are together faster."""
    every = int(records.run["machine"]["cores"])
    models = list(records.run["models"])

    def fewer(cores: int) -> tuple[list[float], list[tuple[Sequence[float], Sequence[float]]]]:
        pairs = [(values, times[whole]) for case, values in times.items()
                 if case.setting.cores == cores
                 and (whole := _with(case, cores=every)) in times]  # fmt: skip
        return [ratio_interval(*pair).value for pair in pairs], pairs

    for cores in sorted({case.setting.cores for case in times} - {every}):
        ratios, pairs = fewer(cores)
        if not pairs or any(ratio_interval(*pair).high >= 1 - MARGIN for pair in pairs):
            continue
        worst = max((ratio_interval(*pair) for pair in pairs), key=lambda one: one.high)
        overall = math.exp(fmean(map(math.log, ratios)))
        yield Recorded(
            {("models", model, "cores"): cores for model in models},
            f"{cores} of {every} cores",
            Interval(overall, min(overall, worst.low), worst.high),
            {},
        )


def _drafts(records: Records, times: _Times) -> Iterator[Recorded]:
    """Other drafts, of plans that differ in nothing else."""
    plans = {plan["name"]: plan for plan in records.run["sweep"]["plans"]}
    for name, plan in plans.items():
        best: Recorded | None = None
        for other, rival in plans.items():
            if other == name or _without_drafts(rival) != _without_drafts(plan):
                continue
            ratio = _ratio(times, other, name)
            if ratio is None or ratio.high >= 1 - MARGIN:
                continue
            if best is None or ratio.value < best.ratio.value:
                defaults = {"drafts": "auto", "drafts_most": 8}
                changes: dict[Key, Any] = {
                    ("profiles", name, key): rival.get(key, defaults[key])
                    for key in _DRAFTS
                    if rival.get(key, defaults[key]) != plan.get(key, defaults[key])
                }
                best = Recorded(changes, f"{name}: drafts as in {other}", ratio, {})
        if best is not None:
            yield best


def _quantisations(records: Records, times: _Times) -> Iterator[Recorded]:
    bits = {(one["plan"], one["quantisation"]): one.get("bits_per_byte")
            for one in records.qualities}  # fmt: skip
    kinds = {case.setting.quantisation for case in times} - {""}
    plans = sorted({case.plan for case in times})
    for kind in sorted(kinds):
        ratios = [
            ratio_interval(values, times[whole])
            for case, values in times.items()
            if case.setting.quantisation == kind
            and (whole := _with(case, quantisation="")) in times
        ]
        if not ratios or any(one.high >= 1 - MARGIN for one in ratios):
            continue
        losses = {}
        for plan in plans:
            before, after = bits.get((plan, "")), bits.get((plan, kind))
            if before is not None and after is not None:
                losses[plan] = after - before
        overall = math.exp(fmean(math.log(one.value) for one in ratios))
        yield Recorded(
            {("models", model, QUANTISATION): kind for model in records.run["models"]},
            f"weights as {kind}",
            Interval(overall, min(one.low for one in ratios), max(one.high for one in ratios)),
            losses,
        )


def _ratio(times: _Times, plan: str, other: str) -> Interval | None:
    """Over all cases that both were measured in; the least favourable where they differ."""
    found = [
        ratio_interval(values, times[rival])
        for case, values in times.items()
        if case.plan == plan and (rival := replace(case, plan=other)) in times
    ]
    if not found:
        return None
    value = math.exp(fmean(math.log(one.value) for one in found))
    return Interval(value, min(one.low for one in found), max(one.high for one in found))


def _with(case: Case, **changes: Any) -> Case:
    setting: Setting = replace(case.setting, **changes)
    return replace(case, setting=setting)


def _without_drafts(plan: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in plan.items() if key not in (*_DRAFTS, "name")}


def _models(plan: Mapping[str, Any]) -> tuple[str, ...]:
    named: list[str] = [plan["model"]] if "model" in plan else list(plan.get("models", ()))
    return tuple(named)
