"""How the interpreter of a serving process shares its time."""

from __future__ import annotations

import gc
import sys

SWITCH_SECONDS = 0.0005
"""How long a thread that computes may keep others waiting; CPython's own default is ten times this.

Every call, message and end of a write comes to the event loop through a thread of gRPC's that needs
the interpreter for a moment. A busy loop lets go of it in between for some microseconds only, in
which that thread does not wake up: it gets its turn when it has waited for so long.
"""


def settle_interpreter() -> None:
    """Settles for good what a process that serves has loaded, and has its threads take short turns.

    What there is now stays: else the garbage collector would walk over every module, class and
    message type each time that enough requests have come, and everybody would wait for it.
    """
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(SWITCH_SECONDS)
