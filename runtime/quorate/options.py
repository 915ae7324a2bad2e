"""Tables of options: from a mapping, as TOML gives it, to a frozen dataclass.

Each package declares its options as a dataclass; what a value may be stands with its field. Unknown
names, wrong types and values out of range are refused with the full name of the key. That is here
and below all of them because four packages had begun to check TOML tables, each in its own way.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from quorate.errors import SettingsError
from quorate.foreign_text import QUOTED_CHARACTERS, nearest_names, one_line

_Options = TypeVar("_Options")
_Read = TypeVar("_Read")
_KINDS = {bool: "true or false", int: "an integer", float: "a number", str: "a text"}


class Faults:
    """Gathers what is wrong with one table, so that who wrote it hears of everything at once."""

    def __init__(self) -> None:
        self._found: list[SettingsError] = []

    def check(self, read: Callable[[], _Read], otherwise: _Read) -> _Read:
        """What ``read`` returns; where that is wrong, notes why and returns the other."""
        try:
            return read()
        except SettingsError as error:
            self.add(error)
            return otherwise

    def add(self, error: SettingsError) -> None:
        """Notes this, and what it has noted; of a key that is wrong already nothing more."""
        for one in (error, *error.also):
            if _key(one) not in map(_key, self._found):
                self._found.append(one)

    def add_of_the_whole(self, where: str, check: Callable[[], None]) -> None:
        """Notes what ``check`` has against values together, unless one is wrong by itself.

        With a default in its place, what is said of the table as a whole would not be true.
        """
        try:
            check()
        except SettingsError as error:
            for one in (error, *error.also):
                if not self._found or _key(one) != where:
                    self.add(SettingsError(one.message))

    def refuse(self) -> None:
        """Refuses the table, if anything is wrong with it.

        Raises:
            SettingsError: The first that was noted, with the others.
        """
        if self._found:
            first, *others = self._found
            raise SettingsError(first.message, others)


def _key(error: SettingsError) -> str:
    return error.message.partition(": ")[0]


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


def read_options(
    cls: type[_Options],
    mapping: Mapping[str, Any],
    where: str,
    check: Callable[[_Options], None] | None = None,
) -> _Options:
    """Reads a dataclass whose fields all have defaults; what is not named keeps its own.

    Args:
        cls: The class.
        mapping: What stands in the file.
        where: Where it stands there, such as ``server``, for messages.
        check: Raises what is wrong with values that are right by themselves.

    Raises:
        SettingsError: An unknown name, a wrong type or a value out of range, and all else that is
            wrong with the table.
    """
    known = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    faults = Faults()
    faults.check(lambda: refuse_unknown(mapping, known, where), None)
    values = {}
    for name in (name for name in mapping if name in known):
        try:
            values[name] = _checked(f"{where}.{name}", mapping[name], known[name])
        except SettingsError as error:
            faults.add(error)
    options = cls(**values)
    if check is not None:
        faults.add_of_the_whole(where, lambda: check(options))
    faults.refuse()
    return options


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
        SettingsError: Names those that are not, and the nearest that are.
    """
    faults = Faults()
    for name in mapping:
        if name in known:
            continue
        near = nearest_names(name, list(known), 1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
        shown = one_line(name, QUOTED_CHARACTERS)
        key = f"{where}.{shown}" if where else shown
        faults.add(SettingsError(f"{key}: unknown key; {hint}"))
    faults.refuse()


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
