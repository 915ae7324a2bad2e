"""How a tuning looks: what was tried, what it brought, and what is to be put into the file."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quorate_bench.tuning.search import Outcome, Race, Verification
from quorate_bench.tuning.variants import Key, Variant, key_text

from quorate.amounts import duration_text, joules_text
from quorate.calibration.intervals import Interval
from quorate.cli.events import print_event
from quorate.cli.notes import note
from quorate.cli.views.formatting import plain_table

if TYPE_CHECKING:
    from quorate_bench.records import Records
    from quorate_bench.tuning.from_records import RecordedProposal
    from quorate_bench.tuning.tuning import Tuning

_HEADING = ("tried", "instead of", "against the best so far", "times", "")


def print_begin(tuning: Tuning, config: Path, path: Path) -> None:
    """Tells on standard error what is tuned for, and where records go."""
    subject = tuning.space.subject
    work = subject.workload
    plans = ", ".join(plan.name for plan in subject.plans)
    at_once = " and ".join(map(str, work.concurrency))
    note(
        f"{config}: {plans}; {at_once} at once, prompts of {work.prompt_tokens} tokens, answers of "
        f"{work.answer_tokens}; {len(tuning.space.dimensions)} settings to try"
    )
    done = len(tuning.records.blocks)
    begun = f"going on with {path}, which has {done} repetitions" if tuning.resumed else ""
    note(begun or f"records go to {path}")


def print_outcome(tuning: Tuning, outcome: Outcome, *, as_json: bool) -> None:
    """What was tried, the gain, and the changes as TOML."""
    if as_json:
        _print_events(tuning, outcome)
        return
    rows = [row for race in outcome.races for row in _rows(tuning, race)]
    if rows:
        print(plain_table([_HEADING, *rows], left=(0, 1, 4)))
    for one in outcome.left_out:
        print(f"left out: {_changes_text(dict(one.variant.changes))}: {one.reason}")
    for name in outcome.not_raced:
        print(f"left out: {name}: no time")
    found = outcome.verification
    if found is not None:
        print()
        _print_gain(tuning, found)
    if noise := tuning.noise():
        print(f"{noise}; what is best then need not be on a quiet one")
    _print_end(tuning, outcome)
    sys.stdout.flush()


def _print_gain(tuning: Tuning, found: Verification) -> None:
    amount = _amount(tuning.goal)
    rows = [
        (case, amount(found.before[case]), amount(found.after[case]), _ratio(ratio))
        for case, ratio in found.by_case.items()
    ]
    heading = ("all of it, side by side", "as it is", "proposed", "")
    print(plain_table([heading, *rows], left=(0,)))
    for name, (before, after) in _bits(tuning).items():
        print(f"{name}: {before:.4f} bits per byte as it is, {after:.4f} proposed")


def _print_end(tuning: Tuning, outcome: Outcome) -> None:
    found = outcome.verification
    print()
    if found is None:
        print("nothing was better by more than the noise; nothing is proposed")
        return
    if not found.holds:
        print(f"nothing is proposed: {found.problem}")
        return
    gain = f"{1 - found.ratio.value:.0%} less {tuning.goal}, {_ratio(found.ratio)}"
    answers = "answers change" if _changes_answers(outcome.best) else "answers stay"
    print(f"{gain}; {answers}. To be put into the configuration:")
    print()
    print(tuning.configuration.patch(outcome.best), end="")


def _print_events(tuning: Tuning, outcome: Outcome) -> None:
    for race in outcome.races:
        for variant, tried in race.standings.items():
            told = _told(_differences(race.base, variant, tuning.space.originals))
            fields = {
                "setting": race.dimension, "changes": told, "repetitions": tried.repetitions,
                **_interval(tried.ratio),
                "verdict": "taken" if variant == race.winner else tried.verdict, "why": tried.why,
            }  # fmt: skip
            print_event("tried", fields)
    for one in outcome.left_out:
        told = _told(dict(one.variant.changes))
        print_event("left_out", {"setting": one.dimension, "changes": told, "reason": one.reason})
    for name in outcome.not_raced:
        print_event("left_out", {"setting": name, "changes": [], "reason": "no time"})
    found = outcome.verification
    if found is not None:
        for case, ratio in found.by_case.items():
            amounts = {"before": found.before[case], "after": found.after[case]}
            print_event("gain", {"case": case, "goal": tuning.goal, **amounts, **_interval(ratio)})
    holds = found is not None and found.holds
    proposal = {
        "changes": _told(dict(outcome.best.changes)) if holds else [],
        "toml": tuning.configuration.patch(outcome.best) if holds else "",
        **_interval(None if found is None else found.ratio),
        "problem": "" if found is None else found.problem,
        "other_answers": holds and _changes_answers(outcome.best),
        "bits_per_byte": {
            name: {"before": before, "after": after}
            for name, (before, after) in _bits(tuning).items()
        },
        "noise": tuning.noise(), "records": str(tuning.path),
    }  # fmt: skip
    print_event("proposal", proposal)


def print_recorded(found: RecordedProposal, records: Records, *, as_json: bool) -> None:
    """What records of a bench speak for."""
    if as_json:
        for one in found.gains:
            fields = {"what": one.what, "changes": _told(one.changes), **_interval(one.ratio)}
            print_event("recorded", {**fields, "bits_per_byte_more": dict(one.loss)})
        print_event("proposal", {"toml": found.toml, "measured": False})
        return
    machine = records.run["machine"]
    print(f"recorded on {machine['cpu']}, {machine['cores']} cores; nothing was measured for it")
    if not found.gains:
        print("no setting was better by more than the noise")
    rows = [(one.what, _ratio(one.ratio), _loss(one.loss)) for one in found.gains]
    if rows:
        print(plain_table([("setting", "time of an answer", ""), *rows], left=(0, 2)))
    if found.toml:
        print()
        print(found.toml, end="")
    sys.stdout.flush()


def _rows(tuning: Tuning, race: Race) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for variant, found in race.standings.items():
        shown = _differences(race.base, variant, tuning.space.originals)
        before = ", ".join(_value(race.base.get(key, tuning.space.originals[key])) for key in shown)
        verdict = "taken" if variant == race.winner else found.why or found.verdict
        ratio = _ratio(found.ratio) if found.repetitions else ""
        rows.append((_changes_text(shown), before, ratio, str(found.repetitions), verdict))
    return rows


def _differences(base: Variant, variant: Variant, originals: Mapping[Key, Any]) -> dict[Key, Any]:
    """What a variant has that is not as in another."""
    keys = dict(base.changes) | dict(variant.changes)
    values = {key: variant.get(key, originals[key]) for key in keys}
    return {key: value for key, value in values.items()
            if base.get(key, originals[key]) != value}  # fmt: skip


def _told(changes: Mapping[Key, Any]) -> list[dict[str, Any]]:
    return [{"key": key_text(key), "value": value} for key, value in changes.items()]


def _changes_text(changes: Mapping[Key, Any]) -> str:
    return ", ".join(f"{key_text(key)} = {_value(value)}" for key, value in changes.items())


def _value(value: Any) -> str:
    """As TOML has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _changes_answers(variant: Variant) -> bool:
    names = {key[-1] for key, _ in variant.changes}
    return bool(names & {"quantisation", "kv_type_k", "kv_type_v", "kv_dtype"})


def _bits(tuning: Tuning) -> dict[str, tuple[float, float]]:
    """Bits per byte of each plan as it is and with the proposal, where both are known."""
    before: Mapping[str, float] = tuning.records.qualities.get(False, {})
    after: Mapping[str, float] = tuning.records.qualities.get(True, {})
    return {name: (bits, after[name]) for name, bits in before.items() if name in after}


def _loss(loss: Mapping[str, float]) -> str:
    if not loss:
        return ""
    worst = max(loss.values())
    return f"{worst:+.4f} bits per byte at most"


def _amount(goal: str) -> Any:
    return joules_text if goal == "energy" else _seconds


def _seconds(seconds: float) -> str:
    return duration_text(1e3 * seconds)


def _ratio(ratio: Interval) -> str:
    return f"{ratio.value:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]x"


def _interval(ratio: Interval | None) -> dict[str, float | None]:
    if ratio is None:
        return {"ratio": None, "ratio_low": None, "ratio_high": None}
    return {"ratio": ratio.value, "ratio_low": ratio.low, "ratio_high": ratio.high}
