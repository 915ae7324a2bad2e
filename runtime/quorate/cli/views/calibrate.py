"""How a calibration looks: tables on a terminal, plain text in a pipe, or JSON lines."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from quorate.amounts import duration_text, joules_text
from quorate.calibration.advice import ALLOWED_LOSS
from quorate.calibration.intervals import Interval, share_interval
from quorate.calibration.profiles import cascade_profile, weights_profile
from quorate.calibration.report import JOULES, Outcome, Report, Verdict
from quorate.cli.events import event_line
from quorate.cli.views.formatting import plain_table
from quorate.foreign_text import one_line

_HEADINGS = ("plan", "task", "cases", "right", "95 % interval", "time", "energy")
_CONFIDENCE_HEADINGS = ("plan", "task", "confidence by", "Brier", "log loss", "calibration error")

_UNKNOWN = "-"
_ALL_TASKS = "all"
_LEFT = (0, 1)
_CONFIDENCE_LEFT = (0, 1, 2)


def print_report(report: Report, written: Path, answers: Path, *, as_json: bool) -> None:
    """Prints what was found out, where it is written for the server, and the file of answers."""
    if as_json:
        for line in json_lines(report, written, answers):
            print(line)
    else:
        for block in _blocks(report):
            print(block, end="\n\n")
        print(f"written to {written}; the answers are kept in {answers}")
    sys.stdout.flush()


def json_lines(report: Report, written: Path, answers: Path) -> Iterator[str]:
    """A line for each finding, its kind under ``event``."""
    for outcome in report.outcomes:
        yield from _plan_lines(outcome)
    for verdict in report.verdicts:
        names = {"name": verdict.vote.name, "best_member": verdict.member.name}
        yield event_line("verdict", {**names, **asdict(verdict.comparison)})
    for pair in report.pairs:
        yield event_line("pair", asdict(pair))
    for number, suggested in enumerate(report.weights, start=1):
        toml = weights_profile(suggested, number)
        yield event_line("weights", {"weights": dict(suggested.weights), "toml": toml})
    for cascade in report.cascades:
        fields = {
            "first": cascade.first.name,
            "last": cascade.last.name,
            "unit": cascade.unit,
            "pays": cascade.advice.pays,
            **asdict(cascade.advice),
            "toml": cascade_profile(cascade),
        }
        yield event_line("cascade", fields)
    if report.cross_validation is not None:
        known = {"on": report.cross_validation.pays, "by_domain": report.by_domain}
        yield event_line("classifier", {**known, **asdict(report.cross_validation)})
    yield event_line("written", {"path": str(written), "answers": str(answers)})


def _plan_lines(outcome: Outcome) -> Iterator[str]:
    for task, counted in outcome.tallies.items():
        share = share_interval(counted)
        fields: dict[str, Any] = {
            "name": outcome.plan.name,
            "vote": outcome.plan.vote or None,
            "task": task,
            "cases": int(counted.cases),
            "right": int(counted.right),
            "accuracy": share.value,
            "low": share.low,
            "high": share.high,
        }
        yield event_line("accuracy", fields)
    fields = {
        "name": outcome.plan.name,
        "time_ms": outcome.mean_ms,
        "joules": outcome.mean_joules,
        "energy_tier": outcome.tier,
        "unanswered": outcome.unanswered,
        "cut": outcome.cut,
    }
    yield event_line("cost", fields)
    for task, fitted in outcome.confidences.items():
        fields = {
            "name": outcome.plan.name,
            "task": task,
            "manner": fitted.manner,
            "before": asdict(fitted.before),
            "after": asdict(fitted.after),
        }
        yield event_line("confidence", fields)


def _accuracy_rows(outcome: Outcome) -> Iterator[tuple[str, ...]]:
    """A row for all tasks, then one for each; time and energy are those of all."""
    for task, counted in outcome.tallies.items():
        share = share_interval(counted)
        yield (
            one_line(outcome.plan.name),
            one_line(task) or _ALL_TASKS,
            f"{counted.cases:.0f}",
            _percent(share.value),
            f"{100 * share.low:.1f} - {100 * share.high:.1f} %",
            *(("", "") if task else (_time(outcome), _energy(outcome))),
        )


def _confidence_rows(outcome: Outcome) -> Iterator[tuple[str, ...]]:
    """Scores before and after, for each task that has a curve, or says why there is none."""
    for task, fitted in outcome.confidences.items():
        before, after = fitted.before, fitted.after
        yield (
            one_line(outcome.plan.name),
            one_line(task) or _ALL_TASKS,
            fitted.manner,
            _change(before.brier, after.brier),
            _change(before.log_loss, after.log_loss),
            _change(before.calibration_error, after.calibration_error),
        )


def remarks(report: Report) -> Iterator[str]:
    """What is odd about the answers, and what a vote's key cannot tell apart."""
    keys: dict[str, str] = {}
    for outcome in report.outcomes:
        name = one_line(outcome.plan.name)
        if outcome.unanswered:
            yield f"{name}: {outcome.unanswered} cases did not fit its context and count as wrong"
        if outcome.cut:
            yield f"{name}: {outcome.cut} answers were cut at the token limit; see --max-tokens"
        vote = outcome.plan.vote
        if not vote:
            yield f"{name}: is a cascade; only its votes are calibrated"
        elif vote in keys:
            yield (
                f"{name}: has the members and the manner of {keys[vote]}; what is kept for both is "
                f"that of {name}"
            )
        if vote:
            keys[vote] = name


