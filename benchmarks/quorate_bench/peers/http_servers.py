"""Servers of others, asked over HTTP and timed as their reader sees them."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from quorate.errors import CannotRun
from quorate.foreign_text import one_line
from quorate_bench.measuring import Disturbed, Timed, all_at_once, timed
from quorate_bench.processes import Child, child
from quorate_bench.side_by_side.contract import Peer, Prompt

PORT = "PORT"
"""Stands in a command for the port that is chosen when it starts."""

_START_SECONDS = 300.0
_ANSWER_SECONDS = 900.0
_POLL_SECONDS = 0.1


@asynccontextmanager
async def http_server(
    name: str,
    command: Sequence[str],
    cores: Sequence[int],
    ready_at: str,
    path: str,
    body: Mapping[str, Any],
) -> AsyncIterator[Peer]:
    """Runs a server until the context ends.

    Args:
        name: What errors call it.
        command: Its program and arguments, ``PORT`` where the port stands.
        cores: It may run on these.
        ready_at: A path that is answered with 200 once the model is loaded.
        path: Where completions are asked for.
        body: What is asked beside prompt and length; ``max_tokens`` and ``n_predict`` are both
            given, as one of them is what the server knows.

    Raises:
        CannotRun: It ended before it was ready, or took too long.
    """
    port = _free_port()
    written = [str(port) if word == PORT else word for word in command]
    async with child(written, cores) as started:
        started.drain()
        await _ready(name, started, port, ready_at)
        yield _Http(name, port, path, body)


class _Http:
    def __init__(self, name: str, port: int, path: str, body: Mapping[str, Any]) -> None:
        self._name = name
        self._port = port
        self._path = path
        self._body = body

    async def answers(self, prompts: Sequence[Prompt], tokens: int) -> list[Timed]:
        """See ``Peer``."""
        asked = (asyncio.to_thread(self._answer, prompt, tokens) for prompt in prompts)
        return await all_at_once(asked)

    def _answer(self, prompt: Prompt, tokens: int) -> Timed:
        body = {**self._body, "prompt": prompt.text, "stream": True, "temperature": 0.0}
        body |= {"n_predict": tokens, "max_tokens": tokens}
        began = time.perf_counter()
        try:
            moments = streamed_moments(self._port, self._path, body)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise Disturbed(f"{self._name}: {one_line(str(error))}") from error
        return timed(began, moments, len(prompt.tokens))


def streamed_moments(port: int, path: str, body: Mapping[str, Any]) -> list[float]:
    """When each event with text of a stream of server-sent events came, by ``perf_counter``.

    A server sends an event for each token; one that ends in the middle of a character comes with
    the next one.

    Raises:
        OSError, HTTPException: The connection failed.
        ValueError: It was no stream of JSON events.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_SECONDS)
    moments: list[float] = []
    try:
        connection.request(
            "POST", path, json.dumps(body), {"Content-Type": "application/json"}
        )  # fmt: skip
        response = connection.getresponse()
        if response.status != http.HTTPStatus.OK:
            raise ValueError(f"answered {response.status}: {response.read(300)!r}")
        for line in response:
            now = time.perf_counter()
            if line.startswith(b"data: {") and _has_text(json.loads(line[6:])):
                moments.append(now)
    finally:
        connection.close()
    return moments


def _has_text(event: Mapping[str, Any]) -> bool:
    """Whether an event brings a token, in llama.cpp's own format or in OpenAI's."""
    if "choices" in event:
        return any(choice.get("text") for choice in event["choices"])
    return bool(event.get("content")) and not event.get("stop")


async def _ready(name: str, started: Child, port: int, path: str) -> None:
    try:
        async with asyncio.timeout(_START_SECONDS):
            while not await asyncio.to_thread(_answers, port, path):
                if started.process.returncode is not None:
                    told = one_line(started.last_complaint())
                    raise CannotRun(name, f"did not come up: {told}")
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise CannotRun(name, f"was not ready within {_START_SECONDS:.0f} s") from None


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port
