"""Messages of the service as JSON objects for programs."""

from __future__ import annotations

import math
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from quorate.cli.events import event_line
from quorate.cli.messages import enum_name
from quorate.v1 import inference_pb2


def response_line(response: inference_pb2.GenerateResponse) -> str:
    """One event of a stream as one line of JSON, its kind under ``event``."""
    kind = response.WhichOneof("event")
    return event_line(kind, message_fields(getattr(response, kind)))


def message_fields(message: Message) -> dict[str, Any]:
    """A message as a JSON object: every field is there, null where it is absent.

    Bytes become text, with U+FFFD for what is not UTF-8 and the exact bytes under ``NAME_hex``
    beside it; enums become their lower-case names; numbers that are not finite become null.
    """
    fields: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.is_repeated:
            fields[field.name] = [_json(field, item) for item in value]
        elif field.has_presence and not message.HasField(field.name):
            fields[field.name] = None
        else:
            fields[field.name] = _json(field, value)
        if field.type == FieldDescriptor.TYPE_BYTES and not _is_utf8(value):
            fields[f"{field.name}_hex"] = value.hex()
    return fields


def _json(field: Any, value: Any) -> Any:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return message_fields(value)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return value.decode("utf-8", errors="replace")
    if field.type == FieldDescriptor.TYPE_ENUM:
        return enum_name(field.enum_type, value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
