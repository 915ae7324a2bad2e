"""Digests of files by which a hub names their content."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

SHA1 = re.compile(r"[0-9a-f]{40}")
"""What git names commits and contents by."""
SHA256 = re.compile(r"[0-9a-f]{64}")

_CHUNK_BYTES = 1 << 20


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def git_blob_id(path: Path) -> str:
    """What git calls the content of a file: SHA-1 of ``blob <size>``, a zero byte and the bytes.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def sum_of_list(sums: Mapping[str, str]) -> str:
    """SHA-256 of what ``sha256sum`` prints of files, from their sums by path."""
    lines = "".join(f"{sha256}  {path}\n" for path, sha256 in sums.items())
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()
