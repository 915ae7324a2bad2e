"""A run as a table of Markdown: what a document, an issue or a letter can hold of it. Pure."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from statistics import median

from quorate.amounts import duration_text, joules_text
from quorate.calibration.intervals import Interval
from quorate_bench.cases import Case, case_of
from quorate_bench.intervals import ratio_interval
from quorate_bench.records import Records
from quorate_bench.summary import TIER_WORDS, Summary, base_cases, noise_of, token_ms

_NOT_KNOWN = "\N{EN DASH}"


def markdown(records: Records, found: Sequence[Summary]) -> str:
    """A line for each plan at the base, with when and on what it was measured.

    Args:
        records: Of the run.
        found: What ``summaries`` makes of them.
    """
    base = base_cases(found)
    if not base:
        return "Nothing was measured.\n"
    first, crowd = base[0].case, max(one.case.concurrency for one in found)
    headings = [
        "plan", "first token", "each further token", f"against `{first.plan}`",
        "energy a token", "bits per byte", "right",
    ]  # fmt: skip
    if crowd > first.concurrency:
        headings.insert(4, f"tokens/s, {crowd} at once")
    rows = [_row(records, found, one, first, crowd) for one in base]
    # What nobody has is no column.
    kept = [at for at in range(len(headings)) if any(row[at] != _NOT_KNOWN for row in rows)]
    table = [[row[at] for at in kept] for row in (headings, ["---"] * len(headings), *rows)]
    lines = ["| " + " | ".join(row) + " |" for row in table]
    return "\n".join([*_about(records, base), "", *lines]) + "\n"


def _about(records: Records, base: Sequence[Summary]) -> list[str]:
    run, machine, case = records.run, records.run["machine"], base[0].case
    day = time.strftime("%Y-%m-%d", time.gmtime(run["at"]))
    version = " ".join(filter(None, (run["versions"].get("quorate", ""), run["commit"])))
    repetitions = max(one.repetitions for one in base)
    tier = max((one.tier for one in base), key=list(TIER_WORDS).index)
    medians = (
        f"medians of {repetitions} repetitions, with 95 % intervals"
        if repetitions > 1
        else "measured once"
    )
    speed = f"{machine['read_bytes_per_second'] / 1e9:.1f} GB/s"
    facts = (
        f"Measured on {day} by `quorate bench`, version {version}: {machine['cpu']}, "
        f"{case.setting.cores} of {machine['cores']} cores, memory read at {speed}. "
        f"Prompts of {case.prompt_tokens} tokens, answers of {case.answer_tokens}, greedy; "
        f"{medians}. Energy is {TIER_WORDS[tier]}."
    )
    noise = noise_of(records)
    return [facts, *([f"\n**{noise[:1].upper()}{noise[1:]}.**"] if noise else [])]


def _row(
    records: Records, found: Sequence[Summary], one: Summary, first: Case, crowd: int
) -> list[str]:
    joules = one.joules_per_token
    cells = [
        one.case.plan,
        duration_text(one.first_ms.value),
        f"{one.token_ms.value:.3g} ms{_range(one.token_ms)}",
        "1" if one.case == first else _against(records, one.case, first),
        _NOT_KNOWN if joules is None else joules_text(joules.value),
        _NOT_KNOWN if one.bits_per_byte is None else f"{one.bits_per_byte:.3f}",
        _NOT_KNOWN if one.accuracy is None else f"{one.accuracy:.0%}",
    ]
    if crowd > first.concurrency:
        cells.insert(4, _crowded(found, one.case, crowd))
    return [cell.replace("|", "\\|") for cell in cells]


def _against(records: Records, case: Case, first: Case) -> str:
    """Time per token over that of the first plan."""
    times: dict[Case, list[float]] = {case: [], first: []}
    for one in records.measurements:
        if (found := case_of(one)) in times:
            times[found].append(token_ms(one))
    ratio = ratio_interval(times[case], times[first])
    return f"{ratio.value:.2f}x{_range(ratio)}"


def _crowded(found: Sequence[Summary], case: Case, crowd: int) -> str:
    told = [
        one.tokens_per_second.value
        for one in found
        if {**one.case.told(), "concurrency": case.concurrency} == case.told()
        and one.case.concurrency == crowd
    ]
    return f"{median(told):.1f}" if told else _NOT_KNOWN


def _range(interval: Interval) -> str:
    if not math.isfinite(interval.low) or not math.isfinite(interval.high):
        return ""
    return f" ({interval.low:.3g} to {interval.high:.3g})"
