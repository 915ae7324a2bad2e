"""Domain errors as gRPC statuses with ``google.rpc`` details."""

from __future__ import annotations

import math
from collections.abc import Iterator

import grpc
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from quorate.api.faults import status_name
from quorate.api.grpc.calls import request_id_metadata
from quorate.errors import (
    BudgetSpent,
    CannotRun,
    InvalidRequest,
    LimitReached,
    NotFound,
    Overloaded,
    QuorateError,
    Unavailable,
)
from quorate.foreign_text import one_line

DOMAIN = "quorate"
"""Domain of every ``google.rpc.ErrorInfo``."""

# The status travels in HTTP/2 headers, limited to 8 KiB, and has the message in it twice.
_MAX_BYTES = 600
_MAX_VIOLATIONS_BYTES = 1800


def status_code(error: QuorateError) -> grpc.StatusCode:
    """Returns the status of an error."""
    return grpc.StatusCode[status_name(error)]


def rich_status(error: QuorateError, request_id: str) -> grpc.Status:
    """Builds what ``context.abort_with_status`` wants: code, one line, and the details.

    The ``ErrorInfo`` has the request's id, and so have the trailers, so that an answer can be found
    in the log.
    """
    status = status_pb2.Status(code=status_code(error).value[0], message=_line(error.message))
    for detail in _details(error, request_id):
        packed = Packed()
        packed.Pack(detail)
        status.details.append(packed)
    rich = rpc_status.to_status(status)
    told = (*rich.trailing_metadata, *request_id_metadata(request_id))
    return rich._replace(trailing_metadata=told)  # type: ignore[no-any-return]


def _details(error: QuorateError, request_id: str) -> Iterator[Message]:
    metadata = {key: _line(str(value)) for key, value in error.metadata.items()}
    metadata["request_id"] = request_id
    if isinstance(error, NotFound) and error.nearest:
        metadata["nearest"] = _line(", ".join(error.nearest))
    yield error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)
    if isinstance(error, InvalidRequest):
        yield _bad_request(error)
    if isinstance(error, CannotRun):
        obstacle = error_details_pb2.PreconditionFailure.Violation(
            type=error.reason, subject=_line(error.subject), description=_line(error.problem)
        )
        yield error_details_pb2.PreconditionFailure(violations=[obstacle])
    if isinstance(error, BudgetSpent | LimitReached):
        limit = error.window if isinstance(error, BudgetSpent) else error.limit
        violation = error_details_pb2.QuotaFailure.Violation(
            subject=_line(limit), description=_line(error.problem)
        )
        yield error_details_pb2.QuotaFailure(violations=[violation])
    if isinstance(error, Overloaded | Unavailable | BudgetSpent):
        yield from _retry(error.retry_after_seconds)


def _retry(seconds: float) -> Iterator[error_details_pb2.RetryInfo]:
    """Nothing where no time helps."""
    if math.isfinite(seconds):
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(max(0, round(seconds * 1e9)))
        yield retry


def _bad_request(error: InvalidRequest) -> error_details_pb2.BadRequest:
    """Every field that is wrong, as far as the status has room for them; the first always."""
    message = error_details_pb2.BadRequest()
    for one in (error, *error.also):
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=_line(one.field), description=_line(one.problem), reason=one.reason
        )
        room = _MAX_VIOLATIONS_BYTES - message.ByteSize() - violation.ByteSize()
        if message.field_violations and room < 0:
            break
        message.field_violations.append(violation)
    return message


def _line(text: str) -> str:
    text = text[: 2 * _MAX_BYTES].encode("utf-8", errors="replace").decode("utf-8")
    line = one_line(" ".join(text.split())).encode("utf-8")
    if len(line) <= _MAX_BYTES:
        return line.decode("utf-8")
    return line[: _MAX_BYTES - 3].decode("utf-8", errors="ignore") + "…"
