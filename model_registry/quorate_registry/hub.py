"""The Hugging Face hub, through the HTTP session, tokens and errors of ``huggingface_hub``.

``hf_hub_download`` is not used: since version 2 it throws a partial file away when the process
ends, so that an interrupted download of gigabytes starts again from nothing. The plain HTTP route
is taken for every file, which keeps resuming and progress exact; the chunk-addressed transfer of
``hf_xet`` can do neither across processes.

``huggingface_hub`` is imported inside the functions: it is slow to load, and most uses of the
registry never touch the network.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

from quorate_registry.errors import DownloadFailed, Interrupted, Offline
from quorate_registry.hashing import SHA256
from quorate_registry.manifest import HubSource, RemoteSource
from quorate_registry.remote_files import RemoteFile, RemoteFiles, read_listing
from quorate_registry.shards import names

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

_CONTENT_RANGE = re.compile(r"bytes (\d+)-")
_PASSING_STATUS = (408, 425, 429, 500, 502, 503, 504)
_TRUE = {"1", "ON", "YES", "TRUE"}


def is_offline() -> bool:
    """Whether the environment forbids the network, by the hub client's own variables."""
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    return any(os.environ.get(name, "").upper() in _TRUE for name in names)


class Hub:
    """One hub.

    Args:
        endpoint: base address; default ``$HF_ENDPOINT``, else the public hub.
    """

    def __init__(self, endpoint: str | None = None) -> None:
        self._endpoint = endpoint

    def describe(self, source: RemoteSource) -> RemoteFiles:
        """Ask for commit, checksums and sizes, in one question.

        Returns:
            The file that is named, all files of the model that is split and has it as a part, or
            all files of the repository.

        Raises:
            DownloadFailed: with the reason and what to do.
            Interrupted: the reason may pass.
        """
        if isinstance(source, HubSource):
            wanted = names(source.file)
            return self._parts(source, wanted) if wanted else self._file(source)
        return self._listing(source)

    def _parts(self, source: HubSource, wanted: tuple[str, ...]) -> RemoteFiles:
        listing = self._listing(source)
        known = {file.path: file for file in listing.files}
        missing = [name for name in wanted if name not in known]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            reason = f"the repository lacks this part of a model in {len(wanted)} files{more}"
            raise DownloadFailed(source.repo, missing[0], f"{reason}; nothing was downloaded")
        return RemoteFiles(source, listing.commit, tuple(known[name] for name in wanted))

    def _file(self, source: HubSource) -> RemoteFiles:
        from huggingface_hub import get_hf_file_metadata

        # First of all: with telemetry on, the client asks its own server who uses it.
        _client_constants()
        with self._translated(source, source.file):
            metadata = get_hf_file_metadata(
                self._address(source.repo, source.file, source.revision),
                endpoint=self._base(),
                library_name="quorate",
            )
        if metadata.commit_hash is None or metadata.size is None:
            raise DownloadFailed(source.repo, source.file, self._no_hub())
        published = metadata.etag if SHA256.fullmatch(metadata.etag or "") else None
        file = RemoteFile(source.file, metadata.size, published)
        return RemoteFiles(source, metadata.commit_hash, (file,))

    def _listing(self, source: RemoteSource) -> RemoteFiles:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HFValidationError

        constants = _client_constants()
        client = HfApi(endpoint=self._base(), library_name="quorate")
        with self._translated(source, ""):
            try:
                info = client.model_info(
                    source.repo,
                    revision=source.revision,
                    files_metadata=True,
                    timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT,
                )
                return read_listing(source, info)
            except HFValidationError:
                raise
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                # The client takes the answer apart without a look at what it is.
                raise DownloadFailed(source.repo, "", self._no_hub()) from error

    @contextmanager
    def open(
        self, remote: RemoteFiles, file: RemoteFile, offset: int
    ) -> Iterator[tuple[int, Iterator[bytes]]]:
        """Open one of the files, as it is in their commit, for reading from `offset` on.

        Yields:
            The offset at which the answer really starts, 0 where the server knows no ranges, and
            its chunks of bytes. Errors of the connection inside the ``with`` block are translated.

        Raises:
            DownloadFailed: with the reason and what to do.
            Interrupted: the reason may pass.
        """
        from huggingface_hub import get_session, hf_raise_for_status
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

        constants = _client_constants()
        headers = build_hf_headers(library_name="quorate")
        headers["Accept-Encoding"] = "identity"
        if offset:
            headers["Range"] = f"bytes={offset}-"
        with (
            self._translated(remote.source, file.path),
            get_session().stream(
                "GET",
                self._address(remote.source.repo, file.path, remote.commit),
                headers=headers,
                timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT,
            ) as response,
        ):
            hf_raise_for_status(response)
            content_range = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
            start = int(content_range[1]) if content_range else 0
            yield start, response.iter_bytes()

    def _base(self) -> str:
        # The client reads the variable once, at import; a later change counts here as well.
        chosen = self._endpoint or os.environ.get("HF_ENDPOINT") or _client_constants().ENDPOINT
        return chosen.rstrip("/")

    def _no_hub(self) -> str:
        return f"{self._base()} does not answer like a Hugging Face hub; check HF_ENDPOINT"

    def _address(self, repo: str, file: str, revision: str) -> str:
        from huggingface_hub import hf_hub_url

        return hf_hub_url(repo, file, revision=revision, endpoint=self._base())

    @contextmanager
    def _translated(self, source: RemoteSource, file: str) -> Iterator[None]:
        import httpx2
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

        repo = source.repo
        try:
            yield
        except OfflineModeIsEnabled as error:
            raise offline_error(source, file) from error
        except HfHubHTTPError as error:
            raise self._http_failure(source, file, error) from error
        except HFValidationError as error:
            raise DownloadFailed(repo, file, "the hub refuses this repository name") from error
        except httpx2.ConnectError as error:
            cause = " ".join(str(error).split())
            reason = f"cannot reach {self._base()} ({cause}); check the network and HF_ENDPOINT"
            raise Interrupted(repo, file, reason) from error
        except (httpx2.UnsupportedProtocol, httpx2.InvalidURL) as error:
            reason = f"'{self._base()}' is no address of a hub; check HF_ENDPOINT"
            raise DownloadFailed(repo, file, reason) from error
        except httpx2.TransportError as error:
            cause = type(error).__name__
            reason = f"the connection to {self._base()} broke ({cause}); pull again to resume"
            raise Interrupted(repo, file, reason) from error
        except httpx2.HTTPError as error:
            reason = f"{self._base()} cannot be used ({type(error).__name__}); check HF_ENDPOINT"
            raise DownloadFailed(repo, file, reason) from error

    def _http_failure(
        self, source: RemoteSource, file: str, error: HfHubHTTPError
    ) -> DownloadFailed:
        status = error.response.status_code
        if status in _PASSING_STATUS:
            reason = f"{self._base()} answered {status}; pull again later"
            return Interrupted(source.repo, file, reason)
        return DownloadFailed(source.repo, file, self._refusal(source, error, status))

    def _refusal(self, source: RemoteSource, error: HfHubHTTPError, status: int) -> str:
        from huggingface_hub.errors import (
            GatedRepoError,
            RemoteEntryNotFoundError,
            RevisionNotFoundError,
        )

        if isinstance(error, GatedRepoError) or status == 403:
            page = f"{self._base()}/{source.repo}"
            return f"the repository is gated ({status}); accept its terms at {page}, set HF_TOKEN"
        if status == 401:
            return "no access (401): the repository is private, gated or absent; set HF_TOKEN"
        if isinstance(error, RevisionNotFoundError):
            return f"the repository has no revision '{source.revision}'; check the manifest"
        if isinstance(error, RemoteEntryNotFoundError):
            return f"no such file at revision '{source.revision}'; check the manifest"
        if status == 404:
            return f"{self._base()} has no such repository; check the manifest"
        return f"{self._base()} answered {status}"


def _client_constants() -> ModuleType:
    """Constants of the hub client, which from now on reports nothing about its user."""
    from huggingface_hub import constants

    constants.HF_HUB_DISABLE_TELEMETRY = True
    return constants


def offline_error(source: RemoteSource, file: str = "") -> Offline:
    """The error for what would have to be fetched while the network is switched off."""
    reason = (
        "offline, and not pulled before; unset HF_HUB_OFFLINE or drop --offline, then pull again"
    )
    return Offline(source.repo, source.file if isinstance(source, HubSource) else file, reason)
