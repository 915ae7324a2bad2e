"""The service that a command runs: its settings, and a connection once it is ready."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from quorate.app import demo
from quorate.app.registry import open_registry
from quorate.app.service import Service, running
from quorate.cli.notes import note
from quorate.cli.views.loading import StatusView, passing_view
from quorate.client import Client
from quorate.errors import ModelUnusable, SettingsError
from quorate.fleet.status import ModelState
from quorate.ledger.settings import LEDGER_OFF
from quorate.settings import Settings, load_settings, parse_settings

DEFAULT_CONFIG = Path("quorate.toml")
_FREE_LOOPBACK_PORT = "127.0.0.1:0"


def serve_settings(config: Path | None, with_demo: bool, models: Sequence[str]) -> Settings:
    """Settings of what ``serve`` shall serve; models named by registry id or path come on top.

    Raises:
        SettingsError: The file is wrong, a model is named twice, or nothing is named at all.
    """
    if with_demo and config is not None:
        raise SettingsError("--demo and --config exclude each other; give one of them")
    if with_demo:
        return _with_models(demo_settings(), models)
    if config is not None:
        return _with_models(load_settings(config), models)
    if models:
        return named_settings(models)
    if not DEFAULT_CONFIG.is_file():
        raise SettingsError(
            f"there is no {DEFAULT_CONFIG} here; give --config FILE, --model NAME_OR_PATH or --demo"
        )
    return load_settings(DEFAULT_CONFIG)


def named_settings(models: Sequence[str]) -> Settings:
    """Settings that serve these models, named by registry id or path, with default options.

    The demo's second model, which is in no registry, can be named too.

    Raises:
        SettingsError: Two of them would have the same id.
        CannotRun: The demo's second model is named and cannot be made.
    """
    tables = [{"model": model} for model in models]
    settings = parse_settings({"models": tables}, Path.cwd())
    if demo.REQUANTIZED_MODEL not in models:
        return settings
    made = {model.id: model for model in demo_settings().models}
    return replace(settings, models=tuple(made.get(m.id, m) for m in settings.models))


def demo_settings() -> Settings:
    """Settings of the demo models.

    Raises:
        CannotRun: The package that holds them is missing, or the second cannot be made.
    """
    return demo.demo_settings(open_registry(), note)


def _with_models(settings: Settings, models: Sequence[str]) -> Settings:
    more = named_settings(models).models
    taken = {model.id for model in settings.models}
    for model in more:
        if model.id in taken:
            raise SettingsError(f"--model: {model.id!r} is configured already")
    return replace(settings, models=(*settings.models, *more))


@asynccontextmanager
async def own_service(settings: Settings) -> AsyncIterator[Client]:
    """Runs the models of ``settings`` for one command, and connects once all are ready.

    How they load is shown on standard error, where that is a terminal.

    Raises:
        ModelUnusable: One cannot be loaded.
    """
    with passing_view() as view:
        async with running(_for_one_command(settings)) as service:
            await _all_ready(service, view)
            async with Client(service.address) as client:
                yield client


def _for_one_command(settings: Settings) -> Settings:
    """Listens on a free port, leaves no traces, and measures nothing beside what was asked.

    The ledger of the data folder has one owner, which may be a server that runs: two of them would
    each grant the whole budget.
    """
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
