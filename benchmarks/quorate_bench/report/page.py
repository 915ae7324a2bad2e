"""The page: figures, tables and what speaks against them, in one file that asks nobody."""

from __future__ import annotations

import base64
import html
import math
import time
from collections.abc import Iterator, Sequence

from quorate.calibration.intervals import Interval
from quorate_bench.records import Records
from quorate_bench.report.advice import Advice, advice
from quorate_bench.report.drawing import NARROW, WIDE, Picture, svg
from quorate_bench.report.growth import GROWTH_HEADINGS, growth_rows
from quorate_bench.report.peers import PEER_HEADINGS, peer_rows
from quorate_bench.report.pictures import pictures
from quorate_bench.report.profiles import profiles_toml
from quorate_bench.summary import Summary, base_cases, left_out, noise_of

_NOT_KNOWN = "\N{EN DASH}"
_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
figure { margin: 0; }
figure img { width: 100%; height: auto; background: #fff; border-radius: 6px; }
figcaption { margin-top: .4rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #8884; }
th:first-child, td:first-child { text-align: left; }
th { vertical-align: bottom; }
.small { opacity: .75; font-size: .8rem; }
.warning { border-left: 4px solid #d55e00; padding: .4rem .8rem; }
pre { overflow-x: auto; padding: .8rem; background: #8882; border-radius: 6px; }
"""
_COLUMNS = (
    ("plan", ""), ("cores", ""), ("answers at once", ""), ("prompt", "tokens"),
    ("answer", "tokens"), ("context", "tokens"), ("type", ""), ("first token", "ms"),
    ("per token", "ms"), ("p50", "ms"), ("p90", "ms"), ("p99", "ms"),
    ("all together", "tokens/s"), ("per token", "J"), ("per answer", "J"),
    ("drafts accepted", "%"), ("text", "bits/byte"), ("right", "%"),
)  # fmt: skip


def page(records: Records, found: Sequence[Summary]) -> str:
    """A report as HTML; ``found`` is what ``summaries`` makes of the records."""
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<link rel="icon" href="data:,">',
            f"<title>{_text(_title(records))}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{_text(_title(records))}</h1>",
            *_about(records),
            *_advice(records, _advised(records, found)),
            *(_figure(one) for one in pictures(records, found)),
            *_side_by_side(records),
            *_table(found),
            *_servers(records),
            *_left_out(records),
            "</body></html>",
        ]
    )


def _title(records: Records) -> str:
    return f"Quorate bench “{records.run['sweep']['name']}”"


def _about(records: Records) -> Iterator[str]:
    run, machine = records.run, records.run["machine"]
    day = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(run["at"]))
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    memory = machine["memory_bytes"] / 2**30
    facts = [
        f"{machine['cpu']}, {machine['cores']} cores, {memory:.0f} GiB",
        f"memory read at {machine['read_bytes_per_second'] / 1e9:.1f} GB/s, measured",
        *([f"caches {', '.join(machine['caches'])}"] if machine["caches"] else []),
        *([f"GPUs {', '.join(machine['gpus'])}"] if machine["gpus"] else []),
        *([f"governor {machine['governor']}"] if machine["governor"] else []),
        machine["system"],
    ]
    yield f"<p>{_text('; '.join(facts))}.</p>"
    commit = f", commit {run['commit']}" if run["commit"] else ""
    yield f'<p class="small">{_text(f"{day}; {versions}{commit}")}.</p>'
    if noise := noise_of(records):
        yield f'<p class="warning">{_text(noise[:1].upper() + noise[1:])}. Measure again.</p>'
    if not records.ended:
        yield '<p class="warning">The run has not come to its end.</p>'


def _advice(records: Records, found: Sequence[Advice]) -> Iterator[str]:
    if not found:
        return
    yield "<h2>Which plan for which budget</h2>"
    rows = [
        [
            f"{one.limit:.0f} ms"
            if math.isfinite(one.limit)
            else f"{one.summary.token_ms.value:.0f} ms",
            one.summary.case.plan,
            one.why,
            _number(one.summary.joules_per_token, 3, " J"),
        ]
        for one in found
    ]
    yield _html_table(("a token may take", "best plan", "how good", "energy per token"), rows)
    yield "<p>As profiles for <code>quorate.toml</code>:</p>"
    yield f"<pre>{_text(profiles_toml(records, found))}</pre>"


def _advised(records: Records, found: Sequence[Summary]) -> list[Advice]:
    """None of a run whose plans are no choice of anybody's."""
    return [] if "about" in records.run["sweep"] else advice(base_cases(found))


def _side_by_side(records: Records) -> Iterator[str]:
    match records.run["sweep"].get("about"):
        case "peers":
            yield "<h2>Quorate against every program</h2>"
            yield _html_table(PEER_HEADINGS, peer_rows(records))
            yield (
                '<p class="small">Less than 1: Quorate is the faster one. Of one answer per token '
                "after the first, of several at once per token of all together, prompts included; "
                "medians of the rounds in which both answered, on the same weights.</p>"
            )
        case "growth":
            yield "<h2>Every step</h2>"
            yield _html_table(GROWTH_HEADINGS, growth_rows(records))
            yield (
                '<p class="small">The least that this machine allows: reading weights, KV cache '
                "and rows at the speed at which it reads an array of that size, or computing a "
                "token for each answer as fast as a long prompt is read, whichever takes "
                "longer.</p>"
            )


def _figure(picture: Picture) -> str:
    wide, narrow = (_data(svg(picture, size)) for size in (WIDE, NARROW))
    alt = html.escape(f"{picture.title}. {picture.says}", quote=True)
    return (
        f"<h2>{_text(picture.title)}</h2><figure><picture>"
        f'<source media="(max-width: 40rem)" srcset="{narrow}">'
        f'<img src="{wide}" alt="{alt}"></picture>'
        f"<figcaption>{_text(picture.says)}</figcaption></figure>"
    )


def _table(found: Sequence[Summary]) -> Iterator[str]:
    if not found:
        yield "<p>Nothing was measured.</p>"
        return
    yield "<h2>All cases</h2>"
    headings = [f"{name} ({unit})" if unit else name for name, unit in _COLUMNS]
    yield _html_table(headings, [_row(one) for one in found])
    repetitions = max(one.repetitions for one in found)
    yield (
        f'<p class="small">Medians of up to {repetitions} repetitions, 95 % intervals in brackets '
        f"(percentile bootstrap). Energy is {_text(found[0].tier)}.</p>"
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
        _number(one.first_ms, 3),
        _number(one.token_ms, 3),
        *(_digits(value, 3) for value in one.token_percentiles),
        _number(one.tokens_per_second, 3),
        _number(one.joules_per_token, 3),
        _number(one.joules_per_answer, 3),
        _NOT_KNOWN if one.accepted_share is None else f"{100 * one.accepted_share:.0f}",
        _NOT_KNOWN if one.bits_per_byte is None else f"{one.bits_per_byte:.3f}",
        _NOT_KNOWN if one.accuracy is None else f"{100 * one.accuracy:.0f}",
    ]


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
    yield _html_table(("cores", "context", "type", "loaded in", "memory of all processes"), rows)


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
        yield f"<li>{_text(case)}: {_text(one['reason'])}</li>"
    yield "</ul>"


def _html_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{_text(one)}</th>" for one in headings)
    body = "".join(
        "<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    table = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="scroll"><table>{table}</table></div>'


def _number(interval: Interval | None, digits: int, unit: str = "") -> str:
    if interval is None:
        return _NOT_KNOWN
    value = f"{_digits(interval.value, digits)}{unit}"
    if not math.isfinite(interval.low) or not math.isfinite(interval.high):
        return value
    return f"{value} [{_digits(interval.low, digits)}, {_digits(interval.high, digits)}]"


def _digits(value: float, digits: int) -> str:
    """Without an exponent, which nobody reads in a table."""
    return f"{value:.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"


def _data(content: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(content).decode()}"


def _text(text: str) -> str:
    return html.escape(str(text), quote=False)
