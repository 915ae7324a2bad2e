"""From the bytes of a call to the message that they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.message import DecodeError

from quorate.api.grpc.wire import check_fields
from quorate.api.reading import Reader
from quorate.errors import InvalidRequest


class RequestReader(Reader):
    """Reads protobuf messages."""

    async def parse(self, handler: Any, data: bytes) -> Any:
        """The message that a request is.

        Args:
            handler: Of its RPC, made by generated code.
            data: As it came.

        Raises:
            InvalidRequest: A field holds more than it may, or it is no such message.
        """
        return await self.run(len(data), lambda: parsed(handler.request_deserializer, data))


def parsed(deserialize: Callable[[bytes], Any], data: bytes) -> Any:
    """The message that these bytes are; see ``RequestReader.parse``."""
    # The generated code gives the method of the message's class that parses.
    kind = getattr(deserialize, "__self__", None)
    if kind is not None:
        check_fields(kind.DESCRIPTOR, data)
    try:
        return deserialize(data)
    except DecodeError:
        raise InvalidRequest("request", "is not a message of this RPC's request type") from None
