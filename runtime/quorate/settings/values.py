"""Everything that can be configured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from quorate.access.keys import KeySettings
from quorate.api.grpc.settings import ServerSettings
from quorate.dispatch.settings import DispatchSettings
from quorate.ledger.settings import BudgetSettings, LedgerSettings
from quorate.metering.settings import EnergySettings
from quorate.remotes.settings import RemoteSettings
from quorate.request import NamedPlan
from quorate.routing.settings import RoutingSettings
from quorate.settings.models import ModelSettings


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
    energy: EnergySettings = field(default_factory=EnergySettings)
    budgets: BudgetSettings = field(default_factory=BudgetSettings)
    ledger: LedgerSettings = field(default_factory=LedgerSettings)
    remotes: Mapping[str, RemoteSettings] = field(default_factory=lambda: MappingProxyType({}))
    keys: Mapping[str, KeySettings] = field(default_factory=lambda: MappingProxyType({}))
