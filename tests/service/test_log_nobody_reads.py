from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from quorate.client import Client
from support.command_line import COMMAND, TWO_MODELS, environment

DEADLINE_SECONDS = 60.0


@contextmanager
def full_pipe() -> Iterator[tuple[int, int]]:
    """A pipe without any room, whose reader has stopped."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    try:
        while True:
            os.write(write_end, b"\0" * 4096)
    except BlockingIOError:
        os.set_blocking(write_end, True)
    try:
        yield read_end, write_end
    finally:
        os.close(read_end)
        os.close(write_end)


def address_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    address: str = json.loads(process.stdout.readline())["address"]
    return address


@pytest.mark.timeout(180)
async def test_a_log_that_nobody_reads_stops_neither_requests_nor_the_end(tmp_path: Path) -> None:
    (tmp_path / "served.toml").write_text(TWO_MODELS)
    with (
        full_pipe() as (read_end, write_end),
        subprocess.Popen(
            [*COMMAND, "serve", "--config", "served.toml", "--json"],
            cwd=tmp_path,
            env=environment(tmp_path),
            stdout=subprocess.PIPE,
            stderr=write_end,
            text=True,
        ) as process,
    ):
        try:
            async with Client(address_of(process)) as client:
                for model in ("alpha", "beta"):
                    await client.load(model)
                for _ in range(20):
                    answer = await client.complete(
                        "x", model="alpha", max_tokens=2, timeout=DEADLINE_SECONDS
                    )
                    assert answer
            # What waited follows as soon as there is room.
            log = b""
            while log.count(b"method=quorate.v1.InferenceService/Generate") < 20:
                log += os.read(read_end, 1 << 16).lstrip(b"\0")
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE_SECONDS) == 0
        finally:
            process.kill()


async def test_a_full_log_ends_as_well(tmp_path: Path) -> None:
    (tmp_path / "served.toml").write_text(TWO_MODELS)
    with (
        full_pipe() as (_, write_end),
        subprocess.Popen(
            [*COMMAND, "serve", "--config", "served.toml", "--json"],
            cwd=tmp_path,
            env=environment(tmp_path),
            stdout=subprocess.PIPE,
            stderr=write_end,
            text=True,
        ) as process,
    ):
        try:
            address_of(process)
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE_SECONDS) == 0
        finally:
            process.kill()
