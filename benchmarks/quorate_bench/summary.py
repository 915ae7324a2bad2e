"""From records to one line for each case: medians with intervals, percentiles over all tokens."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from types import MappingProxyType
from typing import Any

from quorate.calibration.intervals import Interval
from quorate_bench.cases import Case, case_of, place
from quorate_bench.intervals import median_interval, percentiles
from quorate_bench.measuring import TIERS
from quorate_bench.noise import Load, verdict
from quorate_bench.records import Records

TIER_WORDS = MappingProxyType(
    {
        "measured": "measured by a counter of the hardware",
        "estimated": "modelled, not measured: there is no counter that could be read here",
        "unavailable": "not known",
    }
)
"""How an energy is known, from the best to the worst, for people."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What was found of one case.

    Attributes:
        repetitions: How often it was measured.
        first_ms: To the first token.
        token_ms: Mean time of the further tokens, of each repetition.
        token_percentiles: 50th, 90th and 99th over all tokens of all repetitions, in ms.
        tokens_per_second: Of all answers at once, their prompts included.
        joules_per_token: None where energy is not known.
        joules_per_answer: None where energy is not known.
        tier: How the joules are known, at worst.
        waited_share: Share of the time in which a model was waited for; None where nobody tells.
        parts_ms: Where the time of a token went, by part; empty where the records do not tell.
        accepted_share: Of guessed tokens, those that were chosen; None where none was guessed.
        bits_per_byte: Of a text; None where the plan has none.
        accuracy: Share of questions answered rightly; None where none was asked.
    """

    case: Case
    repetitions: int
    first_ms: Interval
    token_ms: Interval
    token_percentiles: tuple[float, float, float]
    tokens_per_second: Interval
    joules_per_token: Interval | None
    joules_per_answer: Interval | None
    tier: str
    waited_share: float | None
    parts_ms: Mapping[str, float]
    accepted_share: float | None
    bits_per_byte: float | None
    accuracy: float | None


def summaries(records: Records) -> list[Summary]:
    """One for each case that was measured: the base of every plan first, in the sweep's order."""
    grouped: dict[Case, list[dict[str, Any]]] = defaultdict(list)
    for record in records.measurements:
        grouped[case_of(record)].append(record)
    qualities = {(one["plan"], one["quantisation"]): one for one in records.qualities}
    sweep, cores = records.run["sweep"], records.run["machine"]["cores"]
    plans = [plan["name"] for plan in sweep["plans"]]

    def order(case: Case) -> tuple[Any, ...]:
        return place(case, sweep["axes"], cores), plans.index(case.plan)

    return [
        _summary(case, grouped[case], qualities.get((case.plan, case.setting.quantisation), {}))
        for case in sorted(grouped, key=order)
    ]


def base_cases(found: Sequence[Summary]) -> list[Summary]:
    """Those of the point at which every plan was measured first."""
    if not found:
        return []
    first = found[0].case
    point = _point(first)
    return [one for one in found if _point(one.case) == point]


def noise_of(records: Records) -> str:
    """What speaks against a run; see ``noise.verdict``."""
    loads = [
        Load(one["other_load"], one["stolen"])
        for one in records.measurements
        if one.get("other_load") is not None
    ]
    grouped: dict[Case, list[float]] = defaultdict(list)
    for one in records.measurements:
        grouped[case_of(one)].append(median(one["gaps_ms"]))
    return verdict(loads, list(grouped.values()))


def left_out(records: Records) -> list[dict[str, Any]]:
    """Cases of which a repetition is missing, with the last reason that was found for it."""
    wanted = records.run["sweep"]["measure"]["repetitions"]
    measured = Counter(case_of(one) for one in records.measurements)
    last = {case_of(one): one for one in records.left_out}
    return [one for case, one in last.items() if measured[case] < wanted]


def _point(case: Case) -> tuple[Any, ...]:
    return case.setting, case.concurrency, case.prompt_tokens, case.answer_tokens


def _summary(case: Case, measured: Sequence[dict[str, Any]], quality: dict[str, Any]) -> Summary:
    gaps = [gap for one in measured for gap in one["gaps_ms"]]
    known = all(one["joules"] is not None for one in measured)
    drafted = sum(one["drafted"] for one in measured)
    accepted = sum(one["accepted"] for one in measured)
    return Summary(
        case,
        len(measured),
        median_interval([median(one["first_ms"]) for one in measured]),
        median_interval([token_ms(one) for one in measured]),
        percentiles(gaps),
        median_interval([one["tokens_per_second"] for one in measured]),
        median_interval([one["joules"] / one["tokens"] for one in measured]) if known else None,
        median_interval([one["joules"] / case.concurrency for one in measured]) if known else None,
        max((one["tier"] for one in measured), key=TIERS.index),
        _median_or_none([one["waited_share"] for one in measured]),
        _parts(measured, case.concurrency),
        accepted / drafted if drafted else None,
        quality.get("bits_per_byte"),
        quality.get("accuracy"),
    )


def _parts(measured: Sequence[dict[str, Any]], answers: int) -> dict[str, float]:
    """Median of each part over the repetitions, for each token behind the first of its answer."""
    told = [(one["parts_ms"], one["tokens"] - answers) for one in measured if "parts_ms" in one]
    return {
        part: median([parts[part] / tokens for parts, tokens in told])
        for part in (told[0][0] if told else ())
    }


def token_ms(measurement: dict[str, Any]) -> float:
    """Mean over the tokens of a repetition: of drafts most tokens cost nothing, and some a lot."""
    return fmean(measurement["gaps_ms"])


def _median_or_none(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if len(known) == len(values) else None
