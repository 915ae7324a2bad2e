"""Entry point of a guide: ``python -m quorate.guides.main``.

It ends when the coordinator closes its end of the socket, or by SIGKILL.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading

from quorate.engines.confinement.confine import confine_from_environment
from quorate.engines.worker.worker import die_with


def main() -> int:
    """Serves until the coordinator hangs up or dies; returns the exit status.

    The arguments are numbers, the descriptor of the socket and the process id of the coordinator.
    """
    descriptor, parent = map(int, sys.argv[1:3])
    die_with(parent)
    confine_from_environment()
    for polite in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(polite, signal.SIG_IGN)
    from quorate.guides.serving import STACK_BYTES, serve

    threading.stack_size(STACK_BYTES)
    status = [1]
    with socket.socket(fileno=descriptor) as connection:
        thread = threading.Thread(target=lambda: status.__setitem__(0, serve(connection)))
        thread.start()
        thread.join()
    sys.stderr.flush()
    os._exit(status[0])


if __name__ == "__main__":
    sys.exit(main())
