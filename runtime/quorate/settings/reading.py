"""Everything that can be configured, and how it is read from TOML and checked, once."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from quorate.access.keys import KeySettings
from quorate.api.grpc.settings import ServerSettings
from quorate.dispatch.settings import DispatchSettings
from quorate.errors import NotFound, SettingsError
from quorate.ledger.settings import LEDGER_OFF, BudgetSettings, LedgerSettings
from quorate.metering.settings import EnergySettings
from quorate.options import as_table, field_names, read_options, refuse_unknown
from quorate.remotes.settings import RemoteSettings
from quorate.request import NamedPlan
from quorate.routing.settings import RoutingSettings
from quorate.settings.models import ModelSettings, located, read_models
from quorate.settings.profiles import read_profile


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
    ledger: LedgerSettings = field(default_factory=LedgerSettings)
    remotes: Mapping[str, RemoteSettings] = field(default_factory=lambda: MappingProxyType({}))
    keys: Mapping[str, KeySettings] = field(default_factory=lambda: MappingProxyType({}))


# Two fields have no section of their own: what they hold stands in that of the server.
_SECTIONS = [name for name in field_names(Settings) if name not in ("dispatch", "default_profile")]


def load_settings(path: Path) -> Settings:
    """Reads a configuration file; relative paths in it count from its folder.

    Raises:
        SettingsError: The file cannot be read, is not TOML, or says something that is wrong; the
            message names the file and the key.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"{path}: cannot be read: {reason}") from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path}: is not TOML: {error}") from error
    try:
        return parse_settings(data, path.parent)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error.message}") from error


def parse_settings(data: Mapping[str, Any], folder: Path) -> Settings:
    """Reads settings from what a TOML file holds; relative paths count from ``folder``.

    Raises:
        SettingsError: Names the key that is wrong.
    """
    refuse_unknown(data, _SECTIONS, "")
    server = _section(data, "server")
    server_names, admission_names = field_names(ServerSettings), field_names(DispatchSettings)
    own = {name: value for name, value in server.items() if name in server_names}
    admission = {name: value for name, value in server.items() if name in admission_names}
    refuse_unknown(server, (*server_names, *admission_names, "default_profile"), "server")
    models = read_models(data.get("models", []), folder)
    profiles = {
        name: read_profile(table, f"profiles.{name}", [model.id for model in models])
        for name, table in _named_tables(data, "profiles")
    }
    default_profile = server.get("default_profile", "")
    if not isinstance(default_profile, str):
        raise SettingsError(f"server.default_profile: must be a text, not {default_profile!r}")
    if default_profile and default_profile not in profiles:
        raise SettingsError(
            f"server.default_profile: {NotFound('profile', default_profile, profiles).message}"
        )
    return Settings(
        server=_server(own, folder),
        dispatch=read_options(DispatchSettings, admission, "server"),
        models=models,
        profiles=MappingProxyType(profiles),
        default_profile=default_profile,
        routing=_routing(data, folder, [*(model.id for model in models), *profiles]),
        energy=read_options(EnergySettings, _section(data, "energy"), "energy"),
        budgets=_budgets(data, _section(data, "keys")),
        ledger=_ledger(data, folder),
        remotes=MappingProxyType(
            {
                name: RemoteSettings.from_mapping(table, f"remotes.{name}")
                for name, table in _named_tables(data, "remotes")
            }
        ),
        keys=MappingProxyType(
            {
                name: KeySettings.from_mapping(table, f"keys.{name}")
                for name, table in _named_tables(data, "keys")
            }
        ),
    )


def _section(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return as_table(data.get(name, {}), name)


def _named_tables(data: Mapping[str, Any], section: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, table in _section(data, section).items():
        yield name, as_table(table, f"{section}.{name}")


def _routing(data: Mapping[str, Any], folder: Path, known: Sequence[str]) -> RoutingSettings:
    routing = read_options(RoutingSettings, _section(data, "routing"), "routing")
    for index, name in enumerate(routing.candidates):
        if name not in known:
            problem = NotFound("model or profile", name, known).message
            raise SettingsError(f"routing.candidates[{index}]: {problem}")
    place = located(routing.calibration, folder, "routing.calibration")
    return replace(routing, calibration=place)


def _ledger(data: Mapping[str, Any], folder: Path) -> LedgerSettings:
    ledger = LedgerSettings.from_mapping(_section(data, "ledger"), "ledger")
    if ledger.path in ("", LEDGER_OFF):
        return ledger
    return replace(ledger, path=located(ledger.path, folder, "ledger.path"))


def _budgets(data: Mapping[str, Any], keys: Collection[str]) -> BudgetSettings:
    budgets = BudgetSettings.from_mapping(_section(data, "budgets"), "budgets")
    for name in budgets.keys:
        if name not in keys:
            raise SettingsError(f"budgets.keys.{name}: {NotFound('key', name, keys).message}")
    return budgets


def _server(table: Mapping[str, Any], folder: Path) -> ServerSettings:
    server = ServerSettings.from_mapping(table, "server")
    return replace(
        server,
        tls_certificate=located(server.tls_certificate, folder, "server.tls_certificate"),
        tls_key=located(server.tls_key, folder, "server.tls_key"),
    )
