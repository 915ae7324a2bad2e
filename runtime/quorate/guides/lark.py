"""Texts in Lark's syntax. Pure."""

from __future__ import annotations

import json


def literal(text: str) -> str:
    """A text between quotes; of what JSON writes as it is, Lark does not read U+007F."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", r"\u007f")


def pattern(text: str) -> str:
    """A text as a part of a regular expression between slashes, matched as it is."""
    return "".join(one if one.isalnum() else f"\\x{{{ord(one):X}}}" for one in text)