def verdict_line(verdict: Verdict) -> str:
    """Whether a vote is better than its best member alone."""
    one = verdict.comparison
    name, member = one_line(verdict.vote.name), one_line(verdict.member.name)
    needed = ""
    if one.needed is not None and one.needed > one.cases and one.verdict.startswith("cannot"):
        needed = f"; about {one.needed} would tell so much"
    return (
        f"{name} against {member}, its best member: {one.verdict}{needed} "
        f"({_points(one.difference)}; alone right {one.wins} times, alone wrong {one.losses} times)"
    )


def pair_line(report: Report) -> str | None:
    """Which two models complement each other best, and what could come of it at most."""
    if not report.pairs:
        return None
    pair = report.pairs[0]
    errors = "" if pair.correlation is None else f", correlation of errors {pair.correlation:.2f}"
    return (
        f"{one_line(pair.first)} and {one_line(pair.second)} complement each other best: one of "
        f"them is right in {_percent(pair.either)}, {one_line(pair.first)} alone in "
        f"{_percent(pair.best)}{errors}; no choice between their answers can do better"
    )


def _weights_lines(report: Report) -> Iterator[str]:
    """Suggested weights, and what they are worth."""
    if report.weights:
        yield (
            "weights in proportion to each member's odds of being right; nothing here tells "
            "whether they are better: serve the profile and calibrate it"
        )
    for number, suggested in enumerate(report.weights, start=1):
        yield weights_profile(suggested, number)


def cascade_lines(report: Report) -> Iterator[str]:
    """The cascade that costs least, with its figures, and whether it pays."""
    if not report.cascades:
        yield "cascade: no plan is cheaper than the best one and has cases enough"
        return
    cascade = report.cascades[0]
    advice = cascade.advice
    cost = joules_text if cascade.unit == JOULES else duration_text
    pays = "pays" if advice.pays else f"none of {len(report.cascades)} pays, the cheapest is"
    yield (
        f"cascade: {pays} {one_line(cascade.first.name)}, then {one_line(cascade.last.name)} below "
        f"a confidence of {advice.confidence:.2f}: {_percent(advice.held_out_accuracy)} right for "
        f"{cost(advice.held_out_cost)} on held-out cases, against "
        f"{_percent(advice.last_accuracy)} for {cost(advice.last_cost)} with the last stage alone "
        f"({_points(advice.difference)}, {advice.cases} cases); it keeps {_percent(advice.kept)} "
        f"of the first answers, and may lose {100 * ALLOWED_LOSS:.0f} point"
    )
    if advice.pays:
        yield cascade_profile(cascade)


def cross_validation_line(report: Report) -> str | None:
    """What guessing the task is worth, beside what costs nothing to try."""
    found = report.cross_validation
    if found is None:
        return None
    decision = "on" if found.pays else "stays off"
    judged = "cases of held-out domains" if report.by_domain else "held-out cases of the same kinds"
    return (
        f"task classifier: {decision}; the best model of the guessed task was right in "
        f"{_percent(found.guessed)}, the best single model in {_percent(found.best_single)} "
        f"({_points(found.comparison.difference)}, {found.cases} {judged}); by length alone "
        f"{_percent(found.by_length)}, by the commonest task {_percent(found.by_prior)}, with the "
        f"task known {_percent(found.told)}; {_percent(found.tags_right)} of the tags guessed"
    )


def _blocks(report: Report) -> Iterator[str]:
    yield _table(_HEADINGS, [row for one in report.outcomes for row in _accuracy_rows(one)], _LEFT)
    confidence = [row for one in report.outcomes for row in _confidence_rows(one)]
    if confidence:
        yield _table(_CONFIDENCE_HEADINGS, confidence, _CONFIDENCE_LEFT)
    lines = [*map(verdict_line, report.verdicts), *remarks(report)]
    if (told := pair_line(report)) is not None:
        lines.append(told)
    if lines:
        yield "\n".join(lines)
    yield from _weights_lines(report)
    yield from cascade_lines(report)
    validated = cross_validation_line(report)
    if validated is not None:
        yield validated


def _table(headings: Sequence[str], rows: list[tuple[str, ...]], left: Sequence[int]) -> str:
    if not sys.stdout.isatty():
        return plain_table([headings, *rows], left)
    from rich.table import Table
    from rich.text import Text

    from quorate.cli.views.terminal import Console

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for index, heading in enumerate(headings):
        justify = "left" if index in left else "right"
        table.add_column(heading, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console(highlight=False, emoji=False)
    with console.capture() as captured:
        console.print(table)
    return captured.get().rstrip("\n")


def _time(outcome: Outcome) -> str:
    return _UNKNOWN if outcome.mean_ms is None else duration_text(outcome.mean_ms)


def _energy(outcome: Outcome) -> str:
    joules = outcome.mean_joules
    return _UNKNOWN if joules is None else f"{joules_text(joules)} {outcome.tier}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _points(difference: Interval) -> str:
    low, high = 100 * difference.low, 100 * difference.high
    return f"{100 * difference.value:+.1f} points, 95 % interval {low:+.1f} to {high:+.1f}"


def _change(before: float, after: float) -> str:
    return f"{before:.3f} -> {after:.3f}"
