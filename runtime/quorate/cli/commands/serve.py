"""``quorate serve``: the service in the foreground."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quorate.cli.parameters import JsonLines
from quorate.errors import SettingsError

if TYPE_CHECKING:
    from quorate.app.findings import Finding
    from quorate.app.service import Service
    from quorate.app.service_manager import ServiceManager
    from quorate.cli.native_stderr import NativeStderr
    from quorate.cli.views.loading import ServeView
    from quorate.settings import Settings


class LogLevel(Enum):
    """Levels of the log."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(Enum):
    """How the log is written."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the command line says of the server; None is as it is configured."""

    listen: str | None
    insecure: bool
    log_level: LogLevel | None
    log_format: LogFormat | None


def serve(
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Configuration; ./quorate.toml where it exists."),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Address; 127.0.0.1:50051 if nothing says other."),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Allow an address of the network without TLS.")
    ] = False,
    demo: Annotated[bool, typer.Option("--demo", help="Serve the embedded demo models.")] = False,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME_OR_PATH", help="Serve this model too; may be given several times."
        ),
    ] = None,
    log_level: Annotated[
        LogLevel | None,
        typer.Option(help="Least level of what is logged; info if nothing says other."),
    ] = None,
    log_format: Annotated[
        LogFormat | None,
        typer.Option(help="How it is logged: text for people, json for an object a line."),
    ] = None,
    as_json: JsonLines = False,
) -> None:
    """Serve models over gRPC until SIGTERM or Ctrl-C; a second one ends it at once.

    Without --config, --model and --demo, ./quorate.toml is taken. SIGHUP reads the file anew, and
    takes up what can change while it serves: profiles, keys, budgets, the TLS files, the log level.
    """
    import os

    # gRPC's core reads it when it is imported: it then tells of each connection that has ended.
    os.environ.setdefault("GRPC_TRACE", "server_channel")
    from quorate.api.grpc.transport_lines import is_of_transport
    from quorate.app.memory import settle_allocator
    from quorate.app.service_manager import ServiceManager
    from quorate.cli.native_stderr import NativeStderr

    settle_allocator()
    manager = ServiceManager.of_environment(os.environ)
    asked = _Asked(listen, insecure, log_level, log_format)
    with NativeStderr(is_of_transport) as native:
        _run(native, config, demo, model or [], asked, manager, as_json=as_json)


def _run(
    native: NativeStderr,
    config: Path | None,
    demo: bool,
    names: Sequence[str],
    asked: _Asked,
    manager: ServiceManager,
    *,
    as_json: bool,
) -> None:
    import asyncio

    from quorate.cli.services import DEFAULT_CONFIG, serve_settings
    from quorate.cli.unblocked import dropped_line, unblocked_streams
    from quorate.cli.views.loading import dropped_event, serve_view

    file = None if demo or (names and not config) else config or DEFAULT_CONFIG

    def load() -> Settings:
        return _as_asked(serve_settings(config, demo, names), asked)

    def load_anew() -> Settings:
        assert file is not None
        _raise_fatal(file)
        return load()

    findings = _check_file(file) if file is not None and file.is_file() else []
    settings = load()
    if demo or names:
        findings = [*findings, *_check_models(settings)]
    _log_as_configured(settings, findings)
    source = "" if file is None else str(file.absolute())
    with unblocked_streams(dropped_event if as_json else dropped_line), serve_view(as_json) as view:
        reload = load_anew if source else None
        asyncio.run(_serve(settings, view, native, manager, reload, source))


def _check_file(file: Path) -> list[Finding]:
    """Refuses a file that can never work; returns what else there is to say of it."""
    from quorate.app.checking import Place, check_quickly
    from quorate.app.registry import open_registry

    _, findings = check_quickly(file, Place(open_registry()))
    return _refuse(findings, file)


