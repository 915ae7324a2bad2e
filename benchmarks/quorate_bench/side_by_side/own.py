"""Quorate itself, as one of the programs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from quorate.client import Client, ServiceError
from quorate_bench.measuring import Disturbed, Timed, all_at_once, timed_answer
from quorate_bench.side_by_side.contract import Peer, Prompt


@asynccontextmanager
async def own_plan(address: str, options: Mapping[str, Any]) -> AsyncIterator[Peer]:
    """A plan of a server that runs.

    Args:
        address: Of the server.
        options: Arguments of ``Client.generate``.
    """
    async with Client(address) as client:
        yield _Own(client, options)


class _Own:
    def __init__(self, client: Client, options: Mapping[str, Any]) -> None:
        self._client = client
        self._options = options

    async def answers(self, prompts: Sequence[Prompt], tokens: int) -> list[Timed]:
        """See ``Peer``."""
        asked = (timed_answer(self._client, one.text, self._options, tokens) for one in prompts)
        try:
            return await all_at_once(asked)
        except ServiceError as error:
            raise Disturbed(str(error)) from error
