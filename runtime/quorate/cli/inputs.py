"""Reading what a command is about: a prompt, or a text to score."""

from __future__ import annotations

import sys
from pathlib import Path

from quorate.errors import SettingsError


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
