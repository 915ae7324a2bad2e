"""What worker processes inherit and may do: of real processes, as the kernel tells it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from quorate.engines.confinement import landlock, system_calls
from quorate.engines.confinement.environment import inherited, is_inherited, worker_environment
from quorate.engines.confinement.plan import Isolation
from quorate.engines.spec import EngineSpec
from quorate.engines.worker.statuses import WorkerPhase
from quorate.request import TextPrompt
from support.hosted_engines import family, hosted, ready, scripted_spec, until
from support.tiny_gguf import tiny_model
from support.whole_service import gguf, scripted, whole_service

SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "sesame-aws",
    "OPENAI_API_KEY": "sesame-openai",
    "HF_TOKEN": "sesame-hub",
    "VLLM_API_KEY": "sesame-vllm",
    "NVIDIA_API_KEY": "sesame-nim",
    "LLAMA_API_KEY": "sesame-llama",
    "CUDA_LAB": "sesame-remote",
    "GGML_DOOR": "sesame-caller",
    "OMP_COPY": "sesame-remote",
    "DATABASE_URL": "postgres://user:sesame-database@host/",
    "QUORATE_TOKEN": "sesame-own",
}

# Tries what a worker has no business with, and says what came of it as the reason of its refusal.
PROBE = """
import json, os, signal, socket, sys
from pathlib import Path
from quorate.engines.scripted import model
from quorate.errors import ModelUnusable

parent, folder, port = {parent}, Path({folder!r}), {port}

def tried(what):
    try:
        what()
    except OSError as error:
        return type(error).__name__
    return "done"

def connect():
    socket.create_connection(("127.0.0.1", port)).close()

def write_elsewhere():
    (folder / "written").write_text("x")

def load(*_):
    raise ModelUnusable("probe", json.dumps({{
        "reads the neighbour": tried((folder / "secret").read_text),
        "lists the folder": tried(lambda: os.listdir(folder)),
        "reads /etc": tried(Path("/etc/hostname").read_text),
        "writes": tried(write_elsewhere),
        "connects": tried(connect),
        "sends datagrams": tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()),
        "reads the environment of its parent": tried(Path(f"/proc/{{parent}}/environ").read_bytes),
        "signals its parent": tried(lambda: os.kill(parent, 0)),
        "reads its libraries": tried(Path(json.__file__).read_bytes),
        "signals itself": tried(lambda: os.kill(os.getpid(), 0)),
        "talks to itself": tried(lambda: [end.close() for end in socket.socketpair()]),
    }}))

model.load = load
from quorate.engines.worker.worker import main
sys.exit(main())
"""
FREE = dict.fromkeys(
    (
        "reads the neighbour",
        "lists the folder",
        "reads /etc",
        "writes",
        "connects",
        "sends datagrams",
        "reads the environment of its parent",
        "signals its parent",
        "reads its libraries",
        "signals itself",
        "talks to itself",
    ),
    "done",
)
OWN = ("reads its libraries", "signals itself", "talks to itself")

kernel_has_all = pytest.mark.skipif(
    landlock.version() < landlock.SIGNALS_VERSION or not system_calls.is_known(),
    reason="this kernel lacks Landlock 6, or this architecture a filter of system calls",
)


def environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def of_the_kernel(pid: int, name: str) -> str:
    """A line of a process's status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith(f"{name}:"))


def limit_of(pid: int, name: str) -> str:
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return next(line[26:].split()[0] for line in lines if line.startswith(name))


async def test_no_process_of_a_server_inherits_a_secret(tmp_path: Path, monkeypatch):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GGML_HARMLESS", "open")
    models = (
        scripted("toy"),
        gguf("tiny", tiny_model(tmp_path / "tiny.gguf"), context_length=64, sessions=1),
    )
    sections: dict[str, Any] = {
        "remotes": {
            "r": {"base_url": "http://127.0.0.1:9", "model": "m", "api_key_env": "CUDA_LAB"}
        },
        "keys": {"k": {"token_env": "GGML_DOOR"}},
        "ledger": {"path": "off"},
    }
    token = SECRETS["GGML_DOOR"]
    async with whole_service(tmp_path, *models, sections=sections, token=token):
        processes = family(os.getpid()) - {os.getpid()}
        environments = [environment_of(pid) for pid in processes]

    assert len(environments) == 3
    assert [each for each in environments if b"sesame" in each] == []
    assert all(b"GGML_HARMLESS=open" in each for each in environments)