def _raise_fatal(file: Path) -> None:
    """As an error, for a server that runs already."""
    from quorate.app.checking import Place, check_quickly
    from quorate.app.findings import Level
    from quorate.app.registry import open_registry
    from quorate.cli.views.check import finding_line

    _, findings = check_quickly(file, Place(open_registry()))
    fatal = [finding_line(file, one) for one in findings if one.level is Level.FATAL]
    if fatal:
        raise SettingsError("; ".join(fatal))


def _check_models(settings: Settings) -> list[Finding]:
    """The same for models of the command line, all of which are wanted."""
    from dataclasses import replace

    from quorate.app.checking import Place, check_settings
    from quorate.app.registry import open_registry

    wanted = tuple(replace(model, required=model.load) for model in settings.models)
    place = Place(open_registry())
    return _refuse(check_settings(replace(settings, models=wanted), place), None)


def _refuse(findings: Sequence[Finding], file: Path | None) -> list[Finding]:
    """Ends with one line for each thing that can never work; the log gets the rest."""
    from quorate.app.findings import Level
    from quorate.cli.failures import Refused

    refused = [(one.key, one.problem) for one in findings if one.level is Level.FATAL]
    if refused:
        raise Refused(refused, "" if file is None else str(file))
    return list(findings)


def _log_as_configured(settings: Settings, findings: Sequence[Finding]) -> None:
    import logging

    from quorate.cli.logs import log_to_stderr

    log_to_stderr(settings.server.log_level, settings.server.log_format)
    for finding in findings:
        logging.getLogger(__name__).warning("%s", finding.line)


def _as_asked(settings: Settings, asked: _Asked) -> Settings:
    """The settings, but for what the command line says."""
    from dataclasses import replace

    server, level, style = settings.server, asked.log_level, asked.log_format
    server = replace(
        server,
        listen=asked.listen or server.listen,
        insecure=asked.insecure or server.insecure,
        log_level=level.value if level else server.log_level,
        log_format=style.value if style else server.log_format,
    )
    server.check("server")
    return replace(settings, server=server)


async def _serve(
    settings: Settings,
    view: ServeView,
    native: NativeStderr,
    manager: ServiceManager,
    load: Callable[[], Settings] | None,
    source: str,
) -> None:
    import asyncio

    from quorate.app.service import serve as serve_until_signal
    from quorate.cli.views.loading import listening_line

    following: list[asyncio.Task[None]] = []

    def on_ready(service: Service) -> None:
        loop, strangers = asyncio.get_running_loop(), service.server.strangers

        def heard(line: str) -> None:
            loop.call_soon_threadsafe(strangers.heard, line)

        native.on_line = heard
        # Without channelz nobody knows which connections there are.
        if settings.server.channelz:
            strangers.follow()
        ids = [model.id for model in settings.models]
        view.listening(service.address, ids, service.http_address)
        manager.status(listening_line(service.address, ids, service.http_address))
        wanted = {model.id for model in settings.models if model.load}
        following.append(asyncio.create_task(_follow(service, view, manager, wanted)))

    try:
        await serve_until_signal(settings, on_ready, load, source, manager)
    finally:
        native.on_line = None
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)


async def _follow(
    service: Service, view: ServeView, manager: ServiceManager, wanted: Collection[str]
) -> None:
    """Shows what becomes of the models, and once that all of ``wanted`` have come to something."""
    from quorate.cli.views.loading import settled_line
    from quorate.fleet.status import ModelState

    arrived: dict[str, bool] = {}
    told = not wanted
    if told:
        manager.ready(settled_line([], []))
    async for status in service.fleet.watch():
        view.show(status)
        if status.state in (ModelState.READY, ModelState.FAILED):
            arrived[status.id] = status.state is ModelState.READY
        if not told and arrived.keys() >= set(wanted):
            told = True
            ready = [model for model, loaded in arrived.items() if loaded]
            failed = [model for model, loaded in arrived.items() if not loaded]
            view.settled(ready, failed)
            manager.ready(settled_line(ready, failed))
