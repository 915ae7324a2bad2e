"""Paths inside a repository, as somebody else wrote them: which are sound, which are wanted."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

FETCHED_SUFFIXES = (".safetensors", ".json", ".txt", ".model", ".jinja", ".tiktoken")
"""What a checkpoint is made of. No pickle and no program is among them: those can run code."""
DEFAULT_PATTERNS = (
    "model*.safetensors",
    "model.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "hf_quant_config.json",
    "quantize_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
)

_MAX_DEPTH = 8
_MAX_NAME_BYTES = 200
_WILDCARDS = "*?["


def is_sound(path: str) -> bool:
    """Whether a path stays inside its folder and hides nothing.

    Every part must be printable, visible, and short enough for a file system.
    """
    parts = path.split("/")
    if len(parts) > _MAX_DEPTH or not path.isprintable() or "\\" in path:
        return False
    return all(
        part and not part.startswith(".") and len(part.encode()) <= _MAX_NAME_BYTES
        for part in parts
    )


def matches(path: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns means this path; wildcards do not cross folders."""
    parts = path.split("/")
    for pattern in patterns:
        wanted = pattern.split("/")
        if len(wanted) == len(parts) and all(map(fnmatchcase, parts, wanted)):
            return True
    return False


def is_fetched(path: str) -> bool:
    """Whether files of this kind are fetched at all, whatever the patterns say."""
    return path.lower().endswith(FETCHED_SUFFIXES)


def can_match(pattern: str) -> bool:
    """Whether any file that a pattern means could be fetched."""
    name = pattern.rpartition("/")[2]
    _, dot, suffix = name.rpartition(".")
    open_ended = not dot or any(char in suffix for char in _WILDCARDS)
    return open_ended or is_fetched(name)


def clash(paths: Iterable[str]) -> str | None:
    """A path that some file system could not keep beside another of them, or None.

    Two names that differ in case alone are one file on some disks, and no file can be a folder.
    """
    files: set[str] = set()
    folders: set[str] = set()
    for path in paths:
        folded = path.casefold()
        parts = folded.split("/")
        above = {"/".join(parts[:depth]) for depth in range(1, len(parts))}
        if folded in files or folded in folders or above & files:
            return path
        files.add(folded)
        folders |= above
    return None
