"""Remote APIs that speak OpenAI's HTTP protocol: the last resort of the router.

``Remote`` is the door: a generator of text with a circuit breaker and a limit of concurrency.
``calls`` and ``transport`` are the only modules that import the ``openai`` package, which is an
optional extra; they are imported when a remote is opened and not before. Whether a remote may be
used at all, and what it may cost, is decided by others.
"""

from quorate.remotes.breaker import BreakerPolicy, BreakerState, CircuitBreaker
from quorate.remotes.contract import (
    RemoteEnd,
    RemoteEvent,
    RemoteRequest,
    RemoteText,
    RemoteUsage,
)
from quorate.remotes.remote import Remote
from quorate.remotes.settings import RemoteSettings
from quorate.remotes.support import unsupported
from quorate.remotes.timing import Timing

__all__ = [
    "BreakerPolicy",
    "BreakerState",
    "CircuitBreaker",
    "Remote",
    "RemoteEnd",
    "RemoteEvent",
    "RemoteRequest",
    "RemoteSettings",
    "RemoteText",
    "RemoteUsage",
    "Timing",
    "unsupported",
]
