"""Checks a whole configuration against this machine before anything is started.

Settings check what the file itself says; here stands what only the machine can tell: files of
models, environment variables, installed packages. The service checks the same before it starts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

from quorate.access.keys import KeyRing, KeySettings
from quorate.api.grpc.certificates import read_pair, validity_problem
from quorate.api.http.pages import ANY_ORIGIN
from quorate.app.extras import need
from quorate.app.findings import Finding, Level, fatal, fatals
from quorate.app.model_checks import (
    CheckedModel,
    check_memory,
    check_model,
    refuse_nothing_to_serve,
)
from quorate.app.remotes import unpriced
from quorate.app.sources import Sources
from quorate.engines.registry import known_doubt
from quorate.errors import QuorateError, SettingsError
from quorate.files import read_file, refuse_no_file, refuse_no_place
from quorate.fleet.cores import machine_cores
from quorate.metering.open_meter import open_meter
from quorate.remotes.settings import read_key
from quorate.request import plan_models
from quorate.routing.candidates import profile_plan
from quorate.routing.snapshot import Snapshot
from quorate.settings import Settings, load_toml, parse_settings
from quorate_registry import Registry


def memory_bytes() -> int:
    """Memory of this machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a configuration is to work; tests make their own."""

    registry: Registry
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    cores: int = field(default_factory=lambda: machine_cores().threads)
    memory_bytes: int = field(default_factory=memory_bytes)


def check_file(path: Path, place: Place) -> tuple[Settings, list[Finding]]:
    """Everything that is wrong with a configuration file, and what could be read of it.

    Raises:
        SettingsError: The file cannot be read or is not TOML.
    """
    settings, findings = check_quickly(path, place)
    told = (_check_prices(settings), _check_energy(settings), _check_engines(settings, place))
    return settings, [*findings, *chain.from_iterable(told)]


def check_quickly(path: Path, place: Place) -> tuple[Settings, list[Finding]]:
    """The same, but for what the service tells by itself when it starts.

    Raises:
        SettingsError: As ``check_file``.
    """
    findings: list[Finding] = []
    data = load_toml(path)
    settings = parse_settings(data, path.parent, lambda error: findings.extend(fatals(error)))
    return settings, list(dict.fromkeys([*findings, *check_settings(settings, place)]))


def check_settings(settings: Settings, place: Place) -> list[Finding]:
    """What is wrong with settings that are right by themselves, as far as it is quick to tell."""
    checked = [
        check_model(model, index, place.registry, place.cores)
        for index, model in enumerate(settings.models)
    ]
    checked = refuse_nothing_to_serve(settings.models, checked)
    return [
        *(finding for one in checked for finding in one.findings),
        *check_memory(settings.models, checked, place.memory_bytes),
        *_check_profiles(settings, checked),
        *_check_routing(settings),
        *_check_remotes(settings, place.environ),
        *_check_keys(settings, place.environ),
        *_check_extras(settings),
        *_check_tls(settings),
        *_check_origins(settings),
        *_check_ledger(settings, place.registry.home),
    ]


def _check_profiles(settings: Settings, checked: Sequence[CheckedModel]) -> Iterator[Finding]:
    """Resolves each profile as the router does, as if all its models were ready."""
    known = {one.status.id: one.status for one in checked if one.status is not None}
    later = {model.id for model in settings.models if not model.load}
    snapshot = Snapshot(known, settings.profiles, settings=settings.routing)
    for name, plan in settings.profiles.items():
        models = plan_models(plan)
        for model in models:
            if model in later:
                problem = f"{model} is not loaded at start; it cannot run until somebody loads it"
                yield Finding(Level.WARNING, f"profiles.{name}", problem)
        if all(model in known for model in models):
            error = profile_plan(name, snapshot).error
            if error is not None:
                yield Finding(Level.FATAL, f"profiles.{name}", _line(error))


def _check_routing(settings: Settings) -> Iterator[Finding]:
    path = settings.routing.calibration
    if path and not Path(path).is_file():
        problem = f"{path} is not there; run quorate calibrate, or leave it out"
        yield Finding(Level.WARNING, "routing.calibration", problem)


def _check_remotes(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    if settings.remotes and find_spec("openai") is None:
        problem = "remotes need the package openai; install quorate[remote]"
        yield Finding(Level.FATAL, "remotes", problem)
    for name, remote in settings.remotes.items():
        try:
            read_key(remote.api_key_env, environ, f"remotes.{name}")
        except SettingsError as error:
            yield fatal(error)


def _check_keys(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    sound: dict[str, KeySettings] = {}
    for name, key in settings.keys.items():
        try:
            # Beside those before it, since no two may have one token.
            KeyRing({**sound, name: key}, environ)
            sound[name] = key
        except SettingsError as error:
            yield fatal(error)


def _check_extras(settings: Settings) -> Iterator[Finding]:
    """Packages that only some doors and telemetry need."""
    wanted = {
        "http.listen": settings.http.listen,
        "metrics.listen": settings.metrics.listen,
        "traces.endpoint": settings.traces.endpoint,
    }
    for key, asked in wanted.items():
        try:
            if asked:
                need(key)
        except SettingsError as error:
            yield fatal(error)


def _check_origins(settings: Settings) -> Iterator[Finding]:
    if ANY_ORIGIN in settings.http.origins and not settings.keys:
        problem = "lets the pages of all sites ask; give callers keys, or name the sites"
        yield fatal(SettingsError(f"http.origins: {ANY_ORIGIN} {problem}"))


def _check_tls(settings: Settings) -> Iterator[Finding]:
    for where, door in (("server", settings.server), ("http", settings.http)):
        yield from _check_certificate(where, door.tls_certificate, door.tls_key)


def _check_certificate(where: str, certificate: str, key: str) -> Iterator[Finding]:
    sound = 0
    for name, path in (("tls_certificate", certificate), ("tls_key", key)):
        if not path:
            continue
        try:
            content = read_file(Path(path), "name a PEM file")
        except SettingsError as error:
            yield Finding(Level.FATAL, f"{where}.{name}", error.message)
            continue
        sound += 1
        if name == "tls_certificate" and (problem := validity_problem(content, datetime.now(UTC))):
            yield Finding(Level.WARNING, f"{where}.{name}", f"it {problem}")
    if sound == 2:
        try:
            read_pair(certificate, key)
        except SettingsError as error:
            yield Finding(Level.FATAL, f"{where}.tls_certificate", error.message)


def _check_ledger(settings: Settings, home: Path) -> Iterator[Finding]:
    path = settings.ledger.located(home, Path.cwd())
    try:
        if path is not None:
            refuse_no_file(path, "set another path")
            refuse_no_place(path, "set another path")
    except SettingsError as error:
        yield Finding(Level.FATAL, "ledger.path", error.message)


def _check_prices(settings: Settings) -> Iterator[Finding]:
    """Takes half a second where a price list must be read; the service tells it in its log."""
    for name, hint in unpriced(settings.remotes):
        yield Finding(Level.WARNING, f"remotes.{name}", f"it is never used: {hint}")


def _check_energy(settings: Settings) -> Iterator[Finding]:
    try:
        open_meter(settings.energy, dict)
    except SettingsError as error:
        yield fatal(error)


def _check_engines(settings: Settings, place: Place) -> Iterator[Finding]:
    """What is known to make engines slow here; the service finds it out and tells it in its log."""
    told: set[str] = set()
    for index, model in enumerate(settings.models):
        with suppress(SettingsError):
            settled = Sources(place.registry).settle(model, "options")
            doubt = known_doubt(settled.engine, settled.options)
            if doubt and doubt not in told:
                told.add(doubt)
                yield Finding(Level.WARNING, f"models[{index}].options.repack", doubt)


def _line(error: QuorateError) -> str:
    return " ".join(error.message.split())
