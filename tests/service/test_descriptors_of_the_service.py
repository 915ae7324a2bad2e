"""Idle connections, and the descriptors that a model needs to come back."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path

from attacks.raw_http2 import raw_peer

from quorate.client import Client
from support.command_line import COMMAND, TWO_MODELS, environment
from support.hosted_engines import children_of

FILES = (100, 260)
IDLE = 1100
DEADLINE_SECONDS = 60.0


@contextmanager
def served_with_few_files(home: Path) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """A server whose limits of open files are low; its address, and what it said at first."""
    (home / "served.toml").write_text(TWO_MODELS)
    errors = (home / "stderr").open("w+")
    with subprocess.Popen(
        [*COMMAND, "serve", "--config", "served.toml", "--json"],
        cwd=home,
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, FILES),
    ) as process:
        try:
            assert process.stdout is not None
            events = [json.loads(process.stdout.readline())]
            while sum(event.get("state") == "ready" for event in events) < 2:
                events.append(json.loads(process.stdout.readline()))
            errors.seek(0)
            yield process, events[0]["address"], errors.read()
        finally:
            process.kill()
            process.communicate()
            errors.close()


async def test_a_model_that_dies_beside_more_idle_connections_than_files_comes_back(
    tmp_path: Path,
) -> None:
    with served_with_few_files(tmp_path) as (process, address, said):
        async with AsyncExitStack() as stack, Client(address) as client:
            assert await client.complete("x", model="alpha", max_tokens=2)
            for _ in range(IDLE):
                with suppress(OSError):
                    await stack.enter_async_context(raw_peer(address))
            assert len(os.listdir(f"/proc/{process.pid}/fd")) < FILES[1]
            for worker in children_of(process.pid):
                with suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)
            async with asyncio.timeout(DEADLINE_SECONDS):
                while True:
                    with suppress(Exception):
                        if await client.complete("x", model="alpha", max_tokens=2, timeout=5):
                            break
                    await asyncio.sleep(0.05)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] > IDLE
    assert f"this process may have {FILES[1]} open files" in said
