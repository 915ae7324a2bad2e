"""``quorate serve``: the service in the foreground."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quorate.cli.parameters import JsonLines

if TYPE_CHECKING:
    from quorate.app.findings import Finding
    from quorate.app.service import Service
    from quorate.cli.views.loading import ServeView
    from quorate.settings import Settings


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
    as_json: JsonLines = False,
) -> None:
    """Serve models over gRPC until SIGTERM or Ctrl-C; a second one ends it at once.

    Without --config, --model and --demo, ./quorate.toml is taken.
    """
    import asyncio

    from quorate.cli.logs import log_to_stderr
    from quorate.cli.services import DEFAULT_CONFIG, serve_settings
    from quorate.cli.unblocked import dropped_line, unblocked_streams
    from quorate.cli.views.loading import dropped_event, serve_view

    log_to_stderr()
    if not demo and (config or (not model and DEFAULT_CONFIG.is_file())):
        _refuse_file(config or DEFAULT_CONFIG)
    settings = serve_settings(config, demo, model or [])
    settings = _listening_as_asked(settings, listen, insecure)
    if demo or model:
        _refuse_models(settings)
    with unblocked_streams(dropped_event if as_json else dropped_line), serve_view(as_json) as view:
        asyncio.run(_serve(settings, view))


def _refuse_file(file: Path) -> None:
    from quorate.app.checking import Place, check_quickly
    from quorate.app.registry import open_registry

    _, findings = check_quickly(file, Place(open_registry()))
    _refuse(findings, file)


def _refuse_models(settings: Settings) -> None:
    """The same for models of the command line."""
    from quorate.app.checking import Place, check_settings
    from quorate.app.registry import open_registry

    _refuse(check_settings(settings, Place(open_registry())), None)


def _refuse(findings: Sequence[Finding], file: Path | None) -> None:
    """Ends with one line for each thing that can never work; the log has the rest."""
    import logging

    from quorate.app.findings import Level
    from quorate.cli.failures import USAGE
    from quorate.cli.views.check import finding_line
    from quorate.foreign_text import one_line

    refused = [finding for finding in findings if finding.level is Level.FATAL]
    for finding in refused:
        typer.echo(one_line(f"quorate: {finding_line(file, finding)}"), err=True)
    if refused:
        raise typer.Exit(USAGE)
    for finding in findings:
        logging.getLogger(__name__).warning("%s", finding.line)


def _listening_as_asked(settings: Settings, listen: str | None, insecure: bool) -> Settings:
    from dataclasses import replace

    server = replace(
        settings.server,
        listen=listen or settings.server.listen,
        insecure=insecure or settings.server.insecure,
    )
    server.check("server")
    return replace(settings, server=server)


async def _serve(settings: Settings, view: ServeView) -> None:
    import asyncio

    from quorate.app.service import serve as serve_until_signal

    following: list[asyncio.Task[None]] = []

    def on_ready(service: Service) -> None:
        view.listening(service.address, [model.id for model in settings.models])
        following.append(asyncio.create_task(_follow(service, view)))

    try:
        await serve_until_signal(settings, on_ready)
    finally:
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)


async def _follow(service: Service, view: ServeView) -> None:
    async for status in service.fleet.watch():
        view.show(status)
