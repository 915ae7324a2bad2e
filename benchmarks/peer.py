"""llama-server, asked over HTTP and timed as a client sees it.

It is the program that comes with llama.cpp; ``benchmarks/llama_server`` builds it.
"""

from __future__ import annotations

import http.client
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from quorate_bench.peers.http_servers import streamed_moments
from streams import tokens_per_second

_START_SECONDS = 120.0


@dataclass(frozen=True)
class Peer:
    """A llama-server that has loaded its model."""

    port: int

    def per_token_seconds(self, prompt: str, tokens: int) -> float:
        """Seconds per token after the first of a greedy answer."""
        times = self._token_times(prompt, tokens)
        return (times[-1] - times[0]) / (tokens - 1)

    def throughput(self, prompt: str, tokens: int, streams: int) -> float:
        """Tokens per second of several streams at once; see ``streams.tokens_per_second``."""
        with ThreadPoolExecutor(streams) as pool:
            asked = [pool.submit(self._token_times, prompt, tokens) for _ in range(streams)]
            return tokens_per_second([one.result() for one in asked])

    def _token_times(self, prompt: str, tokens: int) -> list[float]:
        request = {"prompt": prompt, "n_predict": tokens, "temperature": 0.0, "stream": True}
        times = streamed_moments(self.port, "/completion", {**request, "ignore_eos": True})
        # A token that ends in the middle of a character is sent with the next one.
        if len(times) < tokens * 0.9:
            raise RuntimeError(f"llama-server sent {len(times)} of {tokens} tokens")
        return times


@contextmanager
def llama_server(
    program: Path, model: Path, cores: Sequence[int], streams: int, context: int
) -> Iterator[Peer]:
    """Runs llama-server on some cores, with as many threads, until the context ends.

    Args:
        program: What ``benchmarks/llama_server`` built.
        model: A GGUF file.
        cores: It computes with as many threads as these are.
        streams: Most requests at once.
        context: Tokens of each.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    threads = str(len(cores))
    command = [str(program), "--model", str(model), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--threads", threads, "--threads-batch", threads]
    command += ["--parallel", str(streams), "--ctx-size", str(streams * context)]
    with subprocess.Popen(
        ["taskset", "-c", ",".join(map(str, cores)), *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            _wait_ready(process, port)
            yield Peer(port)
        finally:
            process.terminate()


def _wait_ready(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/health")
            if connection.getresponse().status == http.HTTPStatus.OK:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.2)
    raise RuntimeError("llama-server did not come up; start it by hand to see why")
