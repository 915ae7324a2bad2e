from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from quorate.api.grpc.strangers import Strangers
from quorate.api.grpc.transport_lines import is_of_transport

FAILED = "I1 ssl.cc:1] Handshake failed with error SSL_ERROR_SSL: error:1:OPENSSL_internal:{}: x\n"
ENDED = "I1 server.cc:1865] Disconnected client\n"


class Port:
    """A port with connections and a clock of the test's own."""

    def __init__(self, tls: bool) -> None:
        self.connected: set[str] = set()
        self.now = 0.0
        self._due: list[Callable[[], None]] = []
        self.strangers = Strangers(
            tls, lambda: self.connected, lambda: self.now, lambda _, call: self._due.append(call)
        )
        self.strangers.follow()

    def hear(self, *lines: str) -> None:
        """Lines that come at one moment."""
        for line in lines:
            assert is_of_transport(line)
            self.strangers.heard(line)
        due, self._due = self._due, []
        for call in due:
            call()


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("HTTP_REQUEST", "spoke HTTP to this port"),
        ("WRONG_VERSION_NUMBER", "spoke plain text to this port"),
        ("TLSV1_ALERT_UNKNOWN_CA", "did not trust the certificate"),
        ("NEW_WORD", "a client's TLS handshake failed"),
    ],
)
def test_a_failed_handshake_is_told_in_words_of_its_own(
    caplog: pytest.LogCaptureFixture, word: str, told: str
) -> None:
    Port(tls=True).hear(FAILED.format(word))
    [message] = caplog.messages
    assert told in message


def test_a_hint_comes_once_in_ten_minutes_with_the_number_of_those_between(
    caplog: pytest.LogCaptureFixture,
) -> None:
    port = Port(tls=True)
    port.hear(*[FAILED.format("HTTP_REQUEST")] * 1000)
    port.now = 599.0
    port.hear(FAILED.format("HTTP_REQUEST"))
    assert len(caplog.messages) == 1
    port.now = 600.0
    port.hear(FAILED.format("HTTP_REQUEST"))
    assert len(caplog.messages) == 2
    assert caplog.messages[1].endswith("(1000 more since the last word of it)")


def test_only_a_connection_that_ended_without_a_call_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    port = Port(tls=False)
    for peer in ("a", "b", "c"):
        port.connected.add(peer)
        port.strangers.called(peer)
    port.connected = {"c"}
    port.hear(ENDED, ENDED)
    port.strangers.called("c")
    port.connected = set()
    port.hear(ENDED)
    assert caplog.messages == []
    port.hear(ENDED)
    [message] = caplog.messages
    assert message.startswith("a connection ended without a call")


def test_a_port_that_very_many_call_keeps_none_of_them(caplog: pytest.LogCaptureFixture) -> None:
    port = Port(tls=False)
    for number in range(10_000):
        port.strangers.called(f"ipv4:10.0.0.1:{number}")
    port.hear(ENDED)
    assert caplog.messages == []


def test_a_port_with_tls_knows_of_no_silent_connection(caplog: pytest.LogCaptureFixture) -> None:
    Port(tls=True).hear(ENDED)
    assert caplog.messages == []
