"""A foreign client: Node, which is given the proto files and nothing else."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.fake_dispatch import FakeDispatcher, raising
from support.service import fake_service, scripted_service

SOURCES = Path(__file__).parent / "node"
PROTOS = Path(__file__).parents[2] / "proto"
INSTALL_SECONDS = 90
RUN_SECONDS = 60


@pytest.fixture(scope="module")
def program() -> Path:
    """The program beside its installed packages, kept between runs."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are needed for the foreign client")
    package = SOURCES / "package.json"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    version = hashlib.sha256(package.read_bytes()).hexdigest()[:16]
    folder = cache / "quorate-tests" / f"node-{version}"
    installed = folder / "installed"
    if not installed.exists():
        _install(package, folder)
        installed.touch()
    return Path(shutil.copy(SOURCES / "stream_ensemble.js", folder))


def _install(package: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(package, folder)
    command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm install did not end within {INSTALL_SECONDS} s")
    if done.returncode:
        pytest.skip(f"npm install failed: {done.stderr.strip()[-300:]}")


async def run(program: Path, target: str, *models: str) -> tuple[int, list[dict[str, Any]]]:
    """Runs the program; returns its exit code and the events it printed."""
    process = await asyncio.create_subprocess_exec(
        *("node", str(program), target, str(PROTOS), "x", *models),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await asyncio.wait_for(process.communicate(), RUN_SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert errors == b""
    return process.returncode, [json.loads(line) for line in output.splitlines()]


async def test_node_streams_an_ensembles_answer_with_its_votes(program: Path) -> None:
    models = {"alpha": {"say": "grüße", "seed": 1}, "beta": {"say": "hello", "seed": 2}}
    async with scripted_service(models) as service:
        code, events = await run(program, service.target, "alpha:3", "beta:1")
    assert code == 0
    assert events[0]["accepted"]["request_id"] == "from-node"
    weights = [member["weight"] for member in events[0]["accepted"]["decision"]["members"]]
    assert weights == [0.75, 0.25]
    assert events[-1]["finished"]["reason"] == "FINISH_REASON_END_OF_GENERATION"
    text = "".join(event["delta"]["text"] for event in events if "delta" in event)
    assert text == "grüße"
    tokens = [token for event in events if "delta" in event for token in event["delta"]["tokens"]]
    assert [vote["model"] for vote in tokens[0]["votes"]] == ["alpha", "beta"]
    favourites = [vote["piece"] for vote in tokens[0]["votes"]]
    assert "grüße".startswith(favourites[0])
    assert "hello".startswith(favourites[1])
    assert all(favourites)


async def test_node_is_told_why_it_was_refused(program: Path) -> None:
    async with scripted_service() as service:
        code, events = await run(program, service.target, "alfa:1")
    assert code == 1
    assert events == [{"code": 5, "details": "no model named 'alfa'; did you mean alpha?"}]


async def test_node_gets_the_status_of_an_error_in_mid_stream(program: Path) -> None:
    dispatcher = FakeDispatcher(raising(RuntimeError("secret"), after=2))
    async with fake_service(dispatcher) as service:
        code, events = await run(program, service.target, "a:1")
    assert code == 1
    assert events[1]["delta"]["text"] == "hello"
    assert events[-1]["code"] == 13
    assert "secret" not in events[-1]["details"]
