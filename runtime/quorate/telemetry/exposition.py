"""The HTTP port that metrics are scraped from."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

from quorate.errors import SettingsError
from quorate.options import split_address
from quorate.telemetry.settings import MetricsSettings

_MOST_SCRAPES = 8
_PEER_SECONDS = 5.0
# More than any scrape takes: whoever takes longer sends or reads little by little.
_LONGEST_SECONDS = 10.0
_SHORTAGE_SECONDS = 0.1

_log = logging.getLogger(__name__)


class _Handler(WSGIRequestHandler):
    """Waits for a peer for a while only, and keeps its lines out of the log."""

    timeout = _PEER_SECONDS

    def log_message(self, format: str, *args: Any) -> None:
        _log.debug(format, *args)


class _Server(ThreadingMixIn, WSGIServer):
    """One thread for each scrape, and few of them: connections beyond are closed at once.

    With them those are closed that have been there for too long, so that nobody keeps the others
    out for good.
    """

    daemon_threads = True

    def __init__(self, address: tuple[str, int], family: socket.AddressFamily) -> None:
        self.address_family = family
        self._places = threading.BoundedSemaphore(_MOST_SCRAPES)
        self._open: dict[Any, float] = {}
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # The base class asks the name service for the host's name, which may wait for long.
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def get_request(self) -> tuple[Any, Any]:
        try:
            return super().get_request()
        except OSError:
            # Who connected stays at the door, where descriptors have run out, and would be looked
            # at again at once.
            time.sleep(_SHORTAGE_SECONDS)
            raise

    def verify_request(self, request: Any, client_address: Any) -> bool:
        if self._places.acquire(blocking=False):
            self._open[request] = time.monotonic()
            return True
        self._close_slow()
        return False

    def process_request(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request(request, client_address)
        except RuntimeError:
            # No thread can be started for it.
            self._leave(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._leave(request)

    def _leave(self, request: Any) -> None:
        del self._open[request]
        self._places.release()

    def _close_slow(self) -> None:
        now = time.monotonic()
        for request, since in list(self._open.items()):
            if now - since >= _LONGEST_SECONDS:
                with suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        _log.debug("a scrape failed", exc_info=True)


@contextmanager
def exposed(settings: MetricsSettings, registry: CollectorRegistry) -> Iterator[str]:
    """Serves ``/metrics`` on a thread for as long as the context lasts; yields ``HOST:PORT``.

    Raises:
        SettingsError: The address cannot be listened on.
    """
    host, port = split_address(settings.listen, "metrics.listen")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, *_, address = found[0]
        server = _Server((str(address[0]), int(address[1])), family)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SettingsError(
            f"metrics.listen: {settings.listen} cannot be listened on: {reason}"
        ) from error
    server.set_app(make_wsgi_app(registry))
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield f"{settings.listen.rpartition(':')[0]}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
