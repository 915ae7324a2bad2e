"""A client of the server that was named, or of a service that the command runs for itself."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from quorate.cli.logs import keep_log_quiet
from quorate.errors import ModelUnusable

if TYPE_CHECKING:
    from quorate.app import Service
    from quorate.cli.loading_view import Show
    from quorate.client import Client
    from quorate.settings import Settings


@asynccontextmanager
async def remote(target: str) -> AsyncIterator[Client]:
    """A client of a server that runs already.

    Raises:
        SettingsError: The target is not of the form ``HOST:PORT``.
    """
    from quorate.client import Client
    from quorate.server.settings import split_address

    split_address(target, "--target")
    async with Client(target) as client:
        yield client


@asynccontextmanager
async def own(settings: Settings) -> AsyncIterator[Client]:
    """Runs a service on a free loopback port and yields a client once every model is ready.

    Args:
        settings: Its models and profiles; the address in it is not used.

    Raises:
        ModelUnusable: A model cannot be loaded.
    """
    from quorate.app import running
    from quorate.cli.loading_view import bars
    from quorate.client import Client

    keep_log_quiet()
    here = replace(settings, server=replace(settings.server, listen="127.0.0.1:0"))
    async with running(here) as service:
        with bars() if sys.stderr.isatty() else nullcontext(_unseen) as show:
            await _all_ready(service, [model.id for model in settings.models], show)
        async with Client(service.address) as client:
            yield client


def note_on_terminal(note: str) -> None:
    """Tells a person who waits why; a pipe is told nothing."""
    if sys.stderr.isatty():
        print(note, file=sys.stderr)


async def _all_ready(service: Service, models: Sequence[str], show: Show) -> None:
    waited_for = set(models)
    async for status in service.fleet.watch():
        show(status)
        if status.state.value == "failed":
            raise ModelUnusable(status.id, status.message.removeprefix(f"{status.id}: "))
        if status.state.value == "ready":
            waited_for.discard(status.id)
        if not waited_for:
            return


_unseen: Callable[[object], None] = lambda status: None  # noqa: E731
