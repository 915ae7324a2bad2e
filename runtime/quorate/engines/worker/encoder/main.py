"""Entry point of an encoder process: ``python -m quorate.engines.worker.encoder.main``.

It ends as a worker does: by a message, or by SIGKILL.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback

from quorate.engines.confinement.confine import confine_from_environment
from quorate.engines.worker.worker import die_with
from quorate.niceness import give_way


def main() -> int:
    """Encodes for one model until the coordinator says stop or dies; returns the exit status.

    The arguments are numbers, the descriptor of the control socket and the process id of the
    coordinator; and the model's name, for whoever lists processes.
    """
    control, parent = map(int, sys.argv[1:3])
    die_with(parent)
    give_way()
    confine_from_environment()
    for polite in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(polite, signal.SIG_IGN)
    from quorate.engines.worker.encoder.serving import serve
    from quorate.engines.worker.transport.worker_end import ControlChannel

    try:
        return serve(ControlChannel(control))
    except Exception:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
