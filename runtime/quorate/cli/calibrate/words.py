"""The findings of a calibration in sentences and cells of a table. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from quorate.calibration.cascade import ALLOWED_LOSS
from quorate.calibration.intervals import Interval, share_interval
from quorate.cli.calibrate.report import JOULES, Outcome, Report, Verdict
from quorate.cli.calibrate.toml import cascade_profile, weights_profile
from quorate.cli.pieces import harmless
from quorate.cli.quantities import joules_text, time_text

HEADINGS = ("plan", "task", "cases", "right", "95 % interval", "time", "energy")
CONFIDENCE_HEADINGS = ("plan", "task", "confidence by", "Brier", "log loss", "calibration error")

_UNKNOWN = "-"
_ALL_TASKS = "all"


def accuracy_rows(outcome: Outcome) -> Iterator[tuple[str, ...]]:
    """A row for all tasks, then one for each; time and energy are those of all."""
    for task, counted in outcome.tallies.items():
        share = share_interval(counted)
        yield (
            harmless(outcome.plan.name),
            harmless(task) or _ALL_TASKS,
            f"{counted.cases:.0f}",
            _percent(share.value),
            f"{100 * share.low:.1f} - {100 * share.high:.1f} %",
            *(("", "") if task else (_time(outcome), _energy(outcome))),
        )


def confidence_rows(outcome: Outcome) -> Iterator[tuple[str, ...]]:
    """Scores before and after, for each task that has a curve, or says why there is none."""
    for task, fitted in outcome.confidences.items():
        before, after = fitted.before, fitted.after
        yield (
            harmless(outcome.plan.name),
            harmless(task) or _ALL_TASKS,
            fitted.manner,
            _change(before.brier, after.brier),
            _change(before.log_loss, after.log_loss),
            _change(before.calibration_error, after.calibration_error),
        )


def remarks(report: Report) -> Iterator[str]:
    """What is odd about the answers, and what a vote's key cannot tell apart."""
    keys: dict[str, str] = {}
    for outcome in report.outcomes:
        name = harmless(outcome.plan.name)
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
    name, member = harmless(verdict.vote.name), harmless(verdict.member.name)
    return (
        f"{name} against {member}, its best member: {one.verdict} "
        f"({_points(one.difference)}; alone right {one.wins} times, alone wrong {one.losses} times)"
    )


def weights_lines(report: Report) -> Iterator[str]:
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
    cost = joules_text if cascade.unit == JOULES else time_text
    pays = "pays" if advice.pays else f"none of {len(report.cascades)} pays, the cheapest is"
    yield (
        f"cascade: {pays} {harmless(cascade.first.name)}, then {harmless(cascade.last.name)} below "
        f"a confidence of {advice.confidence:.2f}: {_percent(advice.held_out_accuracy)} right for "
        f"{cost(advice.held_out_cost)} on held-out cases, against "
        f"{_percent(advice.last_accuracy)} for {cost(advice.last_cost)} with the last stage alone "
        f"({_points(advice.difference)}, {advice.cases} cases); it keeps {_percent(advice.kept)} "
        f"of the first answers, and may lose {100 * ALLOWED_LOSS:.0f} point"
    )
    if advice.pays:
        yield cascade_profile(cascade)


def trial_line(report: Report) -> str | None:
    """What guessing the task is worth, beside what costs nothing to try."""
    trial = report.trial
    if trial is None:
        return None
    decision = "on" if trial.pays else "stays off"
    judged = "cases of held-out domains" if report.by_domain else "held-out cases of the same kinds"
    return (
        f"task classifier: {decision}; the best model of the guessed task was right in "
        f"{_percent(trial.guessed)}, the best single model in {_percent(trial.best_single)} "
        f"({_points(trial.comparison.difference)}, {trial.cases} {judged}); by length alone "
        f"{_percent(trial.by_length)}, by the commonest task {_percent(trial.by_prior)}, with the "
        f"task known {_percent(trial.told)}; {_percent(trial.tags_right)} of the tags guessed"
    )


def _time(outcome: Outcome) -> str:
    return _UNKNOWN if outcome.mean_ms is None else time_text(outcome.mean_ms)


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
