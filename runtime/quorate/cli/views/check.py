"""How the findings of a check look: with colours, plain, or as JSON lines."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from quorate.app.findings import Finding, Level
from quorate.cli.events import print_event
from quorate.cli.views.terminal import Console
from quorate.foreign_text import one_line
from quorate.settings import Settings


def print_findings(
    path: Path, settings: Settings, findings: Sequence[Finding], *, as_json: bool
) -> int:
    """Prints a line for each finding and one that sums them up; returns how many are errors."""
    errors = sum(finding.level is not Level.WARNING for finding in findings)
    warnings = len(findings) - errors
    if as_json:
        for finding in findings:
            print_event("finding", _fields(path, finding))
        print_event("checked", {"errors": errors, "warnings": warnings})
    elif sys.stdout.isatty():
        _print_to_terminal(path, settings, findings, errors, warnings)
    else:
        for finding in findings:
            print(one_line(finding_line(path, finding)))
        print(one_line(_sum(path, settings, errors, warnings)))
    sys.stdout.flush()
    return errors


def finding_line(path: Path | None, finding: Finding) -> str:
    """File, key and problem in one line."""
    file = "" if path is None else f"{path}: "
    warning = "warning: " if finding.level is Level.WARNING else ""
    return f"{file}{warning}{finding.line}"


def _print_to_terminal(
    path: Path, settings: Settings, findings: Sequence[Finding], errors: int, warnings: int
) -> None:
    console = Console(highlight=False, emoji=False)
    for finding in findings:
        doubtful = finding.level is Level.WARNING
        mark = ("warning ", "yellow") if doubtful else ("error   ", "bold red")
        key = (one_line(finding.key) + "  ", "bold")
        console.print(Text.assemble(mark, key, one_line(finding.problem)), soft_wrap=True)
    style = "bold red" if errors else "yellow" if warnings else "bold green"
    console.print(Text(one_line(_sum(path, settings, errors, warnings)), style=style))


def _sum(path: Path, settings: Settings, errors: int, warnings: int) -> str:
    if not errors + warnings:
        told = [
            _count(len(settings.models), "model"),
            _count(len(settings.profiles), "profile"),
            _count(len(settings.remotes), "remote"),
        ]
        return f"{path}: nothing is wrong ({', '.join(told)})"
    return f"{path}: {_count(errors, 'error')}, {_count(warnings, 'warning')}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _fields(path: Path, finding: Finding) -> dict[str, str]:
    level = "warning" if finding.level is Level.WARNING else "error"
    return {
        "level": level,
        "file": str(path),
        "key": finding.key,
        "problem": finding.problem,
    }
