"""What bytes a token of a ``tokenizer.json`` stands for, read off how that file decodes tokens.

Only what a single token contributes counts here. Steps about the ends of a whole text (the space
that SentencePiece puts before it is taken away again) have no part in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

Step: TypeAlias = Callable[[str], "str | bytes"]
"""One step of a decoder: bytes where it settles the token, else the text for the next step."""

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_SPACE = "\u2581"
_ABOUT_WHOLE_TEXTS = ("Fuse", "Strip")


class UnknownDecoder(ValueError):
    """The file decodes tokens in a way that does not say what bytes each of them stands for."""


def token_bytes(definition: Mapping[str, Any]) -> Callable[[str], bytes]:
    """The function from a token's text to its bytes, by the content of a ``tokenizer.json``.

    Raises:
        UnknownDecoder: No such function exists for this decoder.
    """
    decoder = definition.get("decoder")
    steps = list(_decoder_steps(decoder)) if decoder else list(_inverse_steps(definition))

    def decode(text: str) -> bytes:
        for step in steps:
            outcome = step(text)
            if isinstance(outcome, bytes):
                return outcome
            text = outcome
        return text.encode("utf-8", errors="replace")

    return decode


def components(node: Mapping[str, Any] | None, kind: str) -> Iterator[Mapping[str, Any]]:
    """The parts of a normalizer, pre-tokenizer or decoder, in order, sequences unfolded.

    ``kind`` is the name of the list inside of a sequence, such as ``decoders``.
    """
    if node is None:
        return
    if node["type"] == "Sequence":
        for part in node[kind]:
            yield from components(part, kind)
    else:
        yield node


def _decoder_steps(decoder: Mapping[str, Any]) -> Iterator[Step]:
    for part in components(decoder, "decoders"):
        name = part["type"]
        if name == "ByteLevel":
            yield _byte_level
        elif name == "ByteFallback":
            yield _byte_fallback
        elif name == "Metaspace":
            yield _replacement(part["replacement"], " ")
        elif name == "Replace" and "String" in part["pattern"]:
            yield _replacement(part["pattern"]["String"], part["content"])
        elif name not in _ABOUT_WHOLE_TEXTS:
            raise UnknownDecoder(f"its decoder {name!r} does not give each token's own bytes")


def _inverse_steps(definition: Mapping[str, Any]) -> Iterator[Step]:
    """For files without a decoder: the inverse of how they prepare text."""
    parts = list(components(definition.get("pre_tokenizer"), "pretokenizers"))
    if any(part["type"] == "ByteLevel" for part in parts):
        yield _byte_level
    if definition["model"].get("byte_fallback"):
        yield _byte_fallback
    yield _replacement(_SPACE, " ")


def _replacement(old: str, new: str) -> Step:
    return lambda text: text.replace(old, new)


def _byte_fallback(text: str) -> str | bytes:
    found = _BYTE_TOKEN.fullmatch(text)
    return bytes((int(found[1], 16),)) if found else text


def _byte_level(text: str) -> bytes:
    try:
        return bytes(_BYTES_BY_LETTER[letter] for letter in text)
    except KeyError:
        # A token that never went through the alphabet; the library decodes it as it stands.
        return text.encode("utf-8", errors="replace")


def _byte_level_alphabet() -> dict[str, int]:
    """GPT-2's letters for bytes (``bytes_to_unicode`` of its encoder.py)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters = {chr(value): value for value in printable}
    others = sorted(set(range(256)) - set(printable))
    return letters | {chr(256 + index): value for index, value in enumerate(others)}


_BYTES_BY_LETTER = _byte_level_alphabet()
