"""With the network cut off nothing changes, and nothing even tries to use it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from support.command_line import environment
from support.offline import NO_NAME, NOWHERE, Offline, foreign, problem, run_offline

TESTS = Path(__file__).parents[1]
SAY = "yes indeed"
MODEL = f"""
[server]
listen = "127.0.0.1:0"
[[models]]
id = "a"
engine = "scripted"
options = {{ say = "{SAY}" }}
"""
REMOTE = """
[remotes.far]
base_url = "https://{host}/v1"
model = "big"
input_usd_per_mtok = 1.0
output_usd_per_mtok = 1.0
max_retries = 0
"""
LOCAL_ONLY = "[routing]\nlocal_only = true\n"

# Serves the configuration, asks it three times, and prints the answers. The first request teaches
# what the model takes; the next ones allow less time than that, one of them nothing but this
# machine.
SERVE_AND_ASK = """
import asyncio, sys
from pathlib import Path
from quorate.client import Client
from support.command_line import quorate, serving

async def ask(address):
    async with Client(address) as client:
        for options in ({}, {"latency_ms": 0.001}, {"latency_ms": 0.001, "local_only": True}):
            print(await client.complete(messages=[("user", "x")], temperature=0.0, **options))

home = Path(sys.argv[1])
with serving(home, (home / "quorate.toml").read_text()) as server:
    asyncio.run(ask(server.address))
    done = quorate(home, "generate", "x", "--temperature", "0", "--target", server.address)
    print(done.stdout)
    assert done.returncode == 0, done.stderr
"""


@pytest.fixture
def namespaces() -> None:
    why = problem()
    if why is not None:
        pytest.skip(why)


def served(home: Path, configuration: str) -> Offline:
    """Serves a configuration and asks it, in a namespace without a network."""
    (home / "quorate.toml").write_text(configuration)
    command = [sys.executable, "-c", SERVE_AND_ASK, str(home)]
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    return run_offline(command, cwd=home, environment=environment(home, PYTHONPATH=path))


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize(
    "configuration",
    [
        MODEL,
        pytest.param(MODEL + LOCAL_ONLY, marks=pytest.mark.slow),
        pytest.param(MODEL + LOCAL_ONLY + REMOTE.format(host=NOWHERE), marks=pytest.mark.slow),
        MODEL + LOCAL_ONLY + REMOTE.format(host=NO_NAME),
    ],
    ids=["default", "local only", "local only with a remote", "local only with a named remote"],
)
def test_a_service_answers_and_tries_nothing_beyond_this_machine(
    tmp_path: Path, configuration: str
) -> None:
    offline = served(tmp_path, configuration)
    assert offline.exit_code == 0, offline.output
    assert offline.output.count(SAY) == 4
    assert offline.can_fail
    assert offline.unrouted == 0
    assert not offline.connected


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("host", [pytest.param(NOWHERE, marks=pytest.mark.slow), NO_NAME])
def test_the_proof_fails_where_a_remote_is_asked(tmp_path: Path, host: str) -> None:
    offline = served(tmp_path, MODEL + REMOTE.format(host=host))
    assert offline.exit_code == 0, offline.output
    # The remote cannot be reached, so that this machine answers after all.
    assert offline.output.count(SAY) == 4
    assert offline.unrouted > 0
    assert not offline.stayed
    if offline.connected is not None:
        assert set(offline.connected) == ({NOWHERE} if host == NOWHERE else {"192.0.2.53"})


def test_addresses_of_others_are_told_from_those_of_this_machine() -> None:
    trace = """
1 connect(3, {sa_family=AF_UNIX, sun_path="/run/nscd/socket"}, 110) = -1 ENOENT
1 connect(3, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("10.0.0.1")}, 16) = 0
2 connect(4, {sa_family=AF_INET, sin_port=htons(1), sin_addr=inet_addr("127.0.0.1")}, 16) = 0
3 connect(5, {sa_family=AF_INET6, sin6_port=htons(1), sin6_flowinfo=htonl(0), \
inet_pton(AF_INET6, "::1", &sin6_addr), sin6_scope_id=0}, 28 <unfinished ...>
3 connect(5, {sa_family=AF_INET6, sin6_port=htons(1), sin6_flowinfo=htonl(0), \
inet_pton(AF_INET6, "2001:db8::1", &sin6_addr), sin6_scope_id=0}, 28) = -1 ENETUNREACH
"""
    assert foreign(trace) == ("10.0.0.1", "2001:db8::1")


def test_a_machine_without_namespaces_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    why = problem()
    assert why is not None
    assert "\n" not in why
    assert "unshare" in why
