"""Tables of the configuration file, as TOML gives them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from quorate.errors import SettingsError


def as_table(value: Any, where: str) -> Mapping[str, Any]:
    """The value, which must be a table.

    Raises:
        SettingsError: It is something else.
    """
    if not isinstance(value, dict):
        raise SettingsError(f"{where}: must be a table, not {value!r}")
    return value


def field_names(cls: type) -> tuple[str, ...]:
    """Names of a dataclass's fields."""
    return tuple(f.name for f in fields(cls))


def located(path: str, folder: Path, where: str) -> str:
    """A path of the configuration, counted from the folder of its file; "" stays "".

    Raises:
        SettingsError: It begins with the home of a user who does not exist.
    """
    if not path:
        return ""
    try:
        return str((folder / Path(path).expanduser()).absolute())
    except RuntimeError as error:
        raise SettingsError(f"{where}: {path}: there is no such user") from error
