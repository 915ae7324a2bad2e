"""Remote APIs that speak OpenAI's HTTP protocol: the last resort of the router.

``Remote`` is the door: a generator of text with a circuit breaker and a limit of concurrency.
``calls`` and ``transport`` are the only modules that import the ``openai`` package, which is an
optional extra; they are imported when a remote is opened and not before. Whether a remote may be
used at all, and what it may cost, is decided by others.
"""

from quorate.engines.remote.breaker import BreakerPolicy, BreakerState, CircuitBreaker
from quorate.engines.remote.contract import (
    RemoteEnd,
    RemoteEvent,
    RemoteRequest,
    RemoteText,
    RemoteUsage,
)
from quorate.engines.remote.remote import Remote
from quorate.engines.remote.settings import RemoteSettings
from quorate.engines.remote.support import unsupported
from quorate.engines.remote.timing import Timing

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
