"""How the growth of a step looks: every point, and a line of verdict on each quantity."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from quorate_bench.growth.curves import Curve, Point, curves
from quorate_bench.growth.verdicts import verdict
from quorate_bench.summary import left_out, noise_of

from quorate.cli.events import print_event
from quorate.cli.notes import note
from quorate.cli.views.formatting import plain_table

if TYPE_CHECKING:
    from quorate_bench.growth.running import Growth
    from quorate_bench.records import Records

_HEADINGS = ("", "of", "at", "a step", "allowed", "step / allowed")


def print_growth_plan(growth: Growth, path: Path) -> None:
    """Tells on standard error what will be measured."""
    begun = f"going on with {path}" if growth.resumed else f"records go to {path}"
    note(f"a step of {growth.given.name} against {', '.join(growth.axes.only)}; {begun}")
    if "vocabulary" in growth.axes.only:
        names = [one.plan_name() for one in growth.given.vocabularies]
        note(f"vocabularies on small random networks: {'; '.join(names)}")


def print_growth(records: Records, path: Path, *, as_json: bool) -> None:
    """What was found."""
    found = curves(records)
    if as_json:
        for quantity, lines in found.items():
            for line in lines:
                for point in line.points:
                    print_event("step", _fields(quantity, line, point))
            print_event("growth", {"quantity": quantity, "verdict": verdict(quantity, lines)})
        rest = {"left_out": left_out(records), "ended": records.ended}
        print_event("bench", {"records": str(path), "noise": noise_of(records), **rest})
        return
    rows = [
        (quantity, line.name, f"{point.at:,.0f}", f"{point.step_ms.value:.3g} ms",
         f"{point.allowed_ms:.3g} ms", _times(point))
        for quantity, lines in found.items()
        for line in lines
        for point in line.points
    ]  # fmt: skip
    print(plain_table([_HEADINGS, *rows], left=(0, 1)))
    for quantity, lines in found.items():
        print(f"{quantity}: {verdict(quantity, lines)}")
    for missing in left_out(records):
        told = f"{missing['plan']}, {missing['concurrency']} at once"
        print(f"left out: {told}, prompt of {missing['prompt_tokens']}: {missing['reason']}")
    if noise := noise_of(records):
        print(noise)
    sys.stdout.flush()


def _times(point: Point) -> str:
    return f"{point.step_ms.value / point.allowed_ms:.2f}x" if point.allowed_ms else ""


def _fields(quantity: str, line: Curve, point: Point) -> dict[str, object]:
    return {
        "quantity": quantity,
        "line": line.name,
        "at": point.at,
        "step_ms": point.step_ms.value,
        "step_ms_low": _known(point.step_ms.low),
        "step_ms_high": _known(point.step_ms.high),
        "allowed_ms": point.allowed_ms,
        "alone_ms": _known(point.alone_ms),
    }


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
