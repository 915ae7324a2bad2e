"""How Quorate does against each program, from records. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quorate.calibration.intervals import Interval
from quorate_bench.cases import Case, case_of
from quorate_bench.intervals import median_interval
from quorate_bench.records import Records
from quorate_bench.summary import Summary, summaries, token_ms


@dataclass(frozen=True, slots=True)
class Row:
    """One program at one concurrency.

    Attributes:
        side: What the records say of it: name, command, version, what it is held against.
        summary: What was found of it.
        ratio: Quorate's time over its own, less than 1 where Quorate is the faster; per token of
            one answer, of several at once per token of all together. None for Quorate itself.
    """

    side: Mapping[str, str]
    summary: Summary
    ratio: Interval | None


def rows(records: Records) -> list[Row]:
    """Every program that was measured, in the order of the run, one answer first."""
    found = {one.case: one for one in summaries(records)}
    values = _values(records)
    made = []
    for streams in records.run["sweep"]["axes"]["concurrency"]:
        for side in records.run["sweep"]["sides"]:
            for case, summary in found.items():
                if _is_of(case, side["name"], side["quantisation"], streams):
                    made.append(Row(side, summary, _ratio(values, case, side["against"])))
    return made


def ratio_of(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Interval | None:
    """Median of the ratios round by round, since both were measured in each, in turn.

    Args:
        ours: Seconds by repetition.
        theirs: The same.
    """
    both = [ours[k] / theirs[k] for k in ours if theirs.get(k)]
    return median_interval(both) if both else None


def _ratio(values: Mapping[Case, Mapping[int, float]], case: Case, against: str) -> Interval | None:
    if not against:
        return None
    for other, ours in values.items():
        if _is_of(other, against, case.setting.quantisation, case.concurrency):
            return ratio_of(ours, values[case])
    return None


def _values(records: Records) -> dict[Case, dict[int, float]]:
    """What a token took in each repetition, in ms."""
    found: dict[Case, dict[int, float]] = {}
    for one in records.measurements:
        found.setdefault(case_of(one), {})[int(one["repetition"])] = _token_ms(one)
    return found


def _token_ms(one: Mapping[str, Any]) -> float:
    if one["concurrency"] == 1:
        return token_ms(dict(one))
    return 1e3 / float(one["tokens_per_second"])


def _is_of(case: Case, name: str, quantisation: str, streams: int) -> bool:
    asked = (case.plan, case.setting.quantisation, case.concurrency)
    return asked == (name, quantisation, streams)


def missing(records: Records) -> list[tuple[str, str]]:
    """Programs of which nothing was measured, with the last reason that was found for each."""
    measured = {(one["plan"], one["quantisation"]) for one in records.measurements}
    reasons = {(one["plan"], one["quantisation"]): one["reason"] for one in records.left_out}
    return [(plan, why) for (plan, kind), why in reasons.items() if (plan, kind) not in measured]


def verdict(found: Sequence[Row]) -> str:
    """What the ratios say of one answer at a time, in a sentence."""
    alone = [one for one in found if one.ratio is not None and one.summary.case.concurrency == 1]
    if not alone:
        return "No other program was measured."
    faster = [one.side["name"] for one in alone if one.ratio is not None and one.ratio.high < 1]
    slower = [one.side["name"] for one in alone if one.ratio is not None and one.ratio.low > 1]
    parts = [
        *([f"faster than {listed(faster)}"] if faster else []),
        *([f"slower than {listed(slower)}"] if slower else []),
    ]
    if not parts:
        return "With one answer at a time no difference to any program is larger than the noise."
    return f"With one answer at a time Quorate is {', '.join(parts)}, on the same weights."


def listed(names: Sequence[str]) -> str:
    """Names as a sentence has them."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
