"""A client in a process of its own, which gives way to everything else on the machine.

What it costs to send a request is the sender's, who would be elsewhere.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import grpc

from quorate.niceness import LAST_LEVEL, give_way

_GENERATE = "/quorate.v1.InferenceService/Generate"
_TESTS = Path(__file__).resolve().parents[1]


class Stranger:
    """Sends requests as they stand on the wire."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self._process = process
        self._file = folder / "request"

    async def ask(
        self, request: bytes, begins: Callable[[], None] = lambda: None
    ) -> tuple[grpc.StatusCode, float]:
        """How a request to ``Generate`` ends, and after how many seconds from its first byte.

        Args:
            begins: Called when it is about to be sent.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._file.write_bytes(request)
        self._process.stdin.write(b"read\n")
        assert await self._process.stdout.readline() == b"ready\n"
        begins()
        self._process.stdin.write(b"send\n")
        name, seconds = (await self._process.stdout.readline()).split()
        return grpc.StatusCode[name.decode()], float(seconds)


@asynccontextmanager
async def stranger(address: str, folder: Path) -> AsyncIterator[Stranger]:
    """A client of a server. Requests cross a file in the folder."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "support.stranger",
        address,
        str(folder / "request"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(_TESTS)},
        start_new_session=True,
    )
    try:
        yield Stranger(process, folder)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def _serve(address: str, path: Path) -> None:
    options = [("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        await channel.channel_ready()
        while sys.stdin.readline():
            request = path.read_bytes()
            print("ready", flush=True)
            sys.stdin.readline()
            began = time.perf_counter()
            call = channel.unary_stream(_GENERATE)(request)
            with suppress(grpc.aio.AioRpcError):
                async for _ in call:
                    pass
            code: grpc.StatusCode = await call.code()
            print(code.name, time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    give_way(LAST_LEVEL)
    asyncio.run(_serve(sys.argv[1], Path(sys.argv[2])))
