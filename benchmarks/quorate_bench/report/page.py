"""The page: figures, tables and what speaks against them, in one file that asks nobody."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from quorate_bench.records import Records
from quorate_bench.report.advice import Advice, advice
from quorate_bench.report.growth import GROWTH_HEADINGS, growth_rows
from quorate_bench.report.markup import (
    NOT_KNOWN,
    about,
    digits,
    document,
    figure,
    number,
    table,
    text,
)
from quorate_bench.report.peers import PEER_HEADINGS, peer_rows
from quorate_bench.report.pictures import pictures
from quorate_bench.report.profiles import profiles_toml
from quorate_bench.summary import TIER_WORDS, Summary, base_cases, left_out

_COLUMNS = (
    ("plan", ""), ("cores", ""), ("answers at once", ""), ("prompt", "tokens"),
    ("answer", "tokens"), ("context", "tokens"), ("type", ""), ("first token", "ms"),
    ("per token", "ms"), ("p50", "ms"), ("p90", "ms"), ("p99", "ms"),
    ("all together", "tokens/s"), ("per token", "J"), ("per answer", "J"),
    ("drafts accepted", "%"), ("text", "bits/byte"), ("right", "%"),
)  # fmt: skip


def page(records: Records, found: Sequence[Summary]) -> str:
    """A report as HTML; ``found`` is what ``summaries`` makes of the records."""
    return document(
        f"Quorate bench “{records.run['sweep']['name']}”",
        [
            *about(records),
            *_advice(records, _advised(records, found)),
            *(figure(one) for one in pictures(records, found)),
            *_side_by_side(records),
            *_parts(base_cases(found)),
            *_table(found),
            *_servers(records),
            *_left_out(records),
        ],
    )


def _advice(records: Records, found: Sequence[Advice]) -> Iterator[str]:
    if not found:
        return
    yield "<h2>Which plan for which budget</h2>"
    rows = [
        [
            one.summary.case.plan,
            f"{one.limit:.0f} ms"
            if math.isfinite(one.limit)
            else f"{one.summary.token_ms.value:.0f} ms",
            one.why,
            number(one.summary.joules_per_token, 3, " J"),
        ]
        for one in found
    ]
    yield table(("best plan", "where a token may take", "how good", "energy per token"), rows)
    yield "<p>As profiles for <code>quorate.toml</code>:</p>"
    yield f"<pre>{text(profiles_toml(records, found))}</pre>"


def _advised(records: Records, found: Sequence[Summary]) -> list[Advice]:
    """None of a run whose plans are no choice of anybody's."""
    return [] if "about" in records.run["sweep"] else advice(base_cases(found))


def _side_by_side(records: Records) -> Iterator[str]:
    match records.run["sweep"].get("about"):
        case "peers":
            yield "<h2>Quorate against every program</h2>"
            yield table(PEER_HEADINGS, peer_rows(records))
            yield (
                '<p class="small">Less than 1: Quorate is the faster one. Of one answer per token '
                "after the first, of several at once per token of all together, prompts included; "
                "medians of the rounds in which both answered, on the same weights.</p>"
            )
        case "growth":
            yield "<h2>Every step</h2>"
            yield table(GROWTH_HEADINGS, growth_rows(records))
            yield (
                '<p class="small">The least that this machine allows: reading weights, KV cache '
                "and rows at the speed at which it reads an array of that size, or computing a "
                "token for each answer as fast as a long prompt is read, whichever takes "
                "longer.</p>"
            )


def _table(found: Sequence[Summary]) -> Iterator[str]:
    if not found:
        yield "<p>Nothing was measured.</p>"
        return
    yield "<h2>All cases</h2>"
    headings = [f"{name} ({unit})" if unit else name for name, unit in _COLUMNS]
    yield table(headings, [_row(one) for one in found])
    repetitions = max(one.repetitions for one in found)
    tiers = ", or ".join(TIER_WORDS[tier] for tier in sorted({one.tier for one in found}))
    yield (
        f'<p class="small">Medians of up to {repetitions} repetitions, 95 % intervals in brackets '
        f"(percentile bootstrap). Energy is {text(tiers)}.</p>"
    )


def _row(one: Summary) -> list[str]:
    case = one.case
    return [
        case.plan,
        str(case.setting.cores),
        str(case.concurrency),
        str(case.prompt_tokens),
        str(case.answer_tokens),
        str(case.setting.context_length),
        case.setting.quantisation or "as it is",
        number(one.first_ms, 3),
        number(one.token_ms, 3),
        *(digits(value, 3) for value in one.token_percentiles),
        number(one.tokens_per_second, 3),
        number(one.joules_per_token, 3),
        number(one.joules_per_answer, 3),
        NOT_KNOWN if one.accepted_share is None else f"{100 * one.accepted_share:.0f}",
        NOT_KNOWN if one.bits_per_byte is None else f"{one.bits_per_byte:.3f}",
        NOT_KNOWN if one.accuracy is None else f"{100 * one.accuracy:.0f}",
    ]


def _parts(base: Sequence[Summary]) -> Iterator[str]:
    told = [one for one in base if sum(one.parts_ms.values())]
    if not told:
        return
    yield "<h2>Parts of a token's time</h2>"
    parts = list(told[0].parts_ms)
    rows = [
        [
            one.case.plan,
            *(f"{one.parts_ms[part]:.3f}" for part in parts),
            f"{sum(one.parts_ms.values()):.2f}",
        ]
        for one in told
    ]
    yield table(["plan", *(f"{part} (ms)" for part in parts), "together (ms)"], rows)
    yield (
        '<p class="small">As the service measures it behind the first token, medians. What is done '
        "while models compute, such as writing to the reader, takes no time of its own. One model "
        "alone draws its tokens in its own process, which is in exchange.</p>"
    )


def _servers(records: Records) -> Iterator[str]:
    yield "<h2>Loading and memory</h2>"
    rows = [
        [
            str(one["cores"]),
            str(one["context_length"]),
            one["quantisation"] or "as it is",
            ", ".join(f"{name} {seconds:.1f} s" for name, seconds in one["load_seconds"].items()),
            f"{one['memory_bytes'] / 1e9:.2f} GB",
        ]
        for one in records.servers
    ]
    yield table(("cores", "context", "type", "loaded in", "memory of all processes"), rows)


def _left_out(records: Records) -> Iterator[str]:
    found = left_out(records)
    if not found:
        return
    yield "<h2>Left out</h2><ul>"
    for one in found:
        case = (
            f"{one['plan']}: {one['cores']} cores, {one['concurrency']} at once, prompt of "
            f"{one['prompt_tokens']}, answer of {one['answer_tokens']} tokens"
        )
        yield f"<li>{text(case)}: {text(one['reason'])}</li>"
    yield "</ul>"
