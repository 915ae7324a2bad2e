"""The server that is attacked: ``quorate serve`` over scripted models, in a folder of its own."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import grpc

from quorate.v1 import models_pb2, models_pb2_grpc

ATTACKER, NEIGHBOUR = "attackers-token", "neighbours-token"

_START_SECONDS = 60.0
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_CONFIG = """
[server]
listen = "{listen}"

[keys.attacker]
sha256 = "{attacker}"
rights = ["generate", "models", "accounting"]

[keys.neighbour]
sha256 = "{neighbour}"

[[models]]
id = "alpha"
engine = "scripted"
options = {{ say = "yes indeed", seed = 1, context_length = 4096, sessions = 64 }}

[[models]]
id = "beta"
engine = "scripted"
options = {{ say = "yet another", seed = 2, confidence = 0.5, sessions = 64 }}
{more}
"""


class DidNotStart(Exception):
    """The server ended, or was not ready in time; the text is one line."""


@dataclass(frozen=True, slots=True)
class AttackedServer:
    """A server that runs.

    Attributes:
        folder: Where its configuration and its home lie.
    """

    process: subprocess.Popen[bytes]
    address: str
    folder: Path

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def resident_bytes(self) -> int:
        """Resident memory of the coordinator, without its workers; 0 where it is gone."""
        try:
            pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        except OSError:
            return 0
        return int(pages) * _PAGE_BYTES

    def descriptors(self) -> int:
        """How many descriptors the coordinator has open."""
        try:
            return len(os.listdir(f"/proc/{self.process.pid}/fd"))
        except OSError:
            return 0


@contextmanager
def attacked_server(
    folder: Path, tree: Path, config: str = "", log_is_read: bool = True
) -> Iterator[AttackedServer]:
    """Serves the code of a checkout until the block ends.

    Args:
        folder: An empty one for all that it writes.
        tree: The checkout.
        config: TOML that is added to its configuration.
        log_is_read: Whether anybody reads what it prints; else its pipes fill up.

    Raises:
        DidNotStart: It ended, or its models were not ready in time.
    """
    address = f"127.0.0.1:{_free_port()}"
    file = folder / "quorate.toml"
    file.write_text(
        _CONFIG.format(
            listen=address, attacker=_hash(ATTACKER), neighbour=_hash(NEIGHBOUR), more=config
        )
    )
    process = _start(folder, tree, file)
    pipes = (process.stdout, "stdout"), (process.stderr, "stderr")
    readers = [
        threading.Thread(target=_copy, args=(pipe, folder / name), daemon=True)
        for pipe, name in pipes
    ]
    try:
        if log_is_read:
            for reader in readers:
                reader.start()
        server = AttackedServer(process, address, folder)
        _wait_until_ready(server)
        yield server
    finally:
        _end(process)
        for reader, (pipe, _) in zip(readers, pipes, strict=True):
            if log_is_read:
                reader.join()
            assert pipe is not None
            pipe.close()


def _start(folder: Path, tree: Path, file: Path) -> subprocess.Popen[bytes]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("QUORATE_")}
    environment |= {
        "QUORATE_HOME": str(folder / "home"),
        "PYTHONPATH": f"{tree / 'runtime'}:{tree / 'model_registry'}",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "quorate", "serve", "--config", str(file)],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _copy(stream: IO[bytes], path: Path) -> None:
    with path.open("wb") as file:
        while data := os.read(stream.fileno(), 1 << 16):
            file.write(data)
            file.flush()


def _wait_until_ready(server: AttackedServer) -> None:
    deadline = time.monotonic() + _START_SECONDS
    metadata = (("authorization", f"Bearer {NEIGHBOUR}"),)
    while time.monotonic() < deadline and server.alive:
        with grpc.insecure_channel(server.address, [("grpc.enable_http_proxy", 0)]) as channel:
            stub = models_pb2_grpc.ModelServiceStub(channel)  # type: ignore[no-untyped-call]
            with suppress(grpc.RpcError):
                request = models_pb2.ListModelsRequest()
                answer = stub.ListModels(request, timeout=5.0, metadata=metadata)
                if all(one.state == models_pb2.MODEL_STATE_READY for one in answer.models):
                    return
        time.sleep(0.1)
    log = server.folder / "stderr"
    lines = log.read_text(errors="replace").strip().splitlines() if log.is_file() else []
    raise DidNotStart(lines[-1] if lines else "the server did not get ready")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends it without draining; its workers die with it."""
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
    process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
