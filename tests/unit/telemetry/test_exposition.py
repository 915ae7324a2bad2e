from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from http.client import HTTPException

import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.registry import Collector

from quorate.errors import SettingsError
from quorate.telemetry import exposition
from quorate.telemetry.exposition import exposed
from quorate.telemetry.settings import MetricsSettings
from support.telemetry import scrape

ANYWHERE = MetricsSettings(listen="127.0.0.1:0")


def test_what_is_registered_can_be_scraped() -> None:
    registry = CollectorRegistry()
    Gauge("answer", "An answer.", registry=registry).set(42)
    with exposed(ANYWHERE, registry) as address:
        assert scrape(address) == {"answer": {(): 42.0}}


def test_the_port_is_free_again_afterwards() -> None:
    with exposed(ANYWHERE, CollectorRegistry()) as address:
        pass
    with exposed(MetricsSettings(listen=address), CollectorRegistry()) as again:
        assert again == address


def test_a_port_that_is_taken_is_named() -> None:
    with (
        exposed(ANYWHERE, CollectorRegistry()) as address,
        pytest.raises(SettingsError, match=f"metrics.listen: {address} cannot be listened on"),
        exposed(MetricsSettings(listen=address), CollectorRegistry()),
    ):
        pass


class _Slow(Collector):
    """Answers nobody before it is let go."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self.go = threading.Event()

    def describe(self) -> Iterator[object]:  # type: ignore[override]
        return iter(())

    def collect(self) -> Iterator[object]:  # type: ignore[override]
        self.asked.release()
        assert self.go.wait(60.0)
        return iter(())


def test_connections_beyond_a_few_are_closed_at_once() -> None:
    registry, slow = CollectorRegistry(), _Slow()
    registry.register(slow)
    with exposed(ANYWHERE, registry) as address:
        host, _, port = address.rpartition(":")
        peers = [socket.create_connection((host, int(port)), 60.0) for _ in range(8)]
        try:
            for peer in peers:
                peer.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
                assert slow.asked.acquire(timeout=60.0)
            with socket.create_connection((host, int(port)), 60.0) as ninth:
                assert ninth.recv(1) == b""
            slow.go.set()
            for peer in peers:
                assert peer.recv(12) == b"HTTP/1.0 200"
        finally:
            slow.go.set()
            for peer in peers:
                peer.close()


def test_who_sends_little_by_little_keeps_nobody_out_for_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exposition, "_LONGEST_SECONDS", 0.0)
    with exposed(ANYWHERE, CollectorRegistry()) as address, ExitStack() as stack:
        host, _, port = address.rpartition(":")
        peers = [
            stack.enter_context(socket.create_connection((host, int(port)), 60.0)) for _ in range(9)
        ]
        for peer in peers:
            with suppress(ConnectionError):
                assert peer.recv(1) == b""
        # The places are free a moment after the connections are closed.
        found = None
        while found is None:
            with suppress(OSError, HTTPException):
                found = scrape(address)
        assert found == {}


def test_scrapes_for_which_no_thread_could_be_started_hold_no_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with exposed(ANYWHERE, CollectorRegistry()) as address:
        host, _, port = address.rpartition(":")
        with monkeypatch.context() as without:
            without.setattr(threading.Thread, "start", _refuse)
            for _ in range(9):
                with socket.create_connection((host, int(port)), 60.0) as peer:
                    assert peer.recv(1) == b""
        assert scrape(address) == {}


def _refuse(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")
