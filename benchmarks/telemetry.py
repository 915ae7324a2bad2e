"""What metrics and traces cost: two servers of one scripted model, side by side, in turn.

The model takes a fixed time for a step, some 150 tokens/s, so that what differs is the work of the
coordinator. Its answers are short, which is dear for telemetry: it works once for each. One server
tells nothing; the other is scraped once a second and sends its spans to a collector on loopback.
The ratio of rates is what a client notices; that of CPU times is of the coordinator alone.

    python benchmarks/telemetry.py [--rounds N] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from figures import figure, report, say, side_by_side
from processes import Served, configuration, server

from quorate.client import Client
from quorate.metering.cpu_time import process_cpu_seconds

_STEP_MS = 6.0
_TOKENS = 32
_ANSWERS = 20
_MODEL = f'[[models]]\nid = "m"\nengine = "scripted"\noptions = {{ step_delay_ms = {_STEP_MS} }}'
_PORT = 19464


class _Collector(BaseHTTPRequestHandler):
    """Takes everything and keeps nothing."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@contextmanager
def _collector() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Collector) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()


@contextmanager
def _scraping() -> Iterator[None]:
    done = threading.Event()

    def scrape() -> None:
        while not done.wait(1.0):
            with urllib.request.urlopen(f"http://127.0.0.1:{_PORT}/metrics", timeout=10.0) as page:
                page.read()

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


class _Side:
    """One server, and the CPU time of its coordinator so far."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self.cpu_seconds = 0.0

    def rate(self) -> float:
        """Tokens per second over some answers, one after the other."""
        before, began = (process_cpu_seconds(self._served.pid) or 0.0), time.perf_counter()
        tokens = asyncio.run(self._answers())
        self.cpu_seconds += (process_cpu_seconds(self._served.pid) or 0.0) - before
        return tokens / (time.perf_counter() - began)

    async def _answers(self) -> int:
        tokens = 0
        async with Client(self._served.address) as client:
            for _ in range(_ANSWERS):
                async for event in client.generate("one", model="m", max_tokens=_TOKENS):
                    tokens += event.finished.usage.generated_tokens
        return tokens


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    with ExitStack() as stack:
        endpoint = stack.enter_context(_collector())
        told = f'[metrics]\nlisten = "127.0.0.1:{_PORT}"\n[traces]\nendpoint = "{endpoint}"'
        say("two servers start")
        on = _Side(stack.enter_context(server(configuration(_MODEL, told), cores, 1)))
        off = _Side(stack.enter_context(server(configuration(_MODEL), cores, 1)))
        stack.enter_context(_scraping())
        for side in (on, off):
            side.rate()
            side.cpu_seconds = 0.0
        say(f"{options.rounds} rounds of {_ANSWERS} answers with {_TOKENS} tokens each")
        with_it, without, ratio = side_by_side(on.rate, off.rate, options.rounds)
    answers = options.rounds * _ANSWERS
    rates = f"{with_it:.1f} against {without:.1f} tokens/s"
    cpu = (
        f"{1e3 * on.cpu_seconds / answers:.2f} against {1e3 * off.cpu_seconds / answers:.2f} ms "
        "an answer, scrapes included"
    )
    figures = [
        figure("rate with metrics and traces", ratio, "x", rates, at_least=0.98),
        figure("coordinator's CPU time", on.cpu_seconds / off.cpu_seconds, "x", cpu),
    ]
    report(figures, "json" if options.json else "table")


if __name__ == "__main__":
    main()
