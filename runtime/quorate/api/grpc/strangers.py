"""Hints for the operator about clients that speak something else than this port does.

gRPC's core tells standard error, and nobody else, of handshakes that fail; of a connection to a
plain port it tells no more than that it has ended. Whether one of those had made no call is found
by comparing the callers with the connections that are left, as channelz knows them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator

from grpc_channelz.v1 import channelz_pb2
from grpc_channelz.v1._servicer import ChannelzServicer

from quorate.api.grpc.transport_lines import ENDED, FAILED

_PAUSE_SECONDS = 600.0
_SETTLE_SECONDS = 0.25
_MOST_CALLERS = 256
_HINTS = {
    "HTTP_REQUEST": "a client spoke HTTP to this port, which speaks gRPC over TLS",
    "WRONG_VERSION_NUMBER": "a client spoke plain text to this port, which wants TLS; clients of "
    "quorate speak it with --tls-ca",
    "UNKNOWN_CA": "a client did not trust the certificate of this port",
    "CERTIFICATE_UNKNOWN": "a client did not trust the certificate of this port",
    "CERTIFICATE_EXPIRED": "a client found the certificate of this port expired",
}
_OTHER = "a client's TLS handshake failed"
_SILENT = (
    "a connection ended without a call: if it was no probe of the port, its client spoke TLS or "
    "HTTP/1, and this port speaks gRPC in plain text"
)

_log = logging.getLogger(__name__)


class Strangers:
    """Turns what the transport says into hints in the log, each at most once in ten minutes.

    Args:
        tls: Whether the port wants TLS.
        connections: The peers that are connected now.
        clock: Seconds that never run backwards.
        later: Calls a function after so many seconds.
    """

    def __init__(
        self,
        tls: bool,
        connections: Callable[[], set[str]],
        clock: Callable[[], float] = time.monotonic,
        later: Callable[[float, Callable[[], None]], object] | None = None,
    ) -> None:
        self._tls = tls
        self._connections = connections
        self._clock = clock
        self._later = later
        self._follows = False
        self._ended = 0
        self._callers: set[str] = set()
        self._told_at: dict[str, float] = {}
        self._untold: dict[str, int] = {}

    def follow(self) -> None:
        """Follows who calls, from now on: somebody hands over what the transport says.

        Of a port with TLS handshakes tell enough; of one that very many call nobody is followed.
        """
        self._follows = not self._tls

    def called(self, peer: str) -> None:
        """Notes who has made a call."""
        if self._follows:
            self._callers.add(peer)
            if len(self._callers) > _MOST_CALLERS:
                self._follows = False
                self._callers.clear()

    def heard(self, line: str) -> None:
        """Takes a line of the transport."""
        if FAILED in line:
            self._hint(next((hint for word, hint in _HINTS.items() if word in line), _OTHER))
        elif ENDED in line and self._follows:
            self._ended += 1
            if self._ended == 1:
                later = self._later or asyncio.get_running_loop().call_later
                # By then it is no longer among the connections, and what ended with it is counted.
                later(_SETTLE_SECONDS, self._settle)

    def _settle(self) -> None:
        if not self._follows:
            return
        left = self._callers - self._connections()
        self._callers -= left
        silent, self._ended = self._ended - len(left), 0
        if silent > 0:
            self._hint(_SILENT)

    def _hint(self, hint: str) -> None:
        now = self._clock()
        before = self._told_at.get(hint)
        if before is not None and now - before < _PAUSE_SECONDS:
            self._untold[hint] = self._untold.get(hint, 0) + 1
            return
        self._told_at[hint] = now
        more = self._untold.pop(hint, 0)
        _log.warning("%s%s", hint, f" ({more} more since the last word of it)" if more else "")


def connected_peers() -> set[str]:
    """The peers of every connection to a server of this process; empty without channelz."""
    return {name.split()[-1] for name in _socket_names()}


def _socket_names() -> Iterator[str]:
    servers = ChannelzServicer.GetServers(channelz_pb2.GetServersRequest(), None)
    for server in servers.server:
        asked = channelz_pb2.GetServerSocketsRequest(server_id=server.ref.server_id)
        while True:
            page = ChannelzServicer.GetServerSockets(asked, None)
            for socket in page.socket_ref:
                yield socket.name
            if page.end or not page.socket_ref:
                break
            asked.start_socket_id = page.socket_ref[-1].socket_id + 1
