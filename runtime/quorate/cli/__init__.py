"""The command line: ``commands`` read what was given and ask, ``views`` print.

Decided here is how to ask and how to show: which service is asked, what a command leaves open, how
a long text is cut, which plans a calibration asks. Which plan answers, and what it may take, is
decided by the server alone.

Importing this costs nothing; each command imports what it needs when it runs.
"""

from __future__ import annotations


def main() -> None:
    """Runs the command line and exits: 0 done, 1 failed, 2 usage, 130 interrupted."""
    import sys

    from quorate.cli.program import run

    sys.exit(run(sys.argv[1:]))
