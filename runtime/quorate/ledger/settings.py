"""Settings of the ledger and of budgets."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from quorate.errors import SettingsError
from quorate.options import Faults, as_table, option, read_options, refuse_unknown

_FILE_NAME = "ledger.sqlite3"
LEDGER_OFF = "off"
"""The path of a ledger that is kept in memory, as long as the server runs.

The demo and commands that serve themselves use it, so that they never want the file that belongs
to a running server."""


@dataclass(frozen=True, slots=True)
class LedgerSettings:
    """Where charges are kept and for how long.

    Attributes:
        path: The SQLite file; "" is ``ledger.sqlite3`` in the data folder, and "off" keeps them in
            memory.
        keep_days: Days a charge is kept by itself; then it becomes a part of its day's sums. At
            least 2, since budgets look a whole day back.
        store_prompts: Keeps the text of prompts too, and not only their hash.
    """

    path: str = ""
    keep_days: int = option(400, lowest=2, highest=36_500)
    store_prompts: bool = False

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], where: str) -> LedgerSettings:
        """Reads settings as they stand in a configuration file; see ``read_options``."""
        return read_options(cls, mapping, where)

    def located(self, data_folder: Path, folder: Path) -> Path | None:
        """Path of the file, or None where no ledger is kept.

        Args:
            data_folder: Where the program keeps its data.
            folder: What a relative path counts from.

        Raises:
            SettingsError: ``path`` names the home of a user that is not there.
        """
        if self.path == LEDGER_OFF:
            return None
        if not self.path:
            return data_folder / _FILE_NAME
        try:
            return (folder / Path(self.path).expanduser()).absolute()
        except RuntimeError as error:
            raise SettingsError(f"ledger.path: {self.path}: there is no such user") from error


@dataclass(frozen=True, slots=True)
class BudgetLimits:
    """What may be spent in the last hour and in the last day.

    A limit that is not named is none at all, which is infinity here; 0 allows nothing.
    """

    joules_per_hour: float = option(math.inf, lowest=0)
    joules_per_day: float = option(math.inf, lowest=0)
    usd_per_hour: float = option(math.inf, lowest=0, highest=1e9)
    usd_per_day: float = option(math.inf, lowest=0, highest=1e9)


@dataclass(frozen=True, slots=True)
class BudgetSettings:
    """Limits of everybody together and of single keys.

    Attributes:
        everybody: Limits of all requests together.
        keys: Limits of the requests of one key, by its name; they hold besides those of everybody.
    """

    everybody: BudgetLimits = field(default_factory=BudgetLimits)
    keys: Mapping[str, BudgetLimits] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], where: str) -> BudgetSettings:
        """Reads limits of everybody, and under ``keys`` a table for each; see ``read_options``."""
        faults, unlimited = Faults(), BudgetLimits()
        names = (*(limit.name for limit in fields(BudgetLimits)), "keys")
        faults.check(lambda: refuse_unknown(mapping, names, where), None)
        limits = {name: value for name, value in mapping.items() if name != "keys"}
        everybody = faults.check(lambda: read_options(BudgetLimits, limits, where), unlimited)
        none: Mapping[str, Any] = {}
        keys = faults.check(lambda: as_table(mapping.get("keys", {}), f"{where}.keys"), none)
        of_keys = {
            name: faults.check(partial(_limits, table, f"{where}.keys.{name}"), unlimited)
            for name, table in keys.items()
        }
        faults.refuse()
        return cls(everybody, MappingProxyType(of_keys))


def _limits(table: Any, where: str) -> BudgetLimits:
    return read_options(BudgetLimits, as_table(table, where), where)
