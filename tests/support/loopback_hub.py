"""A small Hugging Face hub on the loopback interface, with faults to order.

It answers what ``huggingface_hub`` 2.4 asks for when files are fetched: HEAD and GET of
``/{repo}/resolve/{revision}/{file}`` with the headers of large-file storage, GET of
``/api/models/{repo}/revision/{revision}?blobs=True`` with the list of files, and the error codes of
the real hub.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass(frozen=True)
class SeenRequest:
    method: str
    path: str
    range: str | None
    authorization: str | None


@dataclass
class Faults:
    """What goes wrong. Deques are used up, one entry per GET of a file."""

    cut_after: deque[int] = field(default_factory=deque)
    """Close the connection after so many bytes of the body."""
    statuses: deque[int] = field(default_factory=deque)
    """Answer with these statuses first, whatever the method."""
    always_status: int | None = None
    corrupt: bool | str = False
    """Serve other bytes than the published checksum belongs to; a text: of this file alone."""
    listing: Callable[[dict[str, Any]], Any] | None = None
    """Turns the list of files into what is answered in its place."""
    ignores_ranges: bool = False
    shifted_range: int = 0
    """Answer a range request so many bytes further on than asked."""
    surplus: bytes = b""
    """Send this after the file, and announce it only with the GET."""
    without_hub_headers: bool = False
    """Answer as any web server does, without commit and large-file headers."""
    token: str | None = None
    """Gated: only requests that bear this token are served."""
    renamed: dict[str, str] = field(default_factory=dict)
    """Old repository name -> new one."""
    hold: threading.Event | None = None
    """A GET waits for this event before it sends the body."""


class LoopbackHub:
    """A running hub; use as a context manager."""

    def __init__(self) -> None:
        self.files: dict[tuple[str, str], bytes] = {}
        self.revisions = {"main": COMMIT}
        self.published_as_large_file = True
        self.small_files: set[tuple[str, str]] = set()
        self.faults = Faults()
        self.requests: list[SeenRequest] = []
        self.get_seen = threading.Event()
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def add(self, repo: str, file: str, content: bytes, *, large: bool = True) -> str:
        """Publish a file, in large-file storage or in git itself, and return its SHA-256."""
        self.files[repo, file] = content
        (self.small_files.discard if large else self.small_files.add)((repo, file))
        return hashlib.sha256(content).hexdigest()

    def is_large(self, repo: str, file: str) -> bool:
        return self.published_as_large_file and (repo, file) not in self.small_files

    def seen(self, method: str) -> list[SeenRequest]:
        return [request for request in self.requests if request.method == method]

    def downloads(self) -> list[SeenRequest]:
        """Requests for the bytes of files."""
        return [request for request in self.seen("GET") if "/resolve/" in request.path]

    def fetched(self) -> list[str]:
        """Files whose bytes were asked for, in order."""
        paths = [request.path for request in self.downloads()]
        return [path.partition("/resolve/")[2].partition("/")[2] for path in paths]

    def ranges(self, file: str) -> list[str | None]:
        """The ranges that were asked for of a file, in order."""
        return [request.range for request in self.downloads() if request.path.endswith(file)]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._thread.is_alive():
            self.close()


def git_blob_id(content: bytes) -> str:
    """What git calls this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    # HTTP/1.0: one connection per request, so that closing the hub leaves none open.
    protocol_version = "HTTP/1.0"
    hub: LoopbackHub

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self.hub.get_seen.set()
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(
            SeenRequest(self.command, path, self.headers["Range"], self.headers["Authorization"])
        )
        if path.startswith("/api/models/"):
            self._answer_listing(*path.removeprefix("/api/models/").split("/revision/"))
            return
        repo, _, rest = path.strip("/").partition("/resolve/")
        revision, _, file = rest.partition("/")
        refusal = self._ordered_fault() or self._missing_right() or self._gap(repo, revision, file)
        if repo in self.hub.faults.renamed:
            self._redirect(f"/{self.hub.faults.renamed[repo]}/resolve/{rest}")
        elif refusal is not None:
            self._refuse(*refusal)
        else:
            commit = self.hub.revisions.get(revision, revision)
            self._serve(repo, file, commit)

    def _answer_listing(self, repo: str, revision: str) -> None:
        refusal = self._ordered_fault() or self._unknown(repo, revision)
        if repo in self.hub.faults.renamed:
            self._redirect(f"/api/models/{self.hub.faults.renamed[repo]}/revision/{revision}")
        elif refusal is not None:
            self._refuse(*refusal)
        else:
            answer: Any = {
                "id": repo,
                "sha": self.hub.revisions.get(revision, revision),
                "siblings": [
                    self._sibling(repo, file) for known, file in self.hub.files if known == repo
                ],
            }
            change = self.hub.faults.listing
            self._send_json(200, answer if change is None else change(answer))

    def _sibling(self, repo: str, file: str) -> dict[str, Any]:
        content = self.hub.files[repo, file]
        sibling = {"rfilename": file, "size": len(content), "blobId": git_blob_id(content)}
        if self.hub.is_large(repo, file):
            sha256 = hashlib.sha256(content).hexdigest()
            sibling["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 134}
        return sibling

    def _ordered_fault(self) -> tuple[int, str] | None:
        faults = self.hub.faults
        if faults.always_status is not None:
            return faults.always_status, ""
        return (faults.statuses.popleft(), "") if faults.statuses else None

    def _missing_right(self) -> tuple[int, str] | None:
        token, given = self.hub.faults.token, self.headers["Authorization"]
        if token is None or given == f"Bearer {token}":
            return None
        return (401 if given is None else 403), "GatedRepo"

    def _gap(self, repo: str, revision: str, file: str) -> tuple[int, str] | None:
        gap = self._unknown(repo, revision)
        return gap or (None if (repo, file) in self.hub.files else (404, "EntryNotFound"))

    def _unknown(self, repo: str, revision: str) -> tuple[int, str] | None:
        if not any(repo == known for known, _ in self.hub.files):
            return 404, "RepoNotFound"
        known = revision in (*self.hub.revisions, *self.hub.revisions.values())
        return None if known else (404, "RevisionNotFound")

    def _redirect(self, location: str) -> None:
        self.send_response(307)
        self.send_header("Location", location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _refuse(self, status: int, code: str) -> None:
        self._send_json(status, {"error": "refused"}, code)

    def _send_json(self, status: int, value: Any, code: str = "") -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def _serve(self, repo: str, file: str, commit: str) -> None:
        content = self.hub.files[repo, file]
        size, etag = len(content), hashlib.sha256(content).hexdigest()
        asked = self.headers["Range"]
        ranged = asked is not None and not self.hub.faults.ignores_ranges
        start = int(asked.removeprefix("bytes=").rstrip("-")) if ranged else 0
        start += self.hub.faults.shifted_range if ranged else 0
        self.send_response(206 if ranged else 200)
        if not self.hub.faults.without_hub_headers:
            self.send_header("X-Repo-Commit", commit)
        self.send_header("Accept-Ranges", "bytes")
        if self.hub.is_large(repo, file):
            self.send_header("X-Linked-Etag", f'"{etag}"')
            self.send_header("X-Linked-Size", str(size))
        self.send_header("ETag", f'"{etag[:40]}"')
        if ranged:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.send_header("Content-Length", str(size - start + len(self.hub.faults.surplus)))
        self.end_headers()
        if self.command == "GET":
            self._send_body(file, content, start)

    def _send_body(self, file: str, content: bytes, start: int) -> None:
        faults = self.hub.faults
        if faults.corrupt in (True, file):
            content = content[:-1] + bytes([content[-1] ^ 0xFF])
        body = content[start:] + faults.surplus
        if faults.cut_after:
            body = body[: faults.cut_after.popleft()]
        if faults.hold is None or faults.hold.wait(60):
            self.wfile.write(body)
