"""What went wrong at the server or on the way to it, as one class."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from quorate.client.diagnosis import refused_certificate, wrong_protocol
from quorate.errors import QuorateError

_NEVER_CONNECTED = "failed to connect"


class ServiceError(QuorateError):
    """What the server, or the way to it, answered instead of a result.

    Attributes:
        status: Name of the gRPC status, such as ``NOT_FOUND``.
        reason: Reason for programs, such as ``PROMPT_TOO_LONG``; the status where none was given.
        metadata: Further facts for programs, such as the request id and the nearest names.
        retry_after_seconds: When another try has a chance, or None.
        violations: Field and problem of each wrong field, subject and problem of what stands in the
            way, or window and problem of each budget that is spent.
    """

    def __init__(
        self,
        status: str,
        message: str,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        retry_after_seconds: float | None = None,
        violations: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(message, **(metadata or {}))
        self.status = status
        self.reason = reason or status
        self.retry_after_seconds = retry_after_seconds
        self.violations = tuple(violations)


@asynccontextmanager
async def service_errors(target: str, tls: bool) -> AsyncIterator[None]:
    """Turns gRPC's errors inside an ``async with`` block into ``ServiceError``."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise await _service_error(error, target, tls) from None


async def _service_error(error: grpc.aio.AioRpcError, target: str, tls: bool) -> ServiceError:
    rich = rpc_status.from_call(error)
    if rich is None:
        return ServiceError(error.code().name, await _plain_message(error, target, tls))
    info = error_details_pb2.ErrorInfo()
    retry = error_details_pb2.RetryInfo()
    wrong = error_details_pb2.BadRequest()
    missing = error_details_pb2.PreconditionFailure()
    quota = error_details_pb2.QuotaFailure()
    for detail in rich.details:
        for kind in (info, retry, wrong, missing, quota):
            detail.Unpack(kind)
    delay = retry.retry_delay.ToNanoseconds() / 1e9 if retry.HasField("retry_delay") else None
    return ServiceError(
        status=error.code().name,
        message=rich.message,
        reason=info.reason,
        metadata=info.metadata,
        retry_after_seconds=delay,
        violations=[(each.field, each.description) for each in wrong.field_violations]
        + [(each.subject, each.description) for each in (*missing.violations, *quota.violations)],
    )


async def _plain_message(error: grpc.aio.AioRpcError, target: str, tls: bool) -> str:
    """One line for a status without details, which the transport made and not the server."""
    details = " ".join((error.details() or "").split())
    if error.code() is grpc.StatusCode.UNAVAILABLE and "refused" in details.lower():
        return f"nothing listens at {target}; start it with: quorate serve"
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        untrusted = refused_certificate(details)
        if untrusted:
            return f"the certificate of {target} is not trusted: {untrusted}"
        known = await wrong_protocol(target, tls) if _NEVER_CONNECTED in details else ""
        if known:
            return f"cannot speak gRPC with {target}: {known}"
        return f"cannot reach {target}, or the connection was lost: {details}"
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"{target} did not finish before the deadline"
    return f"{target}: {details or error.code().name}"
