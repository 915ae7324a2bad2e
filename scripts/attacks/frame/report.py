"""What came of the cases, as a table for people and as JSON lines for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from attacks.frame.run import Outcome

_HEAD = ("case", "quiet p50/p99/worst ms", "attacked p50/p99/worst ms", "MB", "fds", "")


def line(outcome: Outcome) -> str:
    """One JSON object."""
    return json.dumps(asdict(outcome))


def table(outcomes: Sequence[Outcome]) -> str:
    """A row for each case, and under it what the attacker tells and what is wrong."""
    rows = [_HEAD, *map(_row, outcomes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = []
    for index, row in enumerate(rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join(cells).rstrip())
        if index:
            outcome = outcomes[index - 1]
            lines.append(f"    told: {outcome.told}")
            lines += [f"    FAILS: {problem}" for problem in outcome.problems]
            lines += [f"    lost: {failure}" for failure in outcome.failures[:3]]
    return "\n".join(lines)


def _row(outcome: Outcome) -> tuple[str, ...]:
    quiet, attacked = outcome.quiet, outcome.attacked
    memory = (outcome.memory_before, outcome.memory_peak, outcome.memory_after)
    return (
        outcome.case,
        f"{quiet.p50_ms:.0f} / {quiet.p99_ms:.0f} / {quiet.worst_ms:.0f}",
        f"{attacked.p50_ms:.0f} / {attacked.p99_ms:.0f} / {attacked.worst_ms:.0f}",
        " -> ".join(f"{part / 1e6:.0f}" for part in memory),
        f"{outcome.descriptors_before} -> {outcome.descriptors_after}",
        "FAILS" if outcome.problems else "holds",
    )
