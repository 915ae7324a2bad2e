"""Files of a repository as the hub describes them, in an answer that may be anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from quorate_registry.hashing import SHA1, SHA256
from quorate_registry.manifest import RemoteSource

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo, RepoSibling


@dataclass(frozen=True)
class RemoteFile:
    """A file as the hub describes it.

    Attributes:
        path: inside the repository, as the hub names it; not to be trusted.
        size_bytes: size of the file.
        sha256: published SHA-256; None for a file outside the hub's large-file storage.
        blob_id: what git calls the content: SHA-1 of a header and the bytes, hexadecimal. Of a file
            in large-file storage it is that of the pointer. None where it was not asked for.
    """

    path: str
    size_bytes: int
    sha256: str | None
    blob_id: str | None = None


@dataclass(frozen=True)
class RemoteFiles:
    """Files of a repository at one commit.

    Attributes:
        source: what was asked for.
        commit: the commit that its revision stands for at this moment.
        files: the file that was asked for, or all parts of it where it is split, or every file of
            the repository, wanted or not.
    """

    source: RemoteSource
    commit: str
    files: tuple[RemoteFile, ...]


def read_listing(source: RemoteSource, info: ModelInfo) -> RemoteFiles:
    """Check what the hub client made of the answer.

    Raises:
        ValueError: something is missing, or of another kind than it must be.
    """
    if not isinstance(info.sha, str) or not SHA1.fullmatch(info.sha):
        raise ValueError("no commit")
    if not isinstance(info.siblings, list):
        raise ValueError("no files")
    return RemoteFiles(source, info.sha, tuple(_listed(one) for one in info.siblings))


def _listed(sibling: RepoSibling) -> RemoteFile:
    path, size, blob_id = sibling.rfilename, sibling.size, sibling.blob_id
    sha256 = None if sibling.lfs is None else sibling.lfs.sha256
    if not isinstance(path, str) or type(size) is not int or size < 0:
        raise ValueError("no name or size")
    if not isinstance(blob_id, str) or not SHA1.fullmatch(blob_id):
        raise ValueError("no blob id")
    if sha256 is not None and not SHA256.fullmatch(sha256):
        raise ValueError("no checksum")
    return RemoteFile(path, size, sha256, blob_id)
