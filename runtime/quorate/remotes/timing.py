"""Clocks, patience and chance of a remote, so that tests bring their own."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """What a remote asks of the world.

    Attributes:
        clock: Seconds that never run backwards.
        wall_clock: Seconds since the epoch, for a ``Retry-After`` that is a date.
        sleep: Waits for so many seconds.
        draw: A number from [0, 1), for jitter.
    """

    clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    draw: Callable[[], float] = random.random
