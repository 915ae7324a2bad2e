from __future__ import annotations

import importlib
import math
import pkgutil
import re
from collections.abc import Iterator

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import status_pb2
from google.rpc.error_details_pb2 import (
    BadRequest,
    ErrorInfo,
    PreconditionFailure,
    QuotaFailure,
    RetryInfo,
)

from quorate.api.faults import STATUS_OF, as_domain_error, forget_frames
from quorate.api.grpc.errors import rich_status, status_code
from quorate.errors import (
    BudgetSpent,
    CannotRun,
    Internal,
    InvalidRequest,
    LimitReached,
    ModelUnusable,
    NotFound,
    Overloaded,
    QuorateError,
    Unavailable,
    WorkerLost,
)
from quorate.v1 import errors_pb2
from support.repository import ROOT

DETAILS = {
    each.DESCRIPTOR.full_name: each
    for each in (ErrorInfo, BadRequest, RetryInfo, PreconditionFailure, QuotaFailure)
}

_ABOVE = ("quorate.client", "quorate.cli")


def tree(cls: type[QuorateError]) -> Iterator[type[QuorateError]]:
    yield cls
    for child in cls.__subclasses__():
        yield from tree(child)


def status_code_of(cls: type[QuorateError]) -> str:
    return next(STATUS_OF[base] for base in cls.__mro__ if base in STATUS_OF)


def details(error: QuorateError) -> dict[str, Message]:
    """The details of an error's status by the name of their type."""
    trailing = dict(rich_status(error, "r1").trailing_metadata)
    status = status_pb2.Status.FromString(trailing["grpc-status-details-bin"])
    found = {}
    for packed in status.details:
        kind = DETAILS[packed.TypeName()]
        message = kind()
        assert packed.Unpack(message)
        found[kind.__name__] = message
    return found


def test_every_error_has_a_row_in_the_table() -> None:
    below = ("errors", "engines", "ensemble", "remotes", "routing", "dispatch", "access")
    for name in (*below, "api.grpc"):
        package = importlib.import_module(f"quorate.{name}")
        for module in pkgutil.iter_modules(getattr(package, "__path__", [])):
            importlib.import_module(f"quorate.{name}.{module.name}")
    # What the client and the program raise never reaches a server.
    served = {cls for cls in tree(QuorateError) if cls.__module__.startswith("quorate.")}
    served = {
        cls for cls in served if not cls.__module__.startswith(("quorate.client", "quorate.cli"))
    }
    assert served - set(STATUS_OF) == set()


def test_a_class_without_a_row_takes_that_of_its_base() -> None:
    class Fresh(CannotRun):
        pass

    assert status_code(Fresh("a", "b")) is grpc.StatusCode.FAILED_PRECONDITION


def test_every_status_has_an_error_info() -> None:
    info = details(Internal("broken"))["ErrorInfo"]
    assert (info.domain, info.reason) == ("quorate", "INTERNAL")
    assert dict(info.metadata) == {"request_id": "r1"}


def test_a_wrong_field_is_a_field_violation() -> None:
    found = details(InvalidRequest("plan.ensemble.members[1].weight", "is -1"))
    violation = found["BadRequest"].field_violations[0]
    assert violation.field == "plan.ensemble.members[1].weight"
    assert violation.description == "is -1"
    assert violation.reason == "INVALID_FIELD"
    assert found["ErrorInfo"].metadata["field"] == "plan.ensemble.members[1].weight"


def test_what_was_not_found_comes_with_the_nearest_names() -> None:
    info = details(NotFound("model", "alfa", ["alpha", "zeta"]))["ErrorInfo"]
    assert dict(info.metadata) == {
        "kind": "model",
        "name": "alfa",
        "nearest": "alpha",
        "request_id": "r1",
    }


def test_a_limit_of_a_key_is_a_quota_with_the_time_to_come_back() -> None:
    found = details(LimitReached("max_requests of key alice", "2 requests are open, of 2", 1.5))
    violation = found["QuotaFailure"].violations[0]
    assert violation.subject == "max_requests of key alice"
    assert violation.description == "2 requests are open, of 2"
    assert found["RetryInfo"].retry_delay.ToTimedelta().total_seconds() == 1.5
    assert found["ErrorInfo"].reason == "LIMIT_REACHED"


def test_what_stands_in_the_way_is_a_precondition() -> None:
    violation = details(ModelUnusable("a", "is truncated"))["PreconditionFailure"].violations[0]
    assert violation.type == "MODEL_UNUSABLE"
    assert violation.subject == "a"
    assert violation.description == "is truncated"


