"""Remote APIs that speak OpenAI's HTTP protocol: the last resort of the router.

``Remote`` is the way in: a generator of text with a circuit breaker and a limit of concurrency.
Whether a remote may be used at all, and what it may cost, is decided by others.

- ``contract``: what is asked of a remote and what comes back; ``settings``: how one is configured.
- ``sse``: bytes to events; ``wire`` and ``parts``: OpenAI's protocol, in the spellings of many
  servers; ``answer``: one answer as its events come in; ``counts``: which of its counts are
  believed; ``pace``: how long it is waited for. All pure.
- ``failures``: how a call fails and when it is tried again; ``breaker`` and ``cooldown``: when a
  remote is left alone.
- ``transport``: what leaves the machine and what may come back; ``calls``: one HTTP call, with its
  ``traffic``; ``translation``: its errors.
- ``generator``: one answer, with retries and a deadline; ``remote``: all of it together.

``calls``, ``translation`` and ``transport`` alone import the ``openai`` package and its HTTP
client, which are an optional extra; they are imported when a remote is opened and not before.
"""

from quorate.remotes.breaker import BreakerPolicy, BreakerState, CircuitBreaker
from quorate.remotes.contract import (
    FailedCall,
    RemoteEnd,
    RemoteEvent,
    RemoteRequest,
    RemoteText,
    RemoteUsage,
)
from quorate.remotes.generator import Timing
from quorate.remotes.remote import Remote
from quorate.remotes.settings import RemoteSettings
from quorate.remotes.wire import unsupported

__all__ = [
    "BreakerPolicy",
    "BreakerState",
    "CircuitBreaker",
    "FailedCall",
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
