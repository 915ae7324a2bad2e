"""The command line: ``commands`` read what was given and ask, ``views`` print.

Decided here is how to ask and how to show: which service is asked, what a command leaves open, how
a long text is cut, which plans a calibration asks. Which plan answers, and what it may take, is
decided by the server alone.

Importing this costs nothing; each command imports what it needs when it runs.
"""

from __future__ import annotations

# What the extra `cli` brings; without it only the client can be used.
_NEEDED = ("rich", "typer")


def main() -> None:
    """Runs the command line and exits: 0 done, 1 failed, 2 usage, 130 interrupted."""
    import signal
    import sys
    from importlib.util import find_spec

    # Until commands can end in order there is nothing to end: no traceback of half an import.
    heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heeded:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        sys.exit(
            f"quorate: {', '.join(missing)} not installed: this is the Python client alone; for "
            "the program: pip install 'quorate[cli]', and for the server 'quorate[server]'"
        )
    from quorate.cli.program import run

    if heeded:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(run(sys.argv[1:]))
