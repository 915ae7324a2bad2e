"""Remote APIs that speak OpenAI's HTTP protocol: the last resort of the router.

``Remote`` is the way in: a generator of text with a circuit breaker and a limit of concurrency.
Whether a remote may be used at all, and what it may cost, is decided by others.

- ``contract``: what is asked of a remote and what comes back; ``settings``: how one is configured.
- ``wire``: OpenAI's protocol; ``answer``: one answer as its events come in; both pure.
- ``failures``: how a call fails and when it is tried again; ``breaker``: when it is left alone.
- ``transport``: what leaves the machine and how much may come back; ``calls``: one HTTP call.
- ``generator``: one answer, with retries and a deadline; ``remote``: all of it together.

``calls`` and ``transport`` alone import the ``openai`` package, which is an optional extra; they
are imported when a remote is opened and not before.
"""

from quorate.remotes.breaker import BreakerPolicy, BreakerState, CircuitBreaker
from quorate.remotes.contract import RemoteEnd, RemoteEvent, RemoteRequest, RemoteText, RemoteUsage
from quorate.remotes.generator import Timing
from quorate.remotes.remote import Remote
from quorate.remotes.settings import RemoteSettings
from quorate.remotes.wire import unsupported

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
