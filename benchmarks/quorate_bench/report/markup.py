"""What all pages have in common: their frame, tables, figures, numbers. No page asks anybody."""

from __future__ import annotations

import base64
import html
import math
import time
from collections.abc import Iterable, Iterator, Sequence

from quorate.calibration.intervals import Interval
from quorate_bench.records import Records
from quorate_bench.report.drawing import NARROW, WIDE, Picture, svg
from quorate_bench.summary import noise_of

NOT_KNOWN = "\N{EN DASH}"
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
td { white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal; min-width: 9rem; }
th { vertical-align: bottom; }
.small { opacity: .75; font-size: .8rem; }
.warning { border-left: 4px solid #d55e00; padding: .4rem .8rem; }
pre { overflow-x: auto; padding: .8rem; background: #8882; border-radius: 6px; }
"""


def document(title: str, body: Iterable[str]) -> str:
    """A whole page."""
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<link rel="icon" href="data:,">',
            f"<title>{text(title)}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{text(title)}</h1>",
            *body,
            "</body></html>",
        ]
    )


def about(records: Records) -> Iterator[str]:
    """The machine, when and by what it was measured, and what speaks against that."""
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
    yield f"<p>{text('; '.join(facts))}.</p>"
    commit = f", commit {run['commit']}" if run["commit"] else ""
    yield f'<p class="small">{text(f"{day}; {versions}{commit}")}.</p>'
    if noise := noise_of(records):
        yield f'<p class="warning">{text(noise[:1].upper() + noise[1:])}. Measure again.</p>'
    if not records.ended:
        yield '<p class="warning">The run has not come to its end.</p>'


def figure(picture: Picture) -> str:
    """A picture with its title and what it says."""
    wide, narrow = (_data(svg(picture, picture.size(size))) for size in (WIDE, NARROW))
    alt = html.escape(f"{picture.title}. {picture.says}", quote=True)
    return (
        f"<h2>{text(picture.title)}</h2><figure><picture>"
        f'<source media="(max-width: 40rem)" srcset="{narrow}">'
        f'<img src="{wide}" alt="{alt}"></picture>'
        f"<figcaption>{text(picture.says)}</figcaption></figure>"
    )


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table that is scrolled where it is wider than the page."""
    head = "".join(f"<th>{text(one)}</th>" for one in headings)
    body = "".join(
        "<tr>" + "".join(f"<td>{text(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    rows_of_it = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="scroll"><table>{rows_of_it}</table></div>'


def number(interval: Interval | None, places: int, unit: str = "") -> str:
    """A value with its interval in brackets, where it has one."""
    if interval is None:
        return NOT_KNOWN
    value = f"{digits(interval.value, places)}{unit}"
    if not math.isfinite(interval.low) or not math.isfinite(interval.high):
        return value
    return f"{value} [{digits(interval.low, places)}, {digits(interval.high, places)}]"


def digits(value: float, places: int) -> str:
    """Without an exponent, which nobody reads in a table."""
    return f"{value:.0f}" if abs(value) >= 10**places else f"{value:.{places}g}"


def _data(content: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(content).decode()}"


def text(written: str) -> str:
    """A text of others as HTML shows it."""
    return html.escape(str(written), quote=False)
