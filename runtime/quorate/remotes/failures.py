"""How a call can fail, before it becomes an error of the runtime."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class FailureKind(Enum):
    """Whose fault it is, which is what the circuit breaker wants to know.

    ``TRANSIENT`` is the remote's or the network's; ``QUOTA`` means that it takes no more of us for
    now; ``MISCONFIGURED`` that no request of ours will ever pass; ``REFUSED`` that this request
    was wrong and says nothing of the next.
    """

    TRANSIENT = "transient"
    QUOTA = "quota"
    MISCONFIGURED = "misconfigured"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed call.

    Attributes:
        cause: One line, without prompt and key.
        retryable: Whether the same call may succeed a little later.
        retry_after_seconds: What the remote named, if it did.
    """

    kind: FailureKind
    cause: str
    retryable: bool = False
    retry_after_seconds: float | None = None


class CallFailed(Exception):
    """Carries a failure from the wire to ``Remote``, which alone turns it into a domain error."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.cause)
        self.failure = failure


def broken(cause: str) -> CallFailed:
    """The remote answered with what is not the protocol: its fault, and no use to ask again."""
    return CallFailed(Failure(FailureKind.TRANSIENT, cause))
