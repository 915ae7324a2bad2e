"""Packages that only some of what can be configured needs."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from quorate.errors import SettingsError


def need(module: str, key: str, extra: str) -> None:
    """Refuses a setting whose packages are not installed.

    Args:
        module: What it needs.
        key: The setting.
        extra: The extra of this package that brings it.

    Raises:
        SettingsError: The module is not there.
    """
    parts = module.split(".")
    names: Sequence[str] = [".".join(parts[: count + 1]) for count in range(len(parts))]
    if not all(find_spec(name) for name in names):
        raise SettingsError(f"{key}: needs more packages: pip install 'quorate[{extra}]'")