async def test_processes_carry_the_name_of_their_model_and_die_before_the_server(tmp_path: Path):
    path = str(tiny_model(tmp_path / "tiny.gguf"))
    spec = EngineSpec("tiny-model", "llama_cpp", path, {"context_length": 64, "sessions": 1})
    async with ready(spec) as engine:
        worker, encoder = engine.worker_pid, engine.encoder_pid
        assert worker is not None
        assert encoder is not None
        commands = [Path(f"/proc/{pid}/cmdline").read_text() for pid in (worker, encoder)]
        names = [of_the_kernel(pid, "Name") for pid in (worker, encoder)]
        order = [
            int(Path(f"/proc/{pid}/oom_score_adj").read_text())
            for pid in (os.getpid(), worker, encoder)
        ]
        cores = {limit_of(pid, "Max core file size") for pid in (worker, encoder)}

    assert all("\0tiny-model\0" in command for command in commands)
    assert names == ["tiny-model", "enc:tiny-model"]
    assert order == sorted(set(order))
    assert cores == {"0"}


@pytest.mark.parametrize(
    ("sandbox", "expected"),
    [
        pytest.param(
            True,
            {**dict.fromkeys(FREE, "PermissionError"), **dict.fromkeys(OWN, "done")},
            marks=kernel_has_all,
        ),
        (False, FREE),
    ],
    ids=["confined", "not confined"],
)
async def test_a_worker_reaches_what_it_needs_and_nothing_else(
    tmp_path: Path, sandbox: bool, expected: dict[str, str]
):
    import socket

    (tmp_path / "secret").write_text("sesame")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        script = PROBE.format(parent=os.getpid(), folder=str(tmp_path), port=port)
        command = [sys.executable, "-c", script]
        isolation = Isolation(sandbox=sandbox)
        async with hosted(scripted_spec(), command=command, isolation=isolation) as engine:
            told = (await until(engine, WorkerPhase.FAILED)).message

    assert json.loads(told) == expected


@kernel_has_all
async def test_the_kernel_says_that_workers_and_encoders_are_confined(tmp_path: Path):
    path = str(tiny_model(tmp_path / "tiny.gguf"))
    spec = EngineSpec("tiny", "llama_cpp", path, {"context_length": 64, "sessions": 1})
    async with ready(spec) as engine:
        for pid in (engine.worker_pid, engine.encoder_pid):
            assert pid is not None
            assert of_the_kernel(pid, "NoNewPrivs") == "1"
            assert of_the_kernel(pid, "Seccomp") == "2"
            assert int(of_the_kernel(pid, "CapEff"), 16) & ~0x4004 == 0
            assert int(limit_of(pid, "Max open files")) <= 256
        assert await engine.encode(TextPrompt("abc"))
        assert engine.encoder_pid is not None
        assert limit_of(engine.encoder_pid, "Max data size") != "unlimited"


async def test_a_kernel_without_these_means_is_told_of_and_the_model_runs(caplog):
    script = (
        "import errno, sys\n"
        "from quorate.engines.confinement import landlock, system_calls\n"
        "def refuse(*_, **__):\n"
        "    raise OSError(errno.ENOSYS, 'Function not implemented')\n"
        "landlock.restrict = system_calls.refuse = refuse\n"
        "from quorate.engines.worker.worker import main\n"
        "sys.exit(main())\n"
    )
    async with ready(scripted_spec(), command=[sys.executable, "-c", script]) as engine:
        session = await engine.open(10)
        await session.feed([1, 2])
        session.close()

    [told] = [record.getMessage() for record in caplog.records]
    assert told == (
        "model toy: its process is not fully confined: files (Function not implemented); "
        "system calls (Function not implemented)"
    )


def test_what_is_needed_is_inherited_and_what_is_not_is_not():
    needed = ("PATH", "LANG", "LC_ALL", "HOME", "OMP_WAIT_POLICY", "CUDA_VISIBLE_DEVICES",
              "ROCR_VISIBLE_DEVICES", "VLLM_CPU_OMP_THREADS_BIND", "HF_HUB_OFFLINE", "LD_PRELOAD",
              "VLLM_MAX_TOKENS_PER_EXPERT_FUSED_MOE", "TOKENIZERS_PARALLELISM")  # fmt: skip
    assert [name for name in needed if not is_inherited(name)] == []
    assert [name for name in SECRETS if is_inherited(name)] == ["CUDA_LAB", "GGML_DOOR", "OMP_COPY"]
    others = ("VLLM_S3_ACCESS_KEY_ID", "NCCL_AUTH", "TORCH_APITOKEN", "vllm_api_key", "HTTPS_PROXY",
              "SSH_AUTH_SOCK", "KUBECONFIG", "GITHUB_TOKEN", "QUORATE_HOME", "PGPASSWORD",
              "GOOGLE_APPLICATION_CREDENTIALS", "PYTHONSTARTUP", "")  # fmt: skip
    assert [name for name in others if is_inherited(name)] == []


def test_a_named_secret_is_not_inherited_under_another_name_either():
    base = {"CUDA_LAB": "sesame", "OMP_COPY": "sesame", "OMP_OTHER": "x", "PATH": "/bin"}

    assert inherited(base, {"CUDA_LAB"}) == {"OMP_OTHER": "x", "PATH": "/bin"}
    assert "CUDA_LAB" not in worker_environment(base, 2, {"CUDA_LAB"})
