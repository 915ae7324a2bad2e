"""From keyword arguments to the fields of a message; what does not fit is refused by its name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from quorate.errors import InvalidRequest
from quorate.foreign_text import nearest_names


def given_of(options: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """The options that are given; None is not.

    Raises:
        TypeError: One is unknown. What a misspelt limit was to keep from happening would happen.
    """
    names = [*known]
    for name in options:
        if name not in names:
            near = nearest_names(name, names, 1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(names)}"
            raise TypeError(f"unexpected argument {name!r}; {hint}")
    return {name: value for name, value in options.items() if value is not None}


def fill(target: Any, given: Mapping[str, Any], names: Iterable[str]) -> None:
    """Sets those fields of a message that are given.

    Raises:
        InvalidRequest: A value that no message can hold.
    """
    for name in names:
        if name in given:
            with refusing(name):
                setattr(target, name, given[name])


@contextmanager
def refusing(name: str) -> Iterator[None]:
    """Names the argument that protobuf cannot take.

    Raises:
        InvalidRequest: Whatever is wrong inside the ``with`` block.
    """
    try:
        yield
    except UnicodeEncodeError:
        raise InvalidRequest(name, "is not valid Unicode text") from None
    except (AttributeError, TypeError, ValueError) as error:
        raise InvalidRequest(name, str(error)) from None


def list_of(given: Mapping[str, Any], name: str) -> Iterable[Any]:
    """The values of an argument that must not be a single text.

    Raises:
        InvalidRequest: It is one.
    """
    values: Iterable[Any] = given.get(name, ())
    if isinstance(values, str):
        raise InvalidRequest(name, f"is the text {values!r}; give a list")
    return values


def json_text(value: Any) -> Any:
    """A mapping as JSON; anything else, such as JSON itself, as it is."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, Mapping) else value


def enum_of(name: str, value: Any, kind: Any) -> Any:
    """The number of an enum's value that is named in lower case, without its prefix.

    Raises:
        InvalidRequest: No such value.
    """
    prefix = kind.keys()[0].removesuffix("UNSPECIFIED")
    known = {key.removeprefix(prefix).lower(): number for key, number in kind.items()}
    if not isinstance(value, str) or value not in known:
        choices = ", ".join(choice for choice in known if choice != "unspecified")
        raise InvalidRequest(name, f"is {value!r}; choose one of {choices}")
    return known[value]
