"""Where requests are read, and when the loop goes on with them."""

from __future__ import annotations

import threading

import pytest

from quorate.api.grpc.reading import RequestReader
from quorate.api.reading import AT_ONCE_BYTES
from quorate.errors import InvalidRequest


async def test_what_was_read_beside_the_loop_comes_back_in_its_turn() -> None:
    turns: list[None] = []

    async def turn() -> None:
        turns.append(None)

    reader = RequestReader(turn)
    here = threading.get_ident()
    try:
        assert await reader.run(AT_ONCE_BYTES, threading.get_ident) == here
        assert not turns
        assert await reader.run(AT_ONCE_BYTES + 1, threading.get_ident) != here
        assert len(turns) == 1
    finally:
        reader.close()


async def test_what_is_wrong_with_a_large_request_is_raised() -> None:
    async def turn() -> None:
        raise AssertionError("nothing is left to do for it")

    def refuse() -> None:
        raise InvalidRequest("prompt", "is wrong")

    reader = RequestReader(turn)
    try:
        with pytest.raises(InvalidRequest):
            await reader.run(AT_ONCE_BYTES + 1, refuse)
    finally:
        reader.close()
