"""Everything that can be configured, and how it is read from TOML and checked, once."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar

from quorate.access.keys import KeySettings
from quorate.api.grpc.settings import ServerSettings
from quorate.api.http.settings import HttpSettings
from quorate.dispatch.settings import DispatchSettings
from quorate.errors import NotFound, SettingsError
from quorate.files import read_file
from quorate.fleet.settings import FleetSettings
from quorate.ledger.settings import LEDGER_OFF, BudgetSettings, LedgerSettings
from quorate.metering.settings import EnergySettings
from quorate.options import Faults, as_table, field_names, read_options, refuse_unknown
from quorate.remotes.settings import RemoteSettings
from quorate.request import NamedPlan, plan_models
from quorate.routing.settings import RoutingSettings
from quorate.settings.models import (
    ModelSettings,
    located,
    model_tables,
    read_model,
    unreadable_model,
    with_required,
)
from quorate.settings.profiles import read_profile
from quorate.telemetry.settings import MetricsSettings, TraceSettings


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be configured, one class for each room.

    Attributes:
        default_profile: Profile of requests that name no plan, or "".
        remotes: Remote APIs by name.
        keys: Callers' keys by name; none lets everybody in.
    """

    server: ServerSettings = field(default_factory=ServerSettings)
    dispatch: DispatchSettings = field(default_factory=DispatchSettings)
    models: tuple[ModelSettings, ...] = ()
    profiles: Mapping[str, NamedPlan] = field(default_factory=lambda: MappingProxyType({}))
    default_profile: str = ""
    routing: RoutingSettings = field(default_factory=RoutingSettings)
    budgets: BudgetSettings = field(default_factory=BudgetSettings)
    energy: EnergySettings = field(default_factory=EnergySettings)
    fleet: FleetSettings = field(default_factory=FleetSettings)
    ledger: LedgerSettings = field(default_factory=LedgerSettings)
    remotes: Mapping[str, RemoteSettings] = field(default_factory=lambda: MappingProxyType({}))
    keys: Mapping[str, KeySettings] = field(default_factory=lambda: MappingProxyType({}))
    http: HttpSettings = field(default_factory=HttpSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    traces: TraceSettings = field(default_factory=TraceSettings)


# Two fields have no section of their own: what they hold stands in that of the server.
_SECTIONS = [name for name in field_names(Settings) if name not in ("dispatch", "default_profile")]


Report: TypeAlias = Callable[[SettingsError], None]
"""Told what is wrong with a table, all of it at once."""

_Read = TypeVar("_Read")
_Door = TypeVar("_Door", ServerSettings, HttpSettings)


def load_settings(path: Path) -> Settings:
    """Reads a configuration file; relative paths in it count from its folder.

    Raises:
        SettingsError: The file cannot be read, is not TOML, or says something that is wrong; the
            message names the file and the key.
    """
    data = load_toml(path)
    try:
        return parse_settings(data, path.parent)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error.message}") from error


def load_toml(path: Path) -> dict[str, Any]:
    """What a configuration file holds.

    Raises:
        SettingsError: The file cannot be read, or is not TOML; the message names the file.
    """
    content = read_file(path, "name a configuration file")
    try:
        # Editors of some systems begin every file with a mark of the byte order.
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: cannot be read: it is not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path}: is not TOML: {error}") from error


def parse_settings(data: Mapping[str, Any], folder: Path, report: Report | None = None) -> Settings:
    """Reads settings from what a TOML file holds; relative paths count from ``folder``.

    Args:
        data: The file's tables.
        folder: Where the file is.
        report: Told everything that is wrong, once for each table; that keeps its defaults, and a
            model its place. Without it the first thing is raised.

    Raises:
        SettingsError: Names the key that is wrong; with ``report`` nothing is raised.
    """
    return _Reading(data, folder, report or _refuse).settings()


def _refuse(error: SettingsError) -> None:
    raise error


