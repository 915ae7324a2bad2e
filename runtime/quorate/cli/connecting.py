"""The server a command asks: one that runs already, or one of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

import typer

from quorate.app.service import Service, running
from quorate.cli.configuration import demo_settings, named_settings
from quorate.cli.load_view import StatusView
from quorate.cli.target import Target, connect
from quorate.client import Client
from quorate.errors import ModelUnusable
from quorate.fleet.status import ModelState
from quorate.ledger.settings import LEDGER_OFF
from quorate.settings import Settings

_FREE_LOOPBACK_PORT = "127.0.0.1:0"


def asked_service(
    names: Sequence[str], target: Target, view: StatusView
) -> AbstractAsyncContextManager[Client]:
    """The service that a command was told to ask, or one of its own.

    Args:
        names: Members as they were named; without any a service of its own has the demo models.
        target: A server, or none for a service of its own.
        view: Shows how its own models load.

    Raises:
        SettingsError: No address, a token that cannot be sent there, or models that cannot be
            served together.
        CannotRun: The demo models are missing.
    """
    if target.address:
        return connect(target.address, target)
    settings = named_settings(names, _note) if names else demo_settings(_note)
    return own_service(settings, view)


def _note(text: str) -> None:
    typer.echo(text, err=True)


@asynccontextmanager
async def own_service(settings: Settings, view: StatusView) -> AsyncIterator[Client]:
    """Runs the models of ``settings`` for one command, and connects once all are ready.

    Raises:
        ModelUnusable: One cannot be loaded.
    """
    async with running(_for_one_command(settings)) as service:
        await _all_ready(service, view)
        async with Client(service.address) as client:
            yield client


def _for_one_command(settings: Settings) -> Settings:
    """Listens on a free port, leaves no traces, and measures nothing beside what was asked."""
    return replace(
        settings,
        server=replace(settings.server, listen=_FREE_LOOPBACK_PORT),
        ledger=replace(settings.ledger, path=LEDGER_OFF),
        routing=replace(settings.routing, probe=False),
    )


async def _all_ready(service: Service, view: StatusView) -> None:
    waiting = set(service.fleet.statuses)
    async for status in service.fleet.watch():
        view.show(status)
        if status.state is ModelState.FAILED:
            raise ModelUnusable(status.id, status.message)
        if status.state is ModelState.READY:
            waiting.discard(status.id)
        if not waiting:
            return


async def speaks_chat(client: Client, members: Sequence[str]) -> bool:
    """Whether every member has a chat template.

    Args:
        client: Of the server that has them.
        members: Ids of models; empty means those of a profile, which only the server knows, so
            that every model that is ready must have one.
    """
    models = await client.models()
    concerned = [
        model for model in models if (model.id in members if members else model.context_length)
    ]
    return all(model.chat for model in concerned)
