"""The error tree of the runtime.

Every error that leaves a package is one of these; foreign errors are translated at the seam where
they enter. ``api.faults`` maps each class to a status, and a test fails on an unmapped
one. What clients may rely on of them stands in ``proto/quorate/v1/errors.proto``.

::

    QuorateError
    ├── InvalidRequest            the request itself is wrong; names the field
    │   ├── PromptTooLong         prompt and answer can never fit the context
    │   ├── PromptQuarantined     a process died of this prompt more than once
    │   └── TemplateRefused       a member's chat template does not take these messages
    ├── NotFound                  no such model or profile; names the nearest ones
    ├── CannotRun                 right request, wrong state of the world
    │   ├── ModelUnusable         the file is broken, of another architecture, or too large
    │   └── UnsupportedPlan       a member's engine cannot do what the plan needs
    ├── Overloaded                the queue is full; try again later
    │   └── LimitReached          the caller's key allows no more now; names the limit
    ├── OverBudget                no plan meets the request's own limits, and policy is to reject
    ├── BudgetSpent               a window of joules or dollars has no room for the request
    ├── Unavailable               loading, draining, restarting; try again later
    │   ├── WorkerLost            the process behind a member died while it was in use
    │   ├── RemoteFailed          a remote API did not answer, or refused this server
    │   └── ServerStopped         the server ended while it answered
    ├── Unauthenticated           no token, or one that nobody has
    ├── PermissionDenied          a token without the right that the call needs
    ├── PeerStalled               the caller took or sent nothing for too long
    ├── DeadlinePassed            the caller's deadline ended first
    ├── Internal                  a defect of ours, reported without its traceback
    └── SettingsError             the configuration or the command line is wrong
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from quorate.foreign_text import QUOTED_CHARACTERS, name_hint, nearest_names, one_line, quoted

_Read = TypeVar("_Read")

_MOST_VIOLATIONS = 32


class QuorateError(Exception):
    """Base of every error of the runtime.

    Attributes:
        message: One line: what is wrong, where, and what to do.
        reason: UPPER_SNAKE_CASE identifier for programs, stable across releases.
        metadata: Further facts for programs, such as ``{"model": "a"}``.
    """

    reason = "QUORATE_ERROR"

    def __init__(self, message: str, **metadata: str) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = metadata


class InvalidRequest(QuorateError):
    """A field of the request has a value that can never be served.

    Attributes:
        field: Path of the field as the caller wrote it, such as
            ``plan.ensemble.members[1].weight``.
        also: What is wrong with further fields of the same request.
    """

    reason = "INVALID_FIELD"

    def __init__(self, field: str, problem: str, also: Iterable[InvalidRequest] = ()) -> None:
        self.field = field
        self.problem = problem
        self.also = tuple(also)
        others = ", ".join(dict.fromkeys(one.field for one in self.also))
        told = f"{field}: {problem}" + (f"; also wrong: {others}" if others else "")
        super().__init__(told, field=field)


class PromptTooLong(InvalidRequest):
    """The prompt, with the answer it asks for, can never fit the context of a member."""

    reason = "PROMPT_TOO_LONG"


class PromptQuarantined(InvalidRequest):
    """Processes that worked on this prompt died of it, and it is not tried again for a while."""

    reason = "PROMPT_QUARANTINED"


class TemplateRefused(InvalidRequest):
    """A member's chat template does not take these messages, or leaves some of them out."""

    reason = "TEMPLATE_REFUSED"


class NotFound(QuorateError):
    """No model or profile of that name."""

    reason = "NOT_FOUND"

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        known = sorted(known)
        near = nearest_names(name, known, 3)
        hint = hint or name_hint(near, known) or f"no {kind} is configured"
        super().__init__(
            f"no {kind} named {quoted(name)}; {hint}",
            kind=kind,
            name=one_line(name, QUOTED_CHARACTERS),
        )
        self.nearest = tuple(near)


class CannotRun(QuorateError):
    """The request is well formed, but this machine or its models are not in a state to serve it.

    Attributes:
        subject: What stands in the way, usually a model id.
    """

    reason = "CANNOT_RUN"

    def __init__(self, subject: str, problem: str) -> None:
        super().__init__(f"{subject}: {problem}", subject=subject)
        self.subject = subject
        self.problem = problem


class ModelUnusable(CannotRun):
    """A model cannot be loaded here: broken file, other architecture, not enough memory."""

    reason = "MODEL_UNUSABLE"


class UnsupportedPlan(CannotRun):
    """A member's engine or vocabulary cannot do what the plan asks of it."""

    reason = "UNSUPPORTED_PLAN"


