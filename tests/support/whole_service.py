"""The product as it ships, on a free port: worker processes, dispatcher, server and client."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from quorate.app.service import Service, running
from quorate.client import Client
from quorate.engines.worker.engine import HostedEngine
from quorate.fleet.status import ModelState
from quorate.metering.open_meter import Host
from quorate.settings import parse_settings
from quorate_registry import Registry

DEADLINE_SECONDS = 240.0


def scripted(model: str, **options: Any) -> dict[str, Any]:
    """A ``[[models]]`` table of a scripted model."""
    return {"id": model, "engine": "scripted", "options": options}


def gguf(model: str, path: Path, **options: Any) -> dict[str, Any]:
    """A ``[[models]]`` table of a GGUF file."""
    return {"id": model, "model": str(path), "options": options}


def checkpoint(model: str, path: Path, **options: Any) -> dict[str, Any]:
    """A ``[[models]]`` table of a checkpoint's folder, which vLLM runs."""
    return {"id": model, "model": str(path), "engine": "vllm", "options": options}


@asynccontextmanager
async def whole_service(
    home: Path,
    *models: dict[str, Any],
    wait: bool = True,
    sections: Mapping[str, Any] | None = None,
    token: str | None = None,
    machine: Host | None = None,
    **server: Any,
) -> AsyncIterator[tuple[Service, Client]]:
    """Runs a service over these models and connects to it.

    Args:
        home: Home of the registry, so that no test touches the user's.
        wait: Whether every model is waited for.
        sections: Further sections of the configuration, such as ``budgets``.
        token: Sent with the client's calls.
        machine: As the energy meter sees it; None is this one.
        **server: Keys of the section ``server``.
    """
    data = {"server": {"listen": "127.0.0.1:0", **server}, "models": list(models)}
    settings = parse_settings({**data, **(sections or {})}, home)
    async with (
        running(settings, Registry(home), machine) as service,
        Client(service.address, token=token) as client,
    ):
        if wait:
            for model in models:
                await reaches(service, model["id"], ModelState.READY)
        yield service, client


async def reaches(service: Service, model: str, state: ModelState) -> None:
    """Waits until a model is in a state."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        async for status in service.fleet.watch():
            if status.id == model and status.state is state:
                return


def engine_of(service: Service, model: str) -> HostedEngine:
    """The engine behind a model that is ready."""
    with service.fleet.muster([model]) as (engines, _):
        engine = engines[model]
    assert isinstance(engine, HostedEngine)
    return engine


def kill_worker(service: Service, model: str) -> None:
    """Kills a model's worker without warning."""
    pid = engine_of(service, model).worker_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
