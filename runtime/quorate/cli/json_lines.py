"""Events as JSON lines, for machines."""

from __future__ import annotations

import json
import math
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quorate.v1 import inference_pb2


def print_json(fields: dict[str, Any]) -> None:
    """Prints one line and hands it on at once."""
    sys.stdout.write(json.dumps(fields, allow_nan=False) + "\n")
    sys.stdout.flush()


def event_fields(event: inference_pb2.GenerateResponse) -> dict[str, Any]:
    """One event of a stream; its ``event`` is accepted, delta, notice or finished."""
    kind = event.WhichOneof("event")
    return {"event": kind, **message_fields(getattr(event, kind or ""))}


def message_fields(message: Any) -> dict[str, Any]:
    """The fields of a protobuf message under their names.

    What is not set, or has an unspecified enum value, is left out. Enum values lose their prefix.
    Bytes become text, in which bytes that are not UTF-8 are U+FFFD; where there are such, a field
    ``NAME_hex`` has them all. Numbers that JSON cannot hold, such as the log-prob of what is
    impossible, become null.
    """
    fields: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        if field.has_presence and not message.HasField(field.name):
            continue
        value = getattr(message, field.name)
        if field.enum_type is not None:
            value = _enum_name(field.enum_type, value)
            if value == "unspecified":
                continue
        if isinstance(value, bytes):
            fields.update(_bytes_fields(field.name, value))
        elif field.is_repeated:
            fields[field.name] = [_plain(each) for each in value]
        else:
            fields[field.name] = _plain(value)
    return fields


def _plain(value: Any) -> Any:
    if hasattr(value, "DESCRIPTOR"):
        return message_fields(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _bytes_fields(name: str, value: bytes) -> dict[str, str]:
    try:
        return {name: value.decode("utf-8")}
    except UnicodeDecodeError:
        return {name: value.decode("utf-8", errors="replace"), f"{name}_hex": value.hex()}


def _enum_name(kind: Any, number: int) -> str:
    prefix: str = kind.values[0].name.removesuffix("UNSPECIFIED")
    known = kind.values_by_number.get(number)
    return known.name.removeprefix(prefix).lower() if known else str(number)
