"""TLS and HTTP/1 at a plain port, plain text and HTTP/1 at one with TLS: what the log says."""

from __future__ import annotations

import json
import socket
import ssl
from pathlib import Path

import pytest

from support.certificates import certificate_files
from support.command_line import listening, quorate

CONFIG = """
[server]
listen = "127.0.0.1:0"
{server}

[[models]]
id = "alpha"
engine = "scripted"
"""
HTTP = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


def speak(port: int, data: bytes) -> None:
    """Sends some bytes and waits for the end of the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(data)
        while connection.recv(4096):
            pass


def speak_tls(port: int) -> None:
    context = ssl.create_default_context()
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30) as connection,
        pytest.raises(ssl.SSLError),
    ):
        context.wrap_socket(connection, server_hostname="localhost")


def test_tls_and_http_to_a_plain_port_get_a_hint_and_callers_do_not(tmp_path: Path) -> None:
    (tmp_path / "q.toml").write_text(CONFIG.format(server=""))
    with listening(tmp_path, "serve", "--config", "q.toml", "--log-format", "json") as server:
        port = int(server.address.rpartition(":")[2])
        assert server.asked(tmp_path, "ps").returncode == 0
        speak(port, HTTP)
        told = ""
        while "ended without a call" not in told:
            line = server.process.stderr.readline()
            assert line
            event = json.loads(line)
            told = event.get("message", "")
            # The caller before has ended without one.
            assert event.get("method", "") or told
        speak_tls(port)
        server.process.terminate()
        rest = server.process.communicate(timeout=60)[1]
    assert "TLS or HTTP/1" in told
    # The second within ten minutes is counted and not told, and nothing else comes through.
    assert all(json.loads(line)["logger"].startswith("quorate.") for line in rest.splitlines())
    assert "ended without a call" not in rest


def test_plain_text_and_http_to_a_port_with_tls_get_a_hint(tmp_path: Path) -> None:
    certificate, key = certificate_files(tmp_path / "tls")
    paths = f'tls_certificate = "{certificate}"\ntls_key = "{key}"'
    (tmp_path / "q.toml").write_text(CONFIG.format(server=paths))
    with listening(tmp_path, "serve", "--config", "q.toml") as server:
        port = int(server.address.rpartition(":")[2])
        speak(port, HTTP)
        wrong = quorate(tmp_path, "ps", "--target", server.address)
        other, _ = certificate_files(tmp_path / "other")
        astray = quorate(tmp_path, "ps", "--target", f"localhost:{port}", "--tls-ca", str(other))
        lines: list[str] = []
        for words in ("spoke HTTP to this port", "spoke plain text to this port"):
            while not lines or words not in lines[-1]:
                lines.append(server.process.stderr.readline())
                assert lines[-1], lines
    assert any("expires in 1 days" in line or "expires in 2 days" in line for line in lines)
    assert not any("ssl_transport_security" in line for line in lines)
    assert "it speaks TLS; give its certificates" in wrong.stderr
    assert astray.stderr.startswith("quorate: the certificate of localhost")
    assert astray.stderr.count("\n") == 1
