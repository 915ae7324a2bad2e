from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor

class ErrorReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ERROR_REASON_UNSPECIFIED: _ClassVar[ErrorReason]
    ERROR_REASON_INVALID_FIELD: _ClassVar[ErrorReason]
    ERROR_REASON_PROMPT_TOO_LONG: _ClassVar[ErrorReason]
    ERROR_REASON_PROMPT_QUARANTINED: _ClassVar[ErrorReason]
    ERROR_REASON_TEMPLATE_REFUSED: _ClassVar[ErrorReason]
    ERROR_REASON_NOT_FOUND: _ClassVar[ErrorReason]
    ERROR_REASON_CANNOT_RUN: _ClassVar[ErrorReason]
    ERROR_REASON_MODEL_UNUSABLE: _ClassVar[ErrorReason]
    ERROR_REASON_UNSUPPORTED_PLAN: _ClassVar[ErrorReason]
    ERROR_REASON_SETTINGS: _ClassVar[ErrorReason]
    ERROR_REASON_QUEUE_FULL: _ClassVar[ErrorReason]
    ERROR_REASON_OVER_BUDGET: _ClassVar[ErrorReason]
    ERROR_REASON_BUDGET_SPENT: _ClassVar[ErrorReason]
    ERROR_REASON_UNAVAILABLE: _ClassVar[ErrorReason]
    ERROR_REASON_WORKER_LOST: _ClassVar[ErrorReason]
    ERROR_REASON_REMOTE_FAILED: _ClassVar[ErrorReason]
    ERROR_REASON_SERVER_STOPPED: _ClassVar[ErrorReason]
    ERROR_REASON_UNAUTHENTICATED: _ClassVar[ErrorReason]
    ERROR_REASON_PERMISSION_DENIED: _ClassVar[ErrorReason]
    ERROR_REASON_DEADLINE_PASSED: _ClassVar[ErrorReason]
    ERROR_REASON_INTERNAL: _ClassVar[ErrorReason]
    ERROR_REASON_QUORATE_ERROR: _ClassVar[ErrorReason]
    ERROR_REASON_LIMIT_REACHED: _ClassVar[ErrorReason]
    ERROR_REASON_PEER_STALLED: _ClassVar[ErrorReason]
ERROR_REASON_UNSPECIFIED: ErrorReason
ERROR_REASON_INVALID_FIELD: ErrorReason
ERROR_REASON_PROMPT_TOO_LONG: ErrorReason
ERROR_REASON_PROMPT_QUARANTINED: ErrorReason
ERROR_REASON_TEMPLATE_REFUSED: ErrorReason
ERROR_REASON_NOT_FOUND: ErrorReason
ERROR_REASON_CANNOT_RUN: ErrorReason
ERROR_REASON_MODEL_UNUSABLE: ErrorReason
ERROR_REASON_UNSUPPORTED_PLAN: ErrorReason
ERROR_REASON_SETTINGS: ErrorReason
ERROR_REASON_QUEUE_FULL: ErrorReason
ERROR_REASON_OVER_BUDGET: ErrorReason
ERROR_REASON_BUDGET_SPENT: ErrorReason
ERROR_REASON_UNAVAILABLE: ErrorReason
ERROR_REASON_WORKER_LOST: ErrorReason
ERROR_REASON_REMOTE_FAILED: ErrorReason
ERROR_REASON_SERVER_STOPPED: ErrorReason
ERROR_REASON_UNAUTHENTICATED: ErrorReason
ERROR_REASON_PERMISSION_DENIED: ErrorReason
ERROR_REASON_DEADLINE_PASSED: ErrorReason
ERROR_REASON_INTERNAL: ErrorReason
ERROR_REASON_QUORATE_ERROR: ErrorReason
ERROR_REASON_LIMIT_REACHED: ErrorReason
ERROR_REASON_PEER_STALLED: ErrorReason
