"""The fields of a JSON object, each of the kind that is asked for, or refused by its path. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from quorate.errors import InvalidRequest
from quorate.large_texts import json_pieces

_KINDS: Mapping[type, str] = {
    bool: "true or false",
    dict: "an object",
    float: "a number",
    int: "a number",
    list: "a list",
    str: "a text",
    type(None): "null",
}


def kind_of(value: Any) -> str:
    """What a value is, in words."""
    return _KINDS.get(type(value), "something else")


class Fields:
    """What one object holds. A field that is null is one that is not there.

    Args:
        found: The object.
        path: Where it stands in the body; "" for the body itself.
    """

    def __init__(self, found: Mapping[str, Any], path: str = "") -> None:
        self._found = found
        self._path = path

    def path(self, name: str) -> str:
        """Where a field stands in the body."""
        return f"{self._path}.{name}" if self._path else name

    def without(self, name: str) -> Fields:
        """The same without a field."""
        rest = {key: value for key, value in self._found.items() if key != name}
        return Fields(rest, self._path)

    def has(self, name: str) -> bool:
        """Whether there is such a field."""
        return self._found.get(name) is not None

    def any(self, name: str) -> Any:
        """A field, whatever it is."""
        return self._found.get(name)

    def first(self, *names: str) -> str:
        """Which of several names for one thing the object has; the last one if it has none."""
        return next((name for name in names if self.has(name)), names[-1])

    def texts(self, name: str) -> Sequence[str]:
        """The texts of a list; none where there is no such list."""
        found = self.items(name) or ()
        for index, one in enumerate(found):
            if not isinstance(one, str):
                path = f"{self.path(name)}[{index}]"
                raise InvalidRequest(path, f"is {kind_of(one)}; give a text")
        return found

    def joined_text(
        self, name: str, kinds: Collection[str], beside: Collection[str] = ()
    ) -> str | None:
        """A text, or the texts of a list of parts, a line each.

        Args:
            name: Of the field.
            kinds: Of parts that are text.
            beside: Of those that are read elsewhere; there are no others.
        """
        if not isinstance(self._found.get(name), list):
            return self.text(name)
        parts = []
        for part in self.objects(name):
            kind = part.text("type") or "text"
            if kind in kinds:
                parts.append(part.text("text") or "")
            elif kind not in beside:
                problem = "is not text, which is all that is read here"
                if beside:
                    problem = f"is not read here; known: {', '.join((*kinds, *beside))}"
                raise InvalidRequest(part.path("type"), problem)
        return "\n".join(parts)

    def text(self, name: str) -> str | None:
        """A text."""
        value = self._found.get(name)
        if value is None or isinstance(value, str):
            return value
        raise self.wrong(name, "a text")

    def flag(self, name: str) -> bool | None:
        """True or false."""
        value = self._found.get(name)
        if value is None or isinstance(value, bool):
            return value
        raise self.wrong(name, "true or false")

    def number(self, name: str) -> float | None:
        """A finite number."""
        value = self._found.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(name, "a number")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise InvalidRequest(self.path(name), "is no finite number")
        return number

    def integer(self, name: str, lowest: int = 0) -> int | None:
        """A whole number, ``lowest`` or more; one with a fraction of zero is one."""
        number = self.number(name)
        if number is None:
            return None
        # Of a large one a float would not keep all digits.
        value = self._found[name]
        if isinstance(value, float):
            if not value.is_integer():
                raise InvalidRequest(self.path(name), f"is {value}; give a whole number")
            value = int(value)
        if value < lowest:
            raise InvalidRequest(self.path(name), f"is {value}; give {lowest} or more")
        return int(value)

    def object(self, name: str) -> Fields | None:
        """An object."""
        value = self._found.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.wrong(name, "an object")
        return Fields(value, self.path(name))

    def items(self, name: str) -> Sequence[Any] | None:
        """A list."""
        value = self._found.get(name)
        if value is None or isinstance(value, list):
            return value
        raise self.wrong(name, "a list")

    def objects(self, name: str) -> Iterator[Fields]:
        """The objects of a list."""
        for index, value in enumerate(self.items(name) or ()):
            path = f"{self.path(name)}[{index}]"
            if not isinstance(value, dict):
                raise InvalidRequest(path, f"is {kind_of(value)}; give an object")
            yield Fields(value, path)

    def json_text(self, name: str, most_bytes: int) -> str | None:
        """A value as JSON, which a text is taken to be already.

        It is written no further than shows that it is too long.
        """
        value = self._found.get(name)
        if value is None or isinstance(value, str):
            return value
        pieces, size = [], 0
        try:
            for piece in json_pieces(value):
                size += len(piece)
                if size > most_bytes:
                    raise InvalidRequest(self.path(name), f"has more than {most_bytes} bytes")
                pieces.append(piece)
        except RecursionError:
            raise InvalidRequest(self.path(name), "is nested too deep") from None
        except ValueError:
            raise InvalidRequest(self.path(name), "has a number that is too large") from None
        return b"".join(pieces).decode()

    def names(self) -> Sequence[str]:
        """The names of all fields."""
        return list(self._found)

    def wrong(self, name: str, wanted: str) -> InvalidRequest:
        """What is wrong with a field of another kind than is wanted."""
        return InvalidRequest(self.path(name), f"is {kind_of(self._found[name])}; give {wanted}")
