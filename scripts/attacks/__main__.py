"""The command ``scripts/attack``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from endings import fail, leave_in_order

from attacks.frame.cases import all_cases
from attacks.frame.report import line, table
from attacks.frame.run import Outcome, run
from attacks.frame.server import DidNotStart

_PROGRAM = "attack"
_HERE = Path(__file__).resolve().parents[2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs cases one after the other; 0 where the server holds in all of them, else 1."""
    cases = all_cases()
    options = _parser().parse_args(arguments)
    if options.list:
        for case in cases.values():
            print(f"{case.name}: {case.about}")
        return 0
    unknown = [name for name in options.cases if name not in cases]
    if unknown:
        return fail(_PROGRAM, f"no case {unknown[0]!r}; --list lists them", status=2)
    leave_in_order()
    outcomes: list[Outcome] = []
    try:
        for name in options.cases or cases:
            outcome = run(cases[name], options.tree.resolve())
            outcomes.append(outcome)
            if options.json:
                print(line(outcome), flush=True)
            elif sys.stderr.isatty():
                print(f"{name}: {'FAILS' if outcome.problems else 'holds'}", file=sys.stderr)
    except DidNotStart as problem:
        return fail(_PROGRAM, f"the server did not start: {problem}")
    except KeyboardInterrupt:
        return fail(_PROGRAM, "interrupted", status=130)
    if not options.json:
        print(table(outcomes))
    return 1 if any(outcome.problems for outcome in outcomes) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"scripts/{_PROGRAM}", description=main.__doc__)
    parser.add_argument(
        "cases", nargs="*", metavar="CASE", help="cases to run; all of them by default"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a case")
    parser.add_argument("--list", action="store_true", help="list the cases and end")
    parser.add_argument(
        "--tree", type=Path, default=_HERE, metavar="FOLDER", help="serve this checkout"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