@pytest.mark.parametrize(
    "error", [Overloaded("full", 1.25), Unavailable("x", 1.25), WorkerLost("a", "killed", 1.25)]
)
def test_what_passes_says_when_to_try_again(error: QuorateError) -> None:
    delay = details(error)["RetryInfo"].retry_delay
    assert (delay.seconds, delay.nanos) == (1, 250_000_000)


@pytest.mark.parametrize(
    "error", [Internal("x"), NotFound("model", "a", []), BudgetSpent("usd", "too dear", math.inf)]
)
def test_what_does_not_pass_has_no_retry(error: QuorateError) -> None:
    assert "RetryInfo" not in details(error)


def test_several_wrong_fields_are_violations_each_and_fit_the_headers() -> None:
    others = [InvalidRequest(f"stopping.stop[{index}]", "is empty" * 99) for index in range(30)]
    error = InvalidRequest("task", "is longer than 64 characters", others)
    found = details(error)["BadRequest"]
    fields = [violation.field for violation in found.field_violations]
    assert fields[:2] == ["task", "stopping.stop[0]"]
    assert 2 <= len(fields) < 31
    trailing = rich_status(error, "r1").trailing_metadata
    assert sum(len(value) for _, value in trailing) < 4096


@pytest.mark.parametrize(("given", "told"), [("r 1", "r 1"), ("frage-ä", "frage-%C3%A4")])
def test_the_trailers_have_the_id_of_the_request(given: str, told: str) -> None:
    trailing = dict(rich_status(Internal("x"), given).trailing_metadata)
    assert trailing["quorate-request-id"] == told


def test_every_reason_is_documented_with_the_status_it_comes_with() -> None:
    text = (ROOT / "proto/quorate/v1/errors.proto").read_text(encoding="utf-8")
    found = {
        reason: comment.lstrip("/ ").partition(":")[0]
        for comment, reason in re.findall(r"((?:  //[^\n]*\n)+)  ERROR_REASON_(\w+) = [1-9]", text)
    }
    served = {
        cls
        for cls in tree(QuorateError)
        if not cls.__module__.startswith(("quorate.client", "quorate.cli"))
    }
    known = {
        cls.reason: status_code_of(cls) for cls in served if cls.__module__ == "quorate.errors"
    }
    assert found == known
    names = set(errors_pb2.ErrorReason.keys()) - {"ERROR_REASON_UNSPECIFIED"}
    assert {name.removeprefix("ERROR_REASON_") for name in names} == set(known)


def test_messages_are_one_short_line() -> None:
    status = rich_status(Internal("one\n\ttwo\x00 " + "🙂" * 10_000), "r1")
    assert status.details.startswith("one two")
    assert status.details.endswith("🙂…")
    assert len(status.details.encode()) <= 600
    assert sum(len(value) for _, value in status.trailing_metadata) < 4096


def test_a_message_with_half_a_surrogate_pair_can_be_sent() -> None:
    assert rich_status(Internal("a\ud800b"), "r1").details == "a?b"


def test_domain_errors_stay_what_they_are() -> None:
    error = Overloaded("full", 1.0)
    assert as_domain_error(error) is error


def test_foreign_errors_are_hidden_behind_an_incident(caplog: pytest.LogCaptureFixture) -> None:
    hidden = as_domain_error(KeyError("password"))
    assert isinstance(hidden, Internal)
    assert "password" not in hidden.message
    assert hidden.metadata["incident"] in hidden.message
    assert caplog.records[0].exc_info[0] is KeyError


def raised(error: BaseException) -> BaseException:
    """The same one, with a traceback."""
    try:
        raise error
    except BaseException as caught:
        return caught


def test_no_error_before_a_refusal_or_in_a_group_keeps_its_frames() -> None:
    parts = [raised(ValueError("a")), raised(KeyError("b"))]
    inner = raised(BaseExceptionGroup("two", parts))
    group = raised(BaseExceptionGroup("one", [inner]))
    hidden = Internal("internal error")
    hidden.__cause__, parts[0].__context__ = group, raised(OSError("c"))
    everyone = [raised(hidden), group, inner, *parts, parts[0].__context__]
    assert all(one.__traceback__ is not None for one in everyone)
    forget_frames(hidden)
    assert [one.__traceback__ for one in everyone] == [None] * 6