class Overloaded(QuorateError):
    """More requests wait than the configured queue holds.

    Attributes:
        retry_after_seconds: When another try has a chance.
    """

    reason = "QUEUE_FULL"

    def __init__(self, message: str, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class LimitReached(Overloaded):
    """A key has asked for as much as the configuration allows it for now.

    Attributes:
        limit: Which limit of which key, such as ``requests_per_minute of key alice``.
    """

    reason = "LIMIT_REACHED"

    def __init__(self, limit: str, problem: str, retry_after_seconds: float) -> None:
        super().__init__(f"{limit}: {problem}", retry_after_seconds)
        self.metadata["limit"] = limit
        self.limit = limit
        self.problem = problem


class OverBudget(QuorateError):
    """No plan meets the limits that the request itself set, and the policy is to reject it."""

    reason = "OVER_BUDGET"


class BudgetSpent(QuorateError):
    """A window of the budget has no room left for what the request may cost.

    Attributes:
        window: Name of the window, such as ``usd per day of key alice``.
        retry_after_seconds: When enough of it will be free again, as far as is known; infinite
            where it never holds so much.
    """

    reason = "BUDGET_SPENT"

    def __init__(self, window: str, problem: str, retry_after_seconds: float) -> None:
        super().__init__(f"budget of {window}: {problem}", window=window)
        self.window = window
        self.problem = problem
        self.retry_after_seconds = retry_after_seconds


class Unavailable(QuorateError):
    """Not now: loading, draining or restarting.

    Attributes:
        retry_after_seconds: When another try has a chance.
        cause: Why, in a few words that do not name what is unavailable.
    """

    reason = "UNAVAILABLE"

    def __init__(self, message: str, retry_after_seconds: float = 1.0, cause: str = "") -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.cause = cause or message


class WorkerLost(Unavailable):
    """The process behind a model died, or was killed, while a session was open on it.

    Attributes:
        model: Id of the model.
        cause: One line, such as ``killed by SIGKILL``.
    """

    reason = "WORKER_LOST"

    def __init__(self, model: str, cause: str, retry_after_seconds: float = 1.0) -> None:
        super().__init__(
            f"model {model}: its worker process was lost ({cause})", retry_after_seconds, cause
        )
        self.model = model


class RemoteFailed(Unavailable):
    """A remote API could not be reached, is overloaded, or refuses this server.

    Attributes:
        remote: Name of the remote in the configuration.
        cause: One line.
    """

    reason = "REMOTE_FAILED"

    def __init__(self, remote: str, cause: str, retry_after_seconds: float = 1.0) -> None:
        super().__init__(f"remote {remote}: {cause}", retry_after_seconds, cause)
        self.remote = remote


class ServerStopped(Unavailable):
    """The server ended while it answered; what had come by then stands."""

    reason = "SERVER_STOPPED"

    def __init__(self) -> None:
        super().__init__("the server stopped before the answer was complete")


class Unauthenticated(QuorateError):
    """The server wants a token, and the call has none or one that nobody has."""

    reason = "UNAUTHENTICATED"


class PermissionDenied(QuorateError):
    """The caller's token does not have the right that the call needs."""

    reason = "PERMISSION_DENIED"


class PeerStalled(QuorateError):
    """The caller took nothing of its answer, or did not finish its request, for too long."""

    reason = "PEER_STALLED"


class DeadlinePassed(QuorateError):
    """A deadline that the caller set ended before what it asked for was done."""

    reason = "DEADLINE_PASSED"


class Internal(QuorateError):
    """A defect of ours; the log has the traceback, the caller gets one line."""

    reason = "INTERNAL"


class SettingsError(QuorateError):
    """The configuration file or the command line is wrong; ``also`` is what else of it is."""

    reason = "SETTINGS"

    def __init__(self, message: str, also: Iterable[SettingsError] = ()) -> None:
        super().__init__(message)
        self.also = tuple(also)


class Violations:
    """Gathers what is wrong with the fields of one request, so that its caller hears all at once.

    Of very many the first few are enough.
    """

    def __init__(self) -> None:
        self._found: list[InvalidRequest] = []

    def check(self, read: Callable[[], _Read], otherwise: _Read) -> _Read:
        """What ``read`` returns; where that is refused, notes why and returns the other."""
        try:
            return read()
        except InvalidRequest as error:
            self.add((error,))
            return otherwise

    def add(self, errors: Iterable[InvalidRequest]) -> None:
        """Notes these, and what each of them has noted; for each field the first problem."""
        for error in errors:
            if len(self._found) >= _MOST_VIOLATIONS:
                return
            fields = {one.field for one in self._found}
            self._found += (one for one in (error, *error.also) if one.field not in fields)

    def refuse(self) -> None:
        """Refuses the request, if anything is wrong with it.

        Raises:
            InvalidRequest: The first that was noted, with the others.
        """
        if not self._found:
            return
        first, *others = self._found
        if not others:
            raise first
        raise InvalidRequest(first.field, first.problem, others)


def refuse_all(errors: Iterator[InvalidRequest]) -> None:
    """Refuses a request with which all this is wrong, if anything.

    Raises:
        InvalidRequest: The first, with the others.
    """
    violations = Violations()
    violations.add(errors)
    violations.refuse()
