"""The list of a repository's files, taken from an answer of the hub that may be anything."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo, RepoSibling

_SHA1 = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class ListedFile:
    """A file in the list of a repository.

    Attributes:
        path: as the hub names it; not to be trusted.
        size_bytes: size of the file.
        sha256: SHA-256 published by the hub; None for a file outside its large-file storage.
        blob_id: what git calls the content: SHA-1 of a header and the bytes, hexadecimal. Of a file
            in large-file storage it is that of the pointer.
    """

    path: str
    size_bytes: int
    sha256: str | None
    blob_id: str


@dataclass(frozen=True)
class RemoteSnapshot:
    """All files of a repository at one commit.

    Attributes:
        commit: the commit that the revision stands for at this moment.
        files: every file, wanted or not.
    """

    commit: str
    files: tuple[ListedFile, ...]


def read_listing(info: ModelInfo) -> RemoteSnapshot:
    """Check what the hub client made of the answer.

    Raises:
        ValueError: something is missing, or of another kind than it must be.
    """
    if not isinstance(info.sha, str) or not _SHA1.fullmatch(info.sha):
        raise ValueError("no commit")
    if not isinstance(info.siblings, list):
        raise ValueError("no files")
    return RemoteSnapshot(info.sha, tuple(_listed(one) for one in info.siblings))


def _listed(sibling: RepoSibling) -> ListedFile:
    path, size, blob_id = sibling.rfilename, sibling.size, sibling.blob_id
    sha256 = None if sibling.lfs is None else sibling.lfs.sha256
    if not isinstance(path, str) or type(size) is not int or size < 0:
        raise ValueError("no name or size")
    if not isinstance(blob_id, str) or not _SHA1.fullmatch(blob_id):
        raise ValueError("no blob id")
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        raise ValueError("no checksum")
    return ListedFile(path, size, sha256, blob_id)
