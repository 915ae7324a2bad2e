"""Entry point of a worker process: ``python -m quorate.engines.worker.worker``.

Nothing heavy is imported before the process is tied to the life of its parent and confined. After
that a worker ends by a message or by SIGKILL only: SIGTERM, SIGINT and SIGHUP are for the server,
which drains first or reads its configuration anew, and service managers send them to every process
of the service.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback

from quorate.engines.confinement.confine import confine_from_environment

_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Serves one model until the coordinator says stop or dies; returns the exit status.

    The arguments are numbers, the descriptors of the control socket, of the memory for rows, of the
    memory for the vocabulary and of the file by which turns are taken, and the process id of the
    coordinator; and the model's name, for whoever lists processes.
    """
    control, rows, vocabulary, turns, parent = map(int, sys.argv[1:6])
    die_with(parent)
    confine_from_environment()
    for polite in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(polite, signal.SIG_IGN)
    from quorate.engines.worker.serving import serve
    from quorate.engines.worker.transport.worker_end import ControlChannel, SharedMemories

    try:
        return serve(ControlChannel(control), SharedMemories(rows, vocabulary), turns)
    except Exception:
        # Told here and not by the interpreter: libraries print much more while it ends, and the
        # coordinator reads the cause off the last line.
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def die_with(parent: int) -> None:
    """Has the kernel kill this process when its parent dies, also if that was a moment ago.

    The signal is bound to the thread that spawned this process, which is the one that runs the
    coordinator's event loop.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the coordinator is gone")


if __name__ == "__main__":
    sys.exit(main())
