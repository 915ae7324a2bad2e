"""How a process gives way to whoever decodes."""

from __future__ import annotations

import math
import os
import time

LAST_LEVEL = 19
"""The niceness of whoever gives way to all others."""

# Decoding, and the load of the weights beside it, come first where both want the same core: each
# level is a share a quarter smaller, so that this is a quarter of a core.
_NICENESS = 5
_PER_LEVEL = 1.25
# Linux shares processors among sessions before it shares them within one, and a worker is one.
_OF_THE_SESSION = "/proc/self/autogroup"
# One process in a tenth of a second may say so, unless it is privileged.
_TRIES, _TRY_SECONDS = 50, 0.02


def give_way(by: int = _NICENESS) -> None:
    """Has decoding come first: of the threads of a session, and of sessions where those count.

    Args:
        by: Levels of niceness.
    """
    os.nice(by)
    # What a session may have is divided among its threads, and a worker has one on each core.
    spread = math.log(len(os.sched_getaffinity(0)), _PER_LEVEL)
    niceness = min(round(by + spread), LAST_LEVEL)
    for _ in range(_TRIES):
        try:
            with open(_OF_THE_SESSION, "w") as file:
                file.write(str(niceness))
        except BlockingIOError:
            time.sleep(_TRY_SECONDS)
        except OSError:
            # Sessions are no groups here, or /proc may not be written.
            return
        else:
            return
