"""Errors on their way out of the service, whatever protocol tells them."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from types import MappingProxyType

from quorate.errors import (
    BudgetSpent,
    CannotRun,
    DeadlinePassed,
    Internal,
    InvalidRequest,
    LimitReached,
    ModelUnusable,
    NotFound,
    OverBudget,
    Overloaded,
    PeerStalled,
    PermissionDenied,
    PromptQuarantined,
    PromptTooLong,
    QuorateError,
    RemoteFailed,
    ServerStopped,
    SettingsError,
    TemplateRefused,
    Unauthenticated,
    Unavailable,
    UnsupportedPlan,
    WorkerLost,
)

STATUS_OF: Mapping[type[QuorateError], str] = MappingProxyType(
    {
        QuorateError: "INTERNAL",
        InvalidRequest: "INVALID_ARGUMENT",
        PromptTooLong: "INVALID_ARGUMENT",
        PromptQuarantined: "INVALID_ARGUMENT",
        TemplateRefused: "INVALID_ARGUMENT",
        NotFound: "NOT_FOUND",
        CannotRun: "FAILED_PRECONDITION",
        ModelUnusable: "FAILED_PRECONDITION",
        UnsupportedPlan: "FAILED_PRECONDITION",
        SettingsError: "FAILED_PRECONDITION",
        Overloaded: "RESOURCE_EXHAUSTED",
        LimitReached: "RESOURCE_EXHAUSTED",
        OverBudget: "RESOURCE_EXHAUSTED",
        BudgetSpent: "RESOURCE_EXHAUSTED",
        Unavailable: "UNAVAILABLE",
        WorkerLost: "UNAVAILABLE",
        RemoteFailed: "UNAVAILABLE",
        ServerStopped: "UNAVAILABLE",
        Unauthenticated: "UNAUTHENTICATED",
        PermissionDenied: "PERMISSION_DENIED",
        PeerStalled: "ABORTED",
        DeadlinePassed: "DEADLINE_EXCEEDED",
        Internal: "INTERNAL",
    }
)
"""What each kind of error is to callers: names of canonical codes, as gRPC has them."""

_log = logging.getLogger(__name__)


def status_name(error: QuorateError) -> str:
    """Name of the status of an error, by its own class or the nearest base in the table."""
    return next(STATUS_OF[cls] for cls in type(error).__mro__ if cls in STATUS_OF)


def as_domain_error(error: BaseException) -> QuorateError:
    """Returns domain errors as they are and hides everything else behind an incident number.

    The traceback goes to the log under that number and nowhere else.
    """
    if isinstance(error, QuorateError):
        return error
    incident = uuid.uuid4().hex[:12]
    _log.error("incident %s", incident, exc_info=error)
    hidden = Internal(f"internal error; the server's log tells more under incident {incident}")
    hidden.metadata["incident"] = incident
    return hidden


def forget_frames(error: BaseException) -> None:
    """Takes the tracebacks from an error that is dealt with, from all before it and all in a group.

    The frames of a traceback hold what their functions knew, such as a request of megabytes, and an
    error outlives its call: the record of the request has it, and the context that has the record
    stays with every timer of the call, cancelled or not, until that timer's time has come.
    """
    known: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in known:
            known.add(id(one))
            one.__traceback__ = None
            waiting += (one.__cause__, one.__context__)
            if isinstance(one, BaseExceptionGroup):
                waiting += one.exceptions
