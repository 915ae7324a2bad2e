"""What the HTTP door costs over gRPC: one server of a scripted model, asked through both in turn.

The model takes a fixed time for a step, some 150 tokens/s, so that what differs is the way of a
token to its reader. Both are read as cheaply as Python can: gRPC by the client of the product, HTTP
by a socket whose lines are counted and not parsed. Then many streams are read over HTTP at once,
all of which must come to their end.

    python benchmarks/doors.py [--rounds N] [--streams N] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from pathlib import Path

from figures import figure, report, say, side_by_side
from processes import Served, configuration, server

from quorate.client import Client
from quorate.metering.cpu_time import process_cpu_seconds

_STEP_MS = 6.0
_TOKENS = 200
_ANSWERS = 3
_MODEL = (
    f'[[models]]\nid = "m"\nengine = "scripted"\noptions = {{ step_delay_ms = {_STEP_MS}, '
    f'say = "{"round and round " * 40}" }}'
)
_HTTP = '[http]\nlisten = "127.0.0.1:0"'
_SHORT = 16
_MANY_SECONDS = 300.0


class _Side:
    """One way to ask, and what the coordinator's CPU took for it so far."""

    def __init__(self, served: Served, over_http: bool) -> None:
        self._served = served
        self._ask = self._over_http if over_http else self._over_grpc
        self.cpu_seconds = 0.0

    def rate(self) -> float:
        """Tokens per second behind the first one, over some answers one after the other."""
        before = process_cpu_seconds(self._served.pid) or 0.0
        seconds = asyncio.run(self._answers())
        self.cpu_seconds += (process_cpu_seconds(self._served.pid) or 0.0) - before
        return _ANSWERS * (_TOKENS - 1) / seconds

    async def _answers(self) -> float:
        return sum([await self._ask() for _ in range(_ANSWERS)])

    async def _over_grpc(self) -> float:
        first = 0.0
        async with Client(self._served.address) as client:
            async for event in client.generate(
                "one", model="m", max_tokens=_TOKENS, omit_logprobs=True
            ):
                if event.delta.tokens and not first:
                    first = time.perf_counter()
        return time.perf_counter() - first

    async def _over_http(self) -> float:
        first, last, _ = await stream(self._served.http, _TOKENS)
        return last - first


async def stream(address: str, tokens: int) -> tuple[float, float, bool]:
    """Reads one answer; when its first token and its end came, and whether it was whole."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        asked = {"model": "m", "prompt": "one", "max_tokens": tokens, "stream": True}
        body = json.dumps(asked).encode()
        head = f"POST /v1/completions HTTP/1.1\r\nhost: {address}\r\ncontent-length: {len(body)}"
        writer.write(f"{head}\r\n\r\n".encode() + body)
        events, first, whole = 0, 0.0, False
        while not whole and (line := await reader.readline()):
            if line.startswith(b"data: "):
                # The first event tells the decision.
                events += 1
                if events == 2:
                    first = time.perf_counter()
                whole = line.startswith(b"data: [DONE]")
        return first, time.perf_counter(), whole
    finally:
        writer.close()


async def many(address: str, count: int) -> tuple[int, float]:
    """How many of so many streams at once came to their end, and how long all took."""
    began = time.perf_counter()
    async with asyncio.timeout(_MANY_SECONDS):
        ended = await asyncio.gather(
            *(stream(address, _SHORT) for _ in range(count)), return_exceptions=True
        )
    whole = sum(1 for one in ended if not isinstance(one, BaseException) and one[2])
    return whole, time.perf_counter() - began


def resident_bytes(pid: int) -> int:
    """What a process has in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    # All of them may wait; how many are in the queue at once is not what is measured.
    queue = configuration(_MODEL, _HTTP).replace(
        "[server]", f"[server]\nmax_waiting = {2 * options.streams}", 1
    )
    with server(queue, cores, 1) as served:
        over_http, over_grpc = _Side(served, True), _Side(served, False)
        for side in (over_http, over_grpc):
            side.rate()
            side.cpu_seconds = 0.0
        say(f"{options.rounds} rounds of {_ANSWERS} answers with {_TOKENS} tokens each")
        ours, theirs, ratio = side_by_side(over_http.rate, over_grpc.rate, options.rounds)
        before = resident_bytes(served.pid)
        say(f"{options.streams} streams at once")
        whole, seconds = asyncio.run(many(served.http, options.streams))
        after = resident_bytes(served.pid)
    tokens = options.rounds * _ANSWERS * _TOKENS
    cpu = (
        f"{1e6 * over_http.cpu_seconds / tokens:.0f} against "
        f"{1e6 * over_grpc.cpu_seconds / tokens:.0f} us a token, requests included"
    )
    figures = [
        figure(
            "tokens per second, HTTP / gRPC",
            ratio,
            "x",
            f"{ours:.1f} against {theirs:.1f} tokens/s",
            at_least=0.97,
        ),
        figure(
            "coordinator's CPU time, HTTP / gRPC",
            over_http.cpu_seconds / over_grpc.cpu_seconds,
            "x",
            cpu,
        ),
        figure(
            f"{options.streams} streams at once, whole",
            whole / options.streams,
            "x",
            f"{whole} of them, in {seconds:.1f} s",
            at_least=1.0,
        ),
        figure(
            "memory of the coordinator behind them / before",
            after / before,
            "x",
            f"{after / 2**20:.0f} against {before / 2**20:.0f} MiB",
            at_most=1.2,
        ),
    ]
    report(figures, "json" if options.json else "table")


if __name__ == "__main__":
    main()
