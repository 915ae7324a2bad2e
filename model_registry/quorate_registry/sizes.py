"""Byte counts for people, in decimal units as disks and hubs use them."""

from __future__ import annotations

_UNITS = ("B", "kB", "MB", "GB", "TB")


def human_size(size_bytes: int) -> str:
    """Render a byte count, not negative, with three significant digits, such as ``98.4 MB``."""
    value = float(size_bytes)
    for unit in _UNITS[:-1]:
        if value < 999.5:
            return _three_digits(value, unit)
        value /= 1000
    return _three_digits(value, _UNITS[-1])


def _three_digits(value: float, unit: str) -> str:
    if unit == "B" or value >= 99.95:
        return f"{value:.0f} {unit}"
    return f"{value:.1f} {unit}" if value >= 9.995 else f"{value:.2f} {unit}"
