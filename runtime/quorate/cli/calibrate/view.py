"""How a calibration looks: tables on a terminal, plain text in a pipe, or JSON lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from quorate.calibration.intervals import share_interval
from quorate.cli.calibrate.report import Outcome, Report
from quorate.cli.calibrate.toml import cascade_profile, weights_profile
from quorate.cli.calibrate.words import (
    CONFIDENCE_HEADINGS,
    HEADINGS,
    accuracy_rows,
    cascade_lines,
    confidence_rows,
    remarks,
    trial_line,
    verdict_line,
    weights_lines,
)
from quorate.cli.quantities import plain_table

_LEFT = (0, 1)
_CONFIDENCE_LEFT = (0, 1, 2)


def print_report(report: Report, written: Path, answers: Path, *, as_json: bool) -> None:
    """Prints what was found out and where it was written.

    Args:
        report: What was found out.
        written: The file for the server.
        answers: The file of answers.
        as_json: Whether programs read it.
    """
    if as_json:
        for line in json_lines(report, written, answers):
            print(json.dumps(line))
    else:
        for block in _blocks(report):
            print(block, end="\n\n")
        print(f"written to {written}; the answers are kept in {answers}")
    sys.stdout.flush()


def json_lines(report: Report, written: Path, answers: Path) -> Iterator[dict[str, Any]]:
    """One object for each finding, its kind under ``event``."""
    for outcome in report.outcomes:
        yield from _plan_lines(outcome)
    for verdict in report.verdicts:
        yield {
            "event": "verdict",
            "name": verdict.vote.name,
            "best_member": verdict.member.name,
            **asdict(verdict.comparison),
        }
    for number, suggested in enumerate(report.weights, start=1):
        toml = weights_profile(suggested, number)
        yield {"event": "weights", "weights": dict(suggested.weights), "toml": toml}
    for cascade in report.cascades:
        yield {
            "event": "cascade",
            "first": cascade.first.name,
            "last": cascade.last.name,
            "unit": cascade.unit,
            "pays": cascade.advice.pays,
            **asdict(cascade.advice),
            "toml": cascade_profile(cascade),
        }
    if report.trial is not None:
        yield {
            "event": "classifier",
            "on": report.trial.pays,
            "by_domain": report.by_domain,
            **asdict(report.trial),
        }
    yield {"event": "written", "path": str(written), "answers": str(answers)}


def _plan_lines(outcome: Outcome) -> Iterator[dict[str, Any]]:
    for task, counted in outcome.tallies.items():
        share = share_interval(counted)
        yield {
            "event": "accuracy",
            "name": outcome.plan.name,
            "vote": outcome.plan.vote or None,
            "task": task,
            "cases": int(counted.cases),
            "right": int(counted.right),
            "accuracy": share.value,
            "low": share.low,
            "high": share.high,
        }
    yield {
        "event": "cost",
        "name": outcome.plan.name,
        "time_ms": outcome.mean_ms,
        "joules": outcome.mean_joules,
        "energy_tier": outcome.tier,
        "unanswered": outcome.unanswered,
        "cut": outcome.cut,
    }
    for task, fitted in outcome.confidences.items():
        yield {
            "event": "confidence",
            "name": outcome.plan.name,
            "task": task,
            "manner": fitted.manner,
            "before": asdict(fitted.before),
            "after": asdict(fitted.after),
        }


def _blocks(report: Report) -> Iterator[str]:
    yield _table(HEADINGS, [row for one in report.outcomes for row in accuracy_rows(one)], _LEFT)
    confidence = [row for one in report.outcomes for row in confidence_rows(one)]
    if confidence:
        yield _table(CONFIDENCE_HEADINGS, confidence, _CONFIDENCE_LEFT)
    lines = [*map(verdict_line, report.verdicts), *remarks(report)]
    if lines:
        yield "\n".join(lines)
    yield from weights_lines(report)
    yield from cascade_lines(report)
    trial = trial_line(report)
    if trial is not None:
        yield trial


def _table(headings: Sequence[str], rows: list[tuple[str, ...]], left: Sequence[int]) -> str:
    if not sys.stdout.isatty():
        return plain_table([headings, *rows], left)
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for index, heading in enumerate(headings):
        justify = "left" if index in left else "right"
        table.add_column(heading, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console(highlight=False)
    with console.capture() as captured:
        console.print(table)
    return captured.get().rstrip("\n")
