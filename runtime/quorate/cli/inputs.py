"""Reading what a command is about: a prompt, a text to score, or tools."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from quorate.errors import SettingsError
from quorate.foreign_text import one_line


def read_prompt(prompt: str) -> str:
    """The prompt itself; ``-`` reads standard input.

    Raises:
        SettingsError: It is not UTF-8, or standard input is empty.
    """
    try:
        if prompt == "-":
            given = sys.stdin.buffer.read().decode("utf-8")
            if not given.strip():
                raise SettingsError("the prompt is -, but standard input is empty")
            return given
        return prompt.encode("utf-8", errors="surrogateescape").decode("utf-8")
    except UnicodeDecodeError:
        raise SettingsError("the prompt is not UTF-8 text") from None


def read_text(name: str, needed: str = "text that can be scored") -> bytes:
    """The bytes of a file, or of standard input where the name is ``-``; it holds what is needed.

    Raises:
        SettingsError: It cannot be read, is empty or is not UTF-8.
    """
    shown = "standard input" if name == "-" else name
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise SettingsError(f"{shown}: cannot be read: {error.strerror or error}") from None
    except ValueError:
        raise SettingsError(f"{shown!r}: is no name of a file") from None
    if not data:
        raise SettingsError(f"{shown}: is empty; give {needed}")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"{shown}: is not UTF-8 text: byte {error.start} is 0x{data[error.start]:02x}"
        ) from None
    return data


def read_tools(name: str) -> list[Any]:
    """The tools of a file, or of standard input where the name is ``-``: a list, as JSON.

    Raises:
        SettingsError: As for ``read_text``, or it is no such list.
    """
    text = read_text(name, "a list of tools")
    shown = "standard input" if name == "-" else name
    try:
        found = json.loads(text)
    except ValueError as error:
        raise SettingsError(f"{shown}: is no JSON: {one_line(str(error))}") from None
    except RecursionError:
        raise SettingsError(f"{shown}: is nested too deep") from None
    if not isinstance(found, list):
        raise SettingsError(f"{shown}: is no JSON list; give a list of tools")
    return found