class _Reading:
    """Reads one configuration, table by table."""

    def __init__(self, data: Mapping[str, Any], folder: Path, report: Report) -> None:
        self._data = data
        self._folder = folder
        self._report = report

    def settings(self) -> Settings:
        """Everything, in the order of the documented file."""
        data, folder, attempt = self._data, self._folder, self._attempt
        attempt(lambda: refuse_unknown(data, _SECTIONS, ""), None)
        server, dispatch = self._server()
        tables, models = self._models()
        ids = [model.id for model in models]
        profiles = self._tables("profiles", lambda table, key: read_profile(table, key, ids))
        default_profile = attempt(lambda: _default_profile(data, profiles), "")
        named = {name for plan in profiles.values() for name in plan_models(plan)}
        return Settings(
            server=server,
            dispatch=dispatch,
            models=with_required(models, tables, named),
            profiles=MappingProxyType(profiles),
            default_profile=default_profile,
            routing=attempt(
                lambda: _routing(data, folder, [*ids, *_names(data, "profiles")]), RoutingSettings()
            ),
            energy=attempt(
                lambda: read_options(EnergySettings, _section(data, "energy"), "energy"),
                EnergySettings(),
            ),
            fleet=attempt(
                lambda: read_options(FleetSettings, _section(data, "fleet"), "fleet"),
                FleetSettings(),
            ),
            budgets=attempt(lambda: _budgets(data, _section(data, "keys")), BudgetSettings()),
            ledger=attempt(lambda: _ledger(data, folder), LedgerSettings()),
            remotes=MappingProxyType(self._tables("remotes", RemoteSettings.from_mapping)),
            keys=MappingProxyType(self._tables("keys", KeySettings.from_mapping)),
            http=attempt(lambda: _http(data, folder), HttpSettings()),
            metrics=attempt(
                lambda: MetricsSettings.from_mapping(_section(data, "metrics"), "metrics"),
                MetricsSettings(),
            ),
            traces=attempt(
                lambda: TraceSettings.from_mapping(_section(data, "traces"), "traces"),
                TraceSettings(),
            ),
        )

    def _attempt(self, read: Callable[[], _Read], otherwise: _Read) -> _Read:
        try:
            return read()
        except SettingsError as error:
            self._report(error)
            return otherwise

    def _section(self, name: str) -> Mapping[str, Any]:
        nothing: Mapping[str, Any] = {}
        return self._attempt(lambda: _section(self._data, name), nothing)

    def _server(self) -> tuple[ServerSettings, DispatchSettings]:
        """Both stand in one section."""
        attempt, section = self._attempt, self._section("server")
        server_names, admission_names = field_names(ServerSettings), field_names(DispatchSettings)
        own = {name: value for name, value in section.items() if name in server_names}
        admission = {name: value for name, value in section.items() if name in admission_names}
        known = (*server_names, *admission_names, "default_profile")
        attempt(lambda: refuse_unknown(section, known, "server"), None)
        return (
            attempt(lambda: _server(own, self._folder), ServerSettings()),
            attempt(
                lambda: read_options(DispatchSettings, admission, "server"), DispatchSettings()
            ),
        )

    def _models(self) -> tuple[list[Any], list[ModelSettings]]:
        none: list[Any] = []
        tables = self._attempt(lambda: model_tables(self._data.get("models", [])), none)
        models: list[ModelSettings] = []
        for index, table in enumerate(tables):
            taken = [model.id for model in models]
            read = partial(read_model, table, index, self._folder, taken)
            models.append(self._attempt(read, unreadable_model(table, self._folder)))
        return tables, models

    def _tables(
        self, section: str, read: Callable[[Mapping[str, Any], str], _Read]
    ) -> dict[str, _Read]:
        """A section of tables with names, without those that are wrong."""
        found: dict[str, _Read] = {}
        for name, table in self._section(section).items():
            key = f"{section}.{name}"
            try:
                found[name] = read(as_table(table, key), key)
            except SettingsError as error:
                self._report(error)
        return found


def _section(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return as_table(data.get(name, {}), name)


def _names(data: Mapping[str, Any], section: str) -> list[str]:
    """Names of the tables of a section, also of those that are wrong."""
    return [*_section(data, section)]


def _default_profile(data: Mapping[str, Any], profiles: Collection[str]) -> str:
    name = _section(data, "server").get("default_profile", "")
    if not isinstance(name, str):
        raise SettingsError(f"server.default_profile: must be a text, not {name!r}")
    if name and name not in _names(data, "profiles"):
        raise SettingsError(
            f"server.default_profile: {NotFound('profile', name, _names(data, 'profiles')).message}"
        )
    return name if name in profiles else ""


def _routing(data: Mapping[str, Any], folder: Path, known: Sequence[str]) -> RoutingSettings:
    def check(routing: RoutingSettings) -> None:
        faults = Faults()
        for index, name in enumerate(routing.candidates):
            if name not in known:
                problem = NotFound("model or profile", name, known).message
                faults.add(SettingsError(f"routing.candidates[{index}]: {problem}"))
        faults.refuse()

    routing = read_options(RoutingSettings, _section(data, "routing"), "routing", check)
    place = located(routing.calibration, folder, "routing.calibration")
    return replace(routing, calibration=place)


def _ledger(data: Mapping[str, Any], folder: Path) -> LedgerSettings:
    ledger = LedgerSettings.from_mapping(_section(data, "ledger"), "ledger")
    if ledger.path in ("", LEDGER_OFF):
        return ledger
    return replace(ledger, path=located(ledger.path, folder, "ledger.path"))


def _budgets(data: Mapping[str, Any], keys: Collection[str]) -> BudgetSettings:
    budgets = BudgetSettings.from_mapping(_section(data, "budgets"), "budgets")
    faults = Faults()
    for name in budgets.keys:
        if name not in keys:
            problem = NotFound("key", name, keys).message
            faults.add(SettingsError(f"budgets.keys.{name}: {problem}"))
    faults.refuse()
    return budgets


def _server(table: Mapping[str, Any], folder: Path) -> ServerSettings:
    return _with_tls(ServerSettings.from_mapping(table, "server"), folder, "server")


def _http(data: Mapping[str, Any], folder: Path) -> HttpSettings:
    return _with_tls(HttpSettings.from_mapping(_section(data, "http"), "http"), folder, "http")


def _with_tls(door: _Door, folder: Path, where: str) -> _Door:
    return replace(
        door,
        tls_certificate=located(door.tls_certificate, folder, f"{where}.tls_certificate"),
        tls_key=located(door.tls_key, folder, f"{where}.tls_key"),
    )
