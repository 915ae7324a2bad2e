"""The programs under ``clients/``, and a server for them that asks for TLS and a key."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.certificates import certificate_files
from support.command_line import Serving, listening
from support.repository import ROOT

DEADLINE_SECONDS = 60.0
CLIENTS = ROOT / "clients"
PROGRAMS: dict[str, tuple[str, ...]] = {
    "node": ("node", str(CLIENTS / "node" / "main.js")),
    "cpp": (str(CLIENTS / "cpp" / "build" / "quorate-client"),),
    "go": (str(CLIENTS / "go" / "build" / "quorate-client"),),
}
BUILT = {
    "node": CLIENTS / "node" / "node_modules",
    "cpp": Path(PROGRAMS["cpp"][0]),
    "go": Path(PROGRAMS["go"][0]),
}
TOKENS = {name: f"token-of-{name}-84c2" for name in ("reader", "pauper")}
TEXT = "grüße from all"
LONG = "and so on " * 200

_ADDRESS = "IP:127.0.0.1"
_HEAD = """
[server]
listen = "127.0.0.1:0"
tls_certificate = "{folder}/server/certificate.pem"
tls_key = "{folder}/server/key.pem"
default_profile = "pair"

[routing]
probe = false
exploration = 0.0

[energy]
source = "estimate"
tdp_watts = 10.0
idle_watts = 1.0

[budgets.keys.pauper]
joules_per_hour = 0.000001

[profiles.pair]
members = ["alpha", "beta"]
"""


@dataclass(frozen=True)
class Answered:
    """What a client printed, and how it ended."""

    code: int
    text: str
    told: list[str]

    @property
    def facts(self) -> dict[str, str]:
        """What an error says in its further lines."""
        return dict(line.strip().split(": ", 1) for line in self.told[1:])


@dataclass(frozen=True)
class Guarded:
    """A server with TLS and keys, its certificates, and one that did not sign anything of it."""

    server: Serving
    ca: Path
    other_ca: Path

    def environment(self, token: str | None, ca: Path | None) -> dict[str, str]:
        """What tells a client whom to ask, whom to trust and who it is, and nothing else."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        given = {"QUORATE_TOKEN": token, "QUORATE_TLS_CA": str(ca) if ca else None}
        told = {name: value for name, value in given.items() if value}
        # By name, as users do: TLS names the host that is asked for, which is never an address.
        target = self.server.address.replace("127.0.0.1", "localhost")
        return {**kept, **told, "QUORATE_TARGET": target}


Ask = Callable[..., Answered]
Begin = Callable[..., "subprocess.Popen[str]"]


@contextmanager
def guarded_server(folder: Path) -> Iterator[Guarded]:
    """``quorate serve`` with TLS, keys and scripted models that are all ready."""
    ca, _ = certificate_files(folder / "server", also=_ADDRESS)
    other_ca, _ = certificate_files(folder / "other", also=_ADDRESS)
    (folder / "served.toml").write_text(_configuration(folder), encoding="utf-8")
    with listening(folder, "serve", "--config", "served.toml") as server:
        _wait_for_models(server, 3 + len(PROGRAMS))
        yield Guarded(server, ca, other_ca)


def ended(process: subprocess.Popen[str]) -> Answered:
    """Waits for the end of a client; tells what it printed that was not read yet."""
    text, told = process.communicate(timeout=DEADLINE_SECONDS)
    return Answered(process.returncode, text, told.splitlines())


def _configuration(folder: Path) -> str:
    parts = [_HEAD.format(folder=folder)]
    for name, token in TOKENS.items():
        digest = hashlib.sha256(token.encode()).hexdigest()
        parts.append(f'[keys.{name}]\nsha256 = "{digest}"\n')
    parts += [
        _model("alpha", say=TEXT, seed=1),
        _model("beta", say=TEXT, seed=2, confidence=0.6),
        _model("slow", say=LONG, step_delay_ms=40, sessions=1, context_length=4096),
        _model("asleep", load=False),
    ]
    # One for each client, since it dies of being asked.
    for language in PROGRAMS:
        parts.append(_model(f"fragile-{language}", say=LONG, crash_after_steps=20))
        parts.append(
            f'[profiles.fragile-{language}]\nmembers = ["fragile-{language}"]\n'
            'on_failure = "fail"\n'
        )
    return "\n".join(parts)


def _model(model: str, load: bool = True, **options: str | int | float) -> str:
    inline = ", ".join(f"{name} = {json.dumps(value)}" for name, value in options.items())
    return (
        f'[[models]]\nid = "{model}"\nengine = "scripted"\nload = {json.dumps(load)}\n'
        f"required = false\noptions = {{ {inline} }}\n"
    )


def _wait_for_models(server: Serving, wanted: int) -> None:
    output = server.process.stdout
    assert output is not None
    ready = 0
    while ready < wanted:
        line = output.readline()
        assert line, server.process.communicate()[1]
        ready += json.loads(line).get("state") == "ready"
