"""What the text of an answer must be, in the words of all protocols. Pure.

OpenAI and Anthropic have JSON of a schema, llama-server and vLLM other forms as well, each under
names of their own. The object ``quorate`` has those of the gRPC API.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from quorate.access import limits
from quorate.api.http.fields import Fields, kind_of
from quorate.errors import InvalidRequest
from quorate.foreign_text import one_line
from quorate.guides.lark import literal
from quorate.large_texts import utf8_size
from quorate.request import ConstraintKind, OutputConstraint

FORM_FIELDS = tuple(kind.value for kind in ConstraintKind)
"""Names of a form in the object ``quorate``."""

_ANY_OBJECT = '{"type": "object"}'
_MOST_CHOICES = 1024
# What vLLM's object may hold.
_OUTPUTS = ("json", "regex", "choice", "grammar", "json_object")


class Form(NamedTuple):
    """A form, and what its caller calls it.

    Attributes:
        path: Of the field that has it.
    """

    path: str
    constraint: OutputConstraint


def read_form(body: Fields, extension: Fields | None) -> Form | None:
    """What a body says of the form of its answer; None where that may be any text.

    Args:
        body: The body.
        extension: The object ``quorate`` in it.

    Raises:
        InvalidRequest: It says several, or one that cannot be.
    """
    found: Form | None = None
    for form in _forms(body, extension):
        if found is not None:
            raise InvalidRequest(form.path, f"and {found.path} exclude each other; give one")
        found = form
    return found


def _forms(body: Fields, extension: Fields | None) -> Iterator[Form]:
    for name in ("response_format", "output_format"):
        yield from _format(body, name)
    if config := body.object("output_config"):
        yield from _format(config, "format")
    # Elsewhere a text is what its name says.
    if isinstance(body.any("text"), dict) and (config := body.object("text")):
        yield from _format(config, "format")
    for holder, names in (
        (body, {"json": "guided_json", "regex": "guided_regex", "grammar": "guided_grammar"}),
        (body.object("structured_outputs"), {name: name for name in ("json", "regex", "grammar")}),
    ):
        if holder is None:
            continue
        yield from _schema(holder, names["json"])
        yield from _text(holder, names["regex"], ConstraintKind.REGEX)
        yield from _text(holder, names["grammar"], ConstraintKind.GRAMMAR)
        yield from _choice(holder, "guided_choice" if holder is body else "choice")
        if holder is not body:
            _refuse_unknown(holder)
            if holder.flag("json_object"):
                yield _form(holder.path("json_object"), ConstraintKind.JSON_SCHEMA, _ANY_OBJECT)
    yield from _schema(body, "json_schema")
    if extension is not None:
        yield from _schema(extension, ConstraintKind.JSON_SCHEMA.value)
        for kind in (ConstraintKind.REGEX, ConstraintKind.GRAMMAR):
            yield from _text(extension, kind.value, kind)


def _refuse_unknown(outputs: Fields) -> None:
    """Refuses what would hold an answer in a way that is not served, or is misspelt."""
    for name in outputs.names():
        if name not in _OUTPUTS and outputs.any(name):
            known = ", ".join(_OUTPUTS)
            raise InvalidRequest(outputs.path(one_line(name, 64)), f"is not served; known: {known}")


def _format(holder: Fields, name: str) -> Iterator[Form]:
    """OpenAI's way to say it, and those of others that are much alike."""
    given = holder.object(name)
    if given is None or (kind := given.text("type")) in (None, "text"):
        return
    if kind not in ("json_schema", "json_object"):
        known = "text, json_object or json_schema"
        raise InvalidRequest(given.path("type"), f"is not served here; give {known}")
    nested = given.object("json_schema")
    place = nested if nested is not None else given
    if place.has("schema"):
        yield from _schema(place, "schema")
    elif kind == "json_object":
        yield _form(given.path("type"), ConstraintKind.JSON_SCHEMA, _ANY_OBJECT)
    else:
        # Where OpenAI has it, unless it is told in the shape of a response.
        path = place.path("schema")
        if nested is None and name == "response_format":
            path = given.path("json_schema.schema")
        raise InvalidRequest(path, "is missing; give the schema")


def _schema(holder: Fields, name: str) -> Iterator[Form]:
    """A schema, which may also be given as a text that is JSON."""
    text = holder.json_text(name, limits.MAX_CONSTRAINT_BYTES)
    if text is not None:
        yield _form(holder.path(name), ConstraintKind.JSON_SCHEMA, text)


def _text(holder: Fields, name: str, kind: ConstraintKind) -> Iterator[Form]:
    text = holder.text(name)
    if text is not None:
        yield _form(holder.path(name), kind, text)


def _choice(holder: Fields, name: str) -> Iterator[Form]:
    """One of some texts."""
    choices = holder.items(name)
    if choices is None:
        return
    path = holder.path(name)
    if not choices:
        raise InvalidRequest(path, "is empty; leave it out where the answer may be any text")
    if len(choices) > _MOST_CHOICES:
        raise InvalidRequest(path, f"has more than {_MOST_CHOICES} texts")
    size = 0
    for at, one in enumerate(choices):
        if not isinstance(one, str) or not one:
            raise InvalidRequest(f"{path}[{at}]", f"is {kind_of(one)}; give a text with letters")
        size = limits.constraint_size(path, size + utf8_size(one))
    written = " | ".join(map(literal, choices))
    yield _form(path, ConstraintKind.GRAMMAR, f"start: {written}")


def _form(path: str, kind: ConstraintKind, text: str) -> Form:
    return Form(path, limits.constraint(path, kind, text))
