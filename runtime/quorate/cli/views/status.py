"""How a server looks to its operator: a page for people, or JSON lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

from quorate.amounts import joules_text, span_text, usd_text
from quorate.cli.events import event_line
from quorate.cli.status import StatusReport
from quorate.cli.views.json_lines import message_fields
from quorate.cli.views.models_of_server import model_line, model_words
from quorate.cli.views.terminal import Console
from quorate.foreign_text import one_line
from quorate.v1 import accounting_pb2, server_pb2
from quorate_registry.sizes import human_size


def print_status(report: StatusReport, address: str, *, as_json: bool) -> None:
    """Prints what a server is and does."""
    if as_json:
        for line in json_lines(report, address):
            print(line)
    elif sys.stdout.isatty():
        first, *rest = status_lines(report, address, time.time())
        console = Console(highlight=False, emoji=False)
        console.print(first, style="bold green" if _is_well(report.server) else "bold red")
        for line in rest:
            console.print(line, markup=False, soft_wrap=True)
    else:
        print("\n".join(status_lines(report, address, time.time())))
    sys.stdout.flush()


def json_lines(report: StatusReport, address: str) -> Iterator[str]:
    """An object for the server, each model, each profile and each window, named by ``event``."""
    yield event_line("server", {"address": address, **message_fields(report.server)})
    for model in report.models:
        yield model_line(model)
    for profile in report.profiles:
        yield event_line("profile", message_fields(profile))
    for window in report.windows:
        yield event_line("budget", message_fields(window))


def status_lines(report: StatusReport, address: str, now: float) -> Iterator[str]:
    """Health first, then what the server is, what it does, and what it serves."""
    server = report.server
    yield one_line(f"{address}: {_health(server)}")
    commit = f" ({server.commit})" if server.commit else ""
    since = span_text(max(0.0, now - server.started_at))
    yield one_line(f"quorate {server.version}{commit}, up for {since}")
    machine = server.machine
    gpus = f", {', '.join(machine.gpus)}" if machine.gpus else ""
    memory = human_size(machine.memory_bytes)
    yield one_line(f"machine: {machine.cpu}, {machine.cores} cores, {memory}{gpus}")
    yield f"engines: {', '.join(map(_engine, server.engines)) or 'none'}"
    yield (
        f"requests: {server.running} of {server.max_running} running, "
        f"{server.waiting} of {server.max_waiting} waiting"
    )
    yield f"TLS {'on' if server.tls else 'off'}, keys {'wanted' if server.keys else 'none'}"
    for model in report.models:
        yield one_line(f"model {model_words(model)}")
    for profile in report.profiles:
        default = " (default)" if profile.is_default else ""
        state = "ready" if profile.ready else f"cannot run: {profile.problem}"
        names = "+".join(profile.models)
        yield one_line(f"profile {profile.name}{default}, {names}: {state}")
    for window in report.windows:
        yield one_line(f"budget {window.name}: {_left(window)}")


def _is_well(server: server_pb2.Server) -> bool:
    return not (server.problem or server.draining)


def _health(server: server_pb2.Server) -> str:
    if server.draining:
        return "draining"
    return f"not healthy: {server.problem}" if server.problem else "healthy"


def _engine(engine: server_pb2.EngineInfo) -> str:
    if not engine.installed:
        return f"{engine.name} (not installed)"
    return one_line(" ".join((engine.name, engine.version)).strip())


def _left(window: accounting_pb2.BudgetWindow) -> str:
    words = usd_text if window.unit == accounting_pb2.BUDGET_UNIT_USD else joules_text
    return f"{words(window.left)} left of {words(window.limit)}"
