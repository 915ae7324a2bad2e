"""Tables of options: from a mapping, as TOML gives it, to a frozen dataclass.

Each package declares its options as a dataclass; what a value may be stands with its field. Unknown
names, wrong types and values out of range are refused with the full name of the key. That is here
and below all of them because four packages had begun to check TOML tables, each in its own way.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import math
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from quorate.errors import SettingsError
from quorate.foreign_text import QUOTED_CHARACTERS, nearest_names, one_line

_Options = TypeVar("_Options")
_KINDS = {bool: "true or false", int: "an integer", float: "a number", str: "a text"}


def option(
    default: Any,
    *,
    lowest: float = -math.inf,
    highest: float = math.inf,
    choices: Collection[str] = (),
    texts: bool = False,
) -> Any:
    """A field of an options class whose values are limited.

    Args:
        default: Also settles the type: bool, int, float, str, or tuple for a list.
        lowest: Least number allowed.
        highest: Greatest number allowed.
        choices: The texts allowed; empty allows all.
        texts: Whether a list holds texts; else it holds numbers.
    """
    limits = {"lowest": lowest, "highest": highest, "choices": tuple(choices), "texts": texts}
    return dataclasses.field(default=default, metadata=limits)


def read_options(cls: type[_Options], mapping: Mapping[str, Any], where: str) -> _Options:
    """Reads a dataclass whose fields all have defaults; what is not named keeps its own.

    Messages name ``where`` the mapping stands, such as ``server``.

    Raises:
        SettingsError: An unknown name, a wrong type or a value out of range.
    """
    known = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    refuse_unknown(mapping, known, where)
    values = {
        name: _checked(f"{where}.{name}", value, known[name]) for name, value in mapping.items()
    }
    return cls(**values)


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
    return tuple(f.name for f in dataclasses.fields(cls))


def refuse_unknown(mapping: Mapping[str, Any], known: Collection[str], where: str) -> None:
    """Checks that every name of a table is known.

    Raises:
        SettingsError: Names the first one that is not, and the nearest that is.
    """
    for name in mapping:
        if name in known:
            continue
        near = nearest_names(name, list(known), 1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
        shown = one_line(name, QUOTED_CHARACTERS)
        key = f"{where}.{shown}" if where else shown
        raise SettingsError(f"{key}: unknown key; {hint}")


def _checked(key: str, value: Any, field: dataclasses.Field[Any]) -> Any:
    kind: type = type(field.default)
    if kind is tuple:
        texts = field.metadata.get("texts", False)
        return _texts(key, value) if texts else _numbers(key, value, field)
    if kind is float and type(value) is int:
        value = as_float(value)
    if type(value) is not kind:
        raise SettingsError(f"{key}: must be {_KINDS[kind]}, not {value!r}")
    if isinstance(value, int | float) and kind is not bool:
        _check_range(key, value, field)
    choices = field.metadata.get("choices", ())
    if choices and value not in choices:
        raise SettingsError(f"{key}: must be one of {', '.join(choices)}, not {value!r}")
    return value


def _numbers(key: str, value: Any, field: dataclasses.Field[Any]) -> tuple[float, ...]:
    if not isinstance(value, list | tuple):
        raise SettingsError(f"{key}: must be a list of numbers, not {value!r}")
    for index, number in enumerate(value):
        if type(number) not in (int, float):
            raise SettingsError(f"{key}[{index}]: must be a number, not {number!r}")
        _check_range(f"{key}[{index}]", as_float(number), field)
    return tuple(as_float(number) for number in value)


def _texts(key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise SettingsError(f"{key}: must be a list of texts, not {value!r}")
    for index, text in enumerate(value):
        if type(text) is not str:
            raise SettingsError(f"{key}[{index}]: must be a text, not {text!r}")
    return tuple(value)


def as_float(number: float) -> float:
    """The number as a float; TOML's integers have no bound, and infinity stands for the largest."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _check_range(key: str, value: float, field: dataclasses.Field[Any]) -> None:
    lowest: float = field.metadata.get("lowest", -math.inf)
    highest: float = field.metadata.get("highest", math.inf)
    if lowest <= value <= highest and abs(value) != math.inf:
        return
    if highest == math.inf:
        limits = f"finite and at least {lowest:g}" if lowest > -math.inf else "finite"
    else:
        limits = f"from {lowest:g} to {highest:g}"
    raise SettingsError(f"{key}: must be {limits}, not {value}")


def is_loopback(host: str) -> bool:
    """Whether what goes to a host never leaves this machine; names but ``localhost`` may."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def split_address(address: str, key: str) -> tuple[str, int]:
    """Splits ``HOST:PORT``; IPv6 hosts stand in brackets and come back without them.

    Raises:
        SettingsError: Not of that form; ``key`` names the setting.
    """
    host, colon, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not host or (":" in host and not bracketed):
        raise SettingsError(f"{key}: must be HOST:PORT or [IPV6]:PORT, not {address!r}")
    if not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise SettingsError(f"{key}: the port must be from 0 to 65535, not {port!r}")
    return host.strip("[]"), int(port)
