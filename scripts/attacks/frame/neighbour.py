"""The neighbour's process: asks for four tokens, again and again, until its input ends.

Then it prints a JSON list of ``[begun, seconds, error]``; moments are of the monotonic clock, which
all processes of a machine share. Every tenth request comes over a connection of its own.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from quorate.client import Client
from quorate.errors import QuorateError

NEW_CONNECTION_EVERY = 10
_DEADLINE_SECONDS = 60.0
_PAUSE_SECONDS = 0.005


async def _ask(client: Client) -> str:
    """Asks once and returns what went wrong, or ""."""
    try:
        answer = await client.complete(
            "x", model="beta", max_tokens=4, temperature=0.0, timeout=_DEADLINE_SECONDS
        )
    except QuorateError as error:
        return error.message
    return "" if answer else "an empty answer"


async def _main(address: str, token: str) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    over = asyncio.ensure_future(reader.read())
    seen: list[tuple[float, float, str]] = []
    async with Client(address, token=token) as client:
        while not over.done():
            begun = time.monotonic()
            if len(seen) % NEW_CONNECTION_EVERY:
                problem = await _ask(client)
            else:
                async with Client(address, token=token) as fresh:
                    problem = await _ask(fresh)
            seen.append((begun, time.monotonic() - begun, problem))
            await asyncio.wait([over], timeout=_PAUSE_SECONDS)
    print(json.dumps(seen), flush=True)


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
