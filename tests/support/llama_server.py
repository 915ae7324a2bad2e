"""llama-cpp-python's own OpenAI-compatible server in a process of its own: a real remote API."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

_READY = "Uvicorn running on"
_SERVED = re.compile(r'"(?P<call>[A-Z]+ \S+) HTTP/[\d.]+" (?P<status>\d{3})')
DEADLINE_SECONDS = 60.0


class LlamaServer:
    """A running server.

    Attributes:
        base_url: For clients.
        requests: What it answered, from its own log, such as ``POST /v1/completions 200``.
    """

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.requests: list[str] = []
        self._lines: list[str] = []
        self._ended = False
        self._changed = threading.Condition()

    def wait_for_log(self, text: str) -> None:
        """Waits until a line of the server's log holds this text."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._logged(text), DEADLINE_SECONDS)
            if not self._logged(text):
                log = "".join(self._lines[-20:])
                raise AssertionError(f"the server did not log {text!r}:\n{log}")

    def read_log(self, log: Iterable[str]) -> None:
        """Reads the log to its end, so that the server never blocks on a full pipe."""
        for line in log:
            served = _SERVED.search(line)
            with self._changed:
                self._lines.append(line)
                self.requests += [f"{served['call']} {served['status']}"] if served else []
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _logged(self, text: str) -> bool:
        return any(text in line for line in self._lines)


@contextmanager
def llama_server(model: Path, *arguments: str, context: int = 512) -> Iterator[LlamaServer]:
    """Serves a GGUF file on a free port, one thread, until the block ends.

    Args:
        model: The GGUF file.
        arguments: Further arguments of ``python -m llama_cpp.server``.
        context: Most tokens of prompt and answer.
    """
    port = _free_port()
    # Another request must wait for the running one: else it would end it, and a stream that nobody
    # reads would not be noticed.
    command = [sys.executable, "-u", "-m", "llama_cpp.server", "--model", str(model)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--n_ctx", str(context)]
    command += ["--n_threads", "1", "--interrupt_requests", "false", *arguments]
    server = LlamaServer(f"http://127.0.0.1:{port}/v1")
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        reader = threading.Thread(target=server.read_log, args=(process.stdout,), daemon=True)
        reader.start()
        try:
            server.wait_for_log(_READY)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
            reader.join(10)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
