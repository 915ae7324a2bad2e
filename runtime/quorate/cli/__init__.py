"""The commands. Importing this costs nothing; each command imports what it needs when it runs."""

from __future__ import annotations


def main() -> None:
    """Runs the command line and exits: 0 done, 1 failed, 2 usage, 130 interrupted."""
    import sys

    from quorate.cli.program import run

    sys.exit(run(sys.argv[1:]))
