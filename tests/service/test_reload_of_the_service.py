"""SIGHUP: what of the configuration changes while the server runs, and what a faulty file does."""

from __future__ import annotations

import json
import signal
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.certificates import certificate_files
from support.command_line import DEADLINE_SECONDS, Serving, listening, quorate, started

CONFIG = """
[server]
listen = "127.0.0.1:0"
default_profile = "first"
{server}

[[models]]
id = "alpha"
engine = "scripted"
options = {{ say = "{say}", step_delay_ms = 20 }}

[profiles.first]
members = ["alpha"]
{more}
[routing]
probe = false
"""
SECOND = '[profiles.second]\nmembers = ["alpha"]\n'
KEY = f'[keys.op]\nsha256 = "{"0" * 64}"\n'
BUDGET = "[budgets]\nusd_per_day = 1.0\n"


def config(server: str = "", more: str = "", say: str = "fine") -> str:
    return CONFIG.format(server=server, more=more, say=say)


@contextmanager
def served(home: Path, text: str) -> Iterator[tuple[Serving, Path]]:
    """A server that is ready, and its file."""
    file = home / "served.toml"
    file.write_text(text)
    with listening(home, "serve", "--config", "served.toml") as server:
        while json.loads(server.process.stdout.readline()).get("event") != "ready":
            pass
        yield server, file


def reloaded(server: Serving, until: str) -> list[str]:
    """Sends SIGHUP; returns the lines of the log up to the one with these words."""
    server.process.send_signal(signal.SIGHUP)
    lines: list[str] = []
    while not lines or until not in lines[-1]:
        lines.append(server.process.stderr.readline())
        assert lines[-1], lines
    return lines


def events(done: subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_profiles_budgets_keys_and_log_level_change_and_a_stream_goes_on(tmp_path: Path) -> None:
    with served(tmp_path, config()) as (server, file):
        ask = ("generate", "x", "--raw", "--max-tokens", "60", "--json", "--model", "alpha")
        with started(tmp_path, *ask, "--target", server.address) as stream:
            assert '"accepted"' in stream.stdout.readline()
            file.write_text(config(more=SECOND + BUDGET))
            told = reloaded(server, "was read anew")[-1]
            out, _ = stream.communicate(timeout=DEADLINE_SECONDS)
        status = events(server.asked(tmp_path, "status", "--json"))
        file.write_text(config(server='log_level = "warning"', more=SECOND + KEY))
        server.process.send_signal(signal.SIGHUP)
        while (refused := server.asked(tmp_path, "ps")).returncode == 0:
            pass
    assert "the configuration was read anew: profiles, budgets" in told
    assert (stream.returncode, json.loads(out.splitlines()[-1])["event"]) == (0, "finished")
    names = [one["name"] for one in status if one["event"] == "profile"]
    assert names == ["first", "second"]
    assert [one["limit"] for one in status if one["event"] == "budget"] == [1.0]
    assert "this server wants a token" in refused.stderr


def test_a_faulty_file_keeps_the_old_settings_and_is_told_with_its_place(tmp_path: Path) -> None:
    with served(tmp_path, config()) as (server, file):
        for broken, place in (
            ("[server\n", "served.toml: is not TOML"),
            (config(more="[profiles.second]\nmembers = ['alfa']\n"), "profiles.second.members[0]"),
            (config(more=KEY.replace("sha256", "token_env")), "keys.op.token_env"),
            (config(server='tls_certificate = "a"\ntls_key = "b"'), "server.tls_certificate"),
        ):
            file.write_text(broken)
            told = reloaded(server, "was not read anew")[-1]
            assert "the old one stays" in told
            assert place in told
        profiles = events(server.asked(tmp_path, "status", "--json"))
    assert [one["name"] for one in profiles if one["event"] == "profile"] == ["first"]


def test_what_cannot_change_is_named_in_one_line_and_stays(tmp_path: Path) -> None:
    with served(tmp_path, config()) as (server, file):
        file.write_text(
            config(server="max_running = 3", say="other", more="[energy]\nwindow_seconds = 2.0\n")
        )
        told = reloaded(server, "take effect at the next start")[-1]
        again = reloaded(server, "take effect at the next start")[-1]
        status = events(server.asked(tmp_path, "status", "--json"))[0]
    assert told.strip().endswith("at the next start: server.max_running, models, energy")
    assert again.partition(": ")[2] == told.partition(": ")[2]
    assert status["max_running"] == 64


def test_a_renewed_certificate_is_shown_to_new_connections(tmp_path: Path) -> None:
    certificate, key = certificate_files(tmp_path / "tls")
    paths = f'tls_certificate = "{certificate}"\ntls_key = "{key}"'
    http = f'[http]\nlisten = "127.0.0.1:0"\n{paths}\n'
    with served(tmp_path, config(server=paths, more=http)) as (server, _):
        port = int(server.address.rpartition(":")[2])
        line = next(line for line in iter(server.process.stderr.readline, "") if "for HTTP" in line)
        http_port = int(line.partition("127.0.0.1:")[2].partition(" ")[0])
        first = ssl.get_server_certificate(("127.0.0.1", port))
        before = ssl.get_server_certificate(("127.0.0.1", http_port))
        certificate_files(tmp_path / "tls")
        told = reloaded(server, "was read anew")[-1]
        second = ssl.get_server_certificate(("127.0.0.1", port))
        after = ssl.get_server_certificate(("127.0.0.1", http_port))
        trusted = ("--target", f"localhost:{port}", "--tls-ca", str(certificate))
        done = quorate(tmp_path, "ps", *trusted)
    assert f"certificate {certificate}" in told
    assert first != second
    assert second.split() == certificate.read_text().split()
    assert (before, after) == (first, second)
    assert done.returncode == 0, done.stderr


def test_without_a_file_there_is_nothing_to_read_anew(tmp_path: Path) -> None:
    model = tmp_path / "m.gguf"
    from support.tiny_gguf import tiny_model

    tiny_model(model)
    with listening(tmp_path, "serve", "--model", str(model), "--listen", "127.0.0.1:0") as server:
        told = reloaded(server, "SIGHUP")[-1]
        assert server.process.poll() is None
    assert "there is no configuration file" in told
