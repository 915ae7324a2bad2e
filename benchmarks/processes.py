"""The two sides of a comparison, each in processes of its own: a real server and a bare loop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def configuration(*models: str) -> str:
    """A configuration that serves these models on a free port.

    It asks them nothing by itself: what a server measures once it is idle would run beside another.
    """
    head = '[server]\nlisten = "127.0.0.1:0"\n[routing]\nprobe = false'
    return "\n".join([head, *models])


def model_table(name: str, path: Path, cores: int, engine: str, /, **options: int) -> str:
    """The table of one model in a configuration, with the options of its engine."""
    written = ", ".join(f"{key} = {value}" for key, value in options.items())
    return (
        f'[[models]]\nid = "{name}"\nmodel = "{path}"\nengine = "{engine}"\n'
        f"cores = {cores}\noptions = {{ {written} }}"
    )


@dataclass(frozen=True)
class Served:
    """A server that listens and has loaded its models.

    Attributes:
        http: Where it listens for HTTP, or "".
    """

    address: str
    pid: int
    http: str = ""


@contextmanager
def server(config: str, cores: Sequence[int], models: int) -> Iterator[Served]:
    """Runs ``quorate serve`` on some cores, until its models are ready.

    Ledger and costs are kept in a folder of its own, so that a run knows nothing of earlier ones.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "quorate.toml"
        path.write_text(config)
        command = [sys.executable, "-m", "quorate", "serve", "--config", str(path), "--json"]
        with subprocess.Popen(
            ["taskset", "-c", ",".join(map(str, cores)), *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "QUORATE_HOME": folder},
        ) as process:
            try:
                yield _wait_ready(process, models)
            finally:
                process.terminate()


def _wait_ready(process: subprocess.Popen[str], models: int) -> Served:
    address, http, ready = "", "", set()
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "listening":
            address, http = event["address"], event.get("http", "")
        elif event["event"] == "model" and event["state"] == "ready":
            ready.add(event["id"])
        elif event["event"] == "model" and event["state"] == "failed":
            raise RuntimeError(f"{event['id']} cannot be served: {event.get('message')}")
        if address and len(ready) == models:
            return Served(address, process.pid, http)
    raise RuntimeError("the server ended before its models were ready")


class Commanded:
    """A program of this folder that takes commands, see ``bare_commands``.

    Args:
        program: Its file.
        arguments: What it is started with.
        environment: Variables beside this process's own.
    """

    def __init__(
        self, program: str, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / program), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        self._answer()

    def ask(self, **command: object) -> Any:
        """Has it do something; what it answers."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """Ends the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(10)

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


class Bare(Commanded):
    """A bare loop that decodes: llama.cpp's, or vLLM's own generation.

    Args:
        path: The model.
        cores: Cores it runs on.
        prompt: What every stream begins with.
        streams: Most streams at once.
        program: ``bare_llama.py`` or ``bare_vllm.py``.
        environment: Variables beside this process's own.
    """

    def __init__(
        self,
        path: Path,
        cores: Sequence[int],
        prompt: str,
        streams: int,
        program: str = "bare_llama.py",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            program,
            str(path),
            "--cores",
            ",".join(map(str, cores)),
            "--streams",
            str(streams),
            "--prompt",
            prompt,
            environment=environment,
        )

    def run(self, streams: int, tokens: int) -> Any:
        """Decodes; see the program."""
        return self.ask(streams=streams, tokens=tokens)


def children(pid: int) -> list[int]:
    """Ids of the direct children of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def resident_bytes(pid: int) -> int:
    """Resident memory of a process (RSS) in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
