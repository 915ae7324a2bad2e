"""How a bench looks: what is planned, how far it is, and what was found."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quorate_bench.compare import QUANTITIES, other_files
from quorate_bench.summary import TIER_WORDS, Summary, left_out, noise_of, summaries

from quorate.amounts import duration_text, joules_text, span_text
from quorate.calibration.intervals import Interval
from quorate.cli.events import print_event
from quorate.cli.notes import note
from quorate.cli.views.formatting import plain_table

if TYPE_CHECKING:
    from quorate_bench.bench import Bench
    from quorate_bench.compare import Compared
    from quorate_bench.records import Records
    from quorate_bench.running import Progress

_LINE_SECONDS = 10.0
_NOT_KNOWN = "\N{EN DASH}"
_HEADINGS = (
    "plan", "cores", "at once", "prompt", "answer", "type", "first token", "per token", "p99",
    "tokens/s", "J/token", "bits/byte",
)  # fmt: skip


def print_plan(bench: Bench, path: Path) -> None:
    """Tells on standard error what will be measured, and what will not and why."""
    planned = bench.planned
    begun = f"going on with {path}" if bench.resumed else f"records go to {path}"
    repetitions = bench.records.run["sweep"]["measure"]["repetitions"]
    seconds = span_text(planned.seconds)
    note(f"{len(planned.cases)} cases, {repetitions} times each, some {seconds}; {begun}")
    reasons: dict[str, int] = {}
    for one in planned.left_out:
        reasons[one.reason] = reasons.get(one.reason, 0) + 1
    for reason, count in reasons.items():
        note(f"{count} case{'' if count == 1 else 's'} left out: {reason}")


@contextmanager
def bench_progress() -> Iterator[Progress]:
    """A bar on a terminal, a line now and then in a pipe; on standard error."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn
    from rich.progress import Progress as Bars

    from quorate.cli.views.terminal import Console

    text = TextColumn("{task.fields[left]}{task.fields[what]}", markup=False)
    columns = SpinnerColumn(), BarColumn(bar_width=24), MofNCompleteColumn(), text
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("", total=None, left="", what="")

        def progress(done: int, total: int, seconds: float, what: str) -> None:
            left = f"{span_text(seconds)} left, " if seconds else ""
            bars.update(task, completed=done, total=total, left=left, what=what)

        yield progress


class _Lines:
    def __init__(self) -> None:
        self._shown_at = -math.inf

    def __call__(self, done: int, total: int, seconds: float, what: str) -> None:
        now = time.monotonic()
        if now - self._shown_at >= _LINE_SECONDS:
            self._shown_at = now
            left = f"some {span_text(seconds)} left" if seconds else "almost there"
            note(f"{done} of {total} measured, {left}: {what}")


def print_summaries(records: Records, path: Path, *, as_json: bool) -> None:
    """What was found: a line for each case."""
    found = summaries(records)
    if as_json:
        for one in found:
            print_event("case", summary_fields(one))
        rest = {"left_out": left_out(records), "ended": records.ended}
        print_event("bench", {"records": str(path), "noise": noise_of(records), **rest})
        return
    machine = records.run["machine"]
    bandwidth = machine["read_bytes_per_second"] / 1e9
    print(f"{machine['cpu']}, {machine['cores']} cores, memory read at {bandwidth:.1f} GB/s")
    print(plain_table([_HEADINGS, *map(_row, found)], left=(0,)))
    for tier in sorted({one.tier for one in found}):
        print(f"energy is {TIER_WORDS[tier]}")
    print("95 % intervals are in --json and the report")
    missing: dict[str, list[str]] = {}
    for case in left_out(records):
        missing.setdefault(case["reason"], []).append(f"{case['plan']} ({_point(case)})")
    for reason, cases in missing.items():
        print(f"left out, {reason}: {', '.join(cases)}")
    if noise := noise_of(records):
        print(noise)
    sys.stdout.flush()


def _point(case: Mapping[str, Any]) -> str:
    kind = f"{case['quantisation']}, " if case["quantisation"] else ""
    return f"{kind}{case['concurrency']} at once, prompt {case['prompt_tokens']}"


def print_written(paths: Sequence[Path], *, as_json: bool) -> None:
    """Tells which files there are now."""
    for path in paths:
        if as_json:
            print_event("written", {"path": str(path)})
        else:
            print(f"wrote {path}", flush=True)


def print_comparison(
    found: Sequence[Compared], first: Records, second: Records, *, as_json: bool
) -> None:
    """Ratios of what two runs both measured."""
    if as_json:
        for one in found:
            ratio = _interval("ratio", one.ratio)
            told = {**one.case.told(), "quantity": one.quantity, **ratio, "verdict": one.verdict}
            print_event("compared", told)
        return
    for name, records in (("first", first), ("second", second)):
        run = records.run
        version = run["versions"].get("quorate", "")
        print(f"{name:6}  {run['machine']['cpu']}, quorate {version} {run['commit']}".rstrip())
    for model in other_files(first, second):
        print(f"model {model} is not the same file in both")
    if not found:
        print("no case was measured in both")
    rows = [
        (one.case.plan, f"{one.case.concurrency}", f"{one.case.prompt_tokens}",
         QUANTITIES[one.quantity], _ratio(one.ratio), one.verdict)
        for one in found
    ]  # fmt: skip
    heading = ("plan", "at once", "prompt", "", "second / first", "")
    print(plain_table([heading, *rows], left=(0, 3, 5)))
    sys.stdout.flush()


def summary_fields(one: Summary) -> dict[str, Any]:
    """A summary as a JSON object; times in ms, energies in J."""
    p50, p90, p99 = one.token_percentiles
    fields: dict[str, Any] = {
        **one.case.told(), "repetitions": one.repetitions,
        **_interval("first_ms", one.first_ms), **_interval("token_ms", one.token_ms),
        "token_p50_ms": p50, "token_p90_ms": p90, "token_p99_ms": p99,
        **_interval("tokens_per_second", one.tokens_per_second),
    }  # fmt: skip
    for name in ("joules_per_token", "joules_per_answer"):
        fields |= _interval(name, getattr(one, name))
    rest = asdict(one)
    for name in ("tier", "waited_share", "accepted_share", "bits_per_byte", "accuracy"):
        fields[name] = rest[name]
    return {**fields, "parts_ms": dict(one.parts_ms)}


def _interval(name: str, interval: Interval | None) -> dict[str, float | None]:
    values = (None,) * 3 if interval is None else (interval.value, interval.low, interval.high)
    return dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))


def _row(one: Summary) -> tuple[str, ...]:
    case = one.case
    joules = one.joules_per_token
    return (
        case.plan,
        str(case.setting.cores),
        str(case.concurrency),
        str(case.prompt_tokens),
        str(case.answer_tokens),
        case.setting.quantisation or "as it is",
        duration_text(one.first_ms.value),
        _ms(one.token_ms.value),
        _ms(one.token_percentiles[2]),
        f"{one.tokens_per_second.value:.1f}",
        _NOT_KNOWN if joules is None else joules_text(joules.value),
        _NOT_KNOWN if one.bits_per_byte is None else f"{one.bits_per_byte:.3f}",
    )


def _ratio(ratio: Interval) -> str:
    return f"{ratio.value:.3g} [{ratio.low:.3g}, {ratio.high:.3g}]x"


def _ms(value: float) -> str:
    return f"{value:.1f} ms" if value < 100 else f"{value:.0f} ms"
