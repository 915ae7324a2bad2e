"""Parameters of the command line that several commands share, declared once as a dataclass."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from typing import Any, get_type_hints


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Lets a command take a dataclass for a group of parameters.

    Each field becomes a parameter of the command line, in the place of the group; a field that is a
    dataclass is a group within the group. Fields are annotated as parameters of Typer are. It has
    no groups of its own (0.29): it reads a command's signature, and so it is shown a flat one.
    """
    hints = get_type_hints(command, include_extras=True)
    parameters = inspect.signature(command).parameters.values()

    @wraps(command, assigned=("__module__", "__name__", "__qualname__", "__doc__"))
    def flat(**given: Any) -> None:
        command(**{one.name: _value(one.name, hints[one.name], given) for one in parameters})

    flat.__annotations__ = {}
    flat.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [field for one in parameters for field in _flat(one.name, hints[one.name], one.default)]
    )
    return flat


def _flat(name: str, kind: Any, default: Any) -> Iterator[inspect.Parameter]:
    if not is_dataclass(kind):
        yield inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind
        )
        return
    hints = get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        absent = field.default is MISSING
        yield from _flat(
            field.name, hints[field.name], inspect.Parameter.empty if absent else field.default
        )


def _value(name: str, kind: Any, given: Mapping[str, Any]) -> Any:
    if not is_dataclass(kind):
        return given[name]
    hints = get_type_hints(kind, include_extras=True)
    return kind(  # type: ignore[operator]
        **{field.name: _value(field.name, hints[field.name], given) for field in fields(kind)}
    )
