"""How programs side by side look: who takes part, and how Quorate does against each."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quorate_bench.peers.ratios import Row, missing, rows, verdict
from quorate_bench.summary import noise_of

from quorate.amounts import duration_text
from quorate.calibration.intervals import Interval
from quorate.cli.events import print_event
from quorate.cli.notes import note
from quorate.cli.views.bench import summary_fields
from quorate.cli.views.formatting import plain_table

if TYPE_CHECKING:
    from quorate_bench.peers.running import Peers
    from quorate_bench.records import Records

_HEADINGS = (
    "program", "weights", "at once", "first token", "per token", "tokens/s", "Quorate / program",
)  # fmt: skip


def print_sides(peers: Peers, path: Path) -> None:
    """Tells on standard error which programs take part, and which cannot and why."""
    begun = f"going on with {path}" if peers.resumed else f"records go to {path}"
    names = dict.fromkeys(side.name for side in peers.sides if not side.missing)
    note(f"{'; '.join(names)}. {begun[:1].upper()}{begun[1:]}")
    for side in peers.sides:
        if side.missing:
            note(f"{side.name} is left out: {side.missing}")


def print_peers(records: Records, path: Path, *, as_json: bool) -> None:
    """What was found: a line for each program, and the command of each."""
    found = rows(records)
    if as_json:
        for one in found:
            print_event("peer", _fields(one))
        rest = {"left_out": [_left_out(*one) for one in missing(records)], "ended": records.ended}
        print_event("bench", {"records": str(path), "noise": noise_of(records), **rest})
        return
    print(plain_table([_HEADINGS, *map(_row, found)], left=(0, 1)))
    print(verdict(found))
    for side in records.run["sweep"]["sides"]:
        if any(one.side == side for one in found):
            print(f"{_name(side)}: {side['command']}")
    for name, reason in missing(records):
        print(f"left out: {name}: {reason}")
    if noise := noise_of(records):
        print(noise)
    sys.stdout.flush()


def _row(one: Row) -> tuple[str, ...]:
    summary = one.summary
    return (
        one.side["name"],
        one.side["quantisation"] or "as the file is",
        str(summary.case.concurrency),
        duration_text(summary.first_ms.value),
        f"{summary.token_ms.value:.2f} ms",
        f"{summary.tokens_per_second.value:.1f}",
        "" if one.ratio is None else _ratio(one.ratio),
    )


def _name(side: Mapping[str, str]) -> str:
    told = [part for part in (side["version"], side["quantisation"]) if part]
    return f"{side['name']} ({', '.join(told)})" if told else side["name"]


def _fields(one: Row) -> dict[str, Any]:
    ratio = one.ratio
    values = (None,) * 3 if ratio is None else (ratio.value, ratio.low, ratio.high)
    told = {key: one.side[key] for key in ("name", "against", "command", "version")}
    ratios = dict(zip(("ratio", "ratio_low", "ratio_high"), values, strict=True))
    return {**told, **summary_fields(one.summary), **ratios}


def _left_out(name: str, reason: str) -> dict[str, str]:
    return {"name": name, "reason": reason}


def _ratio(ratio: Interval) -> str:
    if ratio.low == float("-inf"):
        return f"{ratio.value:.3f}x"
    return f"{ratio.value:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]x"
