"""Short excerpts of what a remote says, fit for a line of a log."""

from __future__ import annotations

from collections.abc import Iterable

_LONGEST = 120
_SHARED_WITH_PROMPT = 12
_SHARED_WITH_KEY = 6


def excerpt(message: object, prompts: Iterable[str], key: str) -> str:
    """Shortens a remote's own words to one printable line, or to nothing.

    It is nothing where the words may repeat what must not be repeated: they share 12 characters
    with a prompt, hold all of a shorter one, or share 6 characters with the key.

    Args:
        message: What the remote said; anything but a text is nothing.
        prompts: Texts that must not be repeated.
        key: A secret that must not be repeated, or "".
    """
    if not isinstance(message, str):
        return ""
    words = "".join(letter if letter.isprintable() else " " for letter in message[: 4 * _LONGEST])
    line = " ".join(words.split())
    shown = line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
    # A prompt may have had other white space than the line has.
    private = [" ".join(prompt.split()) for prompt in prompts]
    if any(_share(shown, prompt, _SHARED_WITH_PROMPT) for prompt in private):
        return ""
    return "" if _share(shown, key, _SHARED_WITH_KEY) else shown


def _share(line: str, secret: str, length: int) -> bool:
    if not secret:
        return False
    if len(secret) <= length:
        return secret in line
    return any(line[start : start + length] in secret for start in range(len(line) - length + 1))
