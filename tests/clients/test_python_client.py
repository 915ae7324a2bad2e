"""The Python client where nothing else of Quorate can run: a new environment, and the wheel."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.foreign_clients import TEXT, TOKENS, Guarded
from support.repository import ROOT, run

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

INSTALL_SECONDS = 240
RUN_SECONDS = 60

GENERATE = """
import asyncio, os, pathlib, sys
import grpc
from quorate.client import Client, ServiceError

async def main():
    credentials = grpc.ssl_channel_credentials(
        pathlib.Path(os.environ["QUORATE_TLS_CA"]).read_bytes()
    )
    token = os.environ["QUORATE_TOKEN"]
    async with Client(os.environ["QUORATE_TARGET"], credentials=credentials, token=token) as client:
        models = {"alpha": 0.7, "beta": 0.3}
        async for event in client.generate("say it", models=models, temperature=0, timeout=30):
            print(event.delta.text, end="")
        print()
        print(*(model.id for model in await client.models()))
        print(await client.healthy())
        try:
            await client.complete("x", model="alfa", timeout=30)
        except ServiceError as error:
            print(error.reason, error.metadata["nearest"])

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs of a new environment that has the wheel and what it asks for."""
    folder = tmp_path_factory.mktemp("fresh")
    built = run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder))
    assert built.returncode == 0, built.stdout
    (wheel,) = folder.glob("*.whl")
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    programs = environment / "bin"
    pip = [str(programs / "python"), "-m", "pip", "--disable-pip-version-check", "install"]
    # Never from source: where a client is installed there may be no compiler.
    options = [
        "--no-compile",
        "--only-binary",
        ":all:",
        "--constraint",
        str(ROOT / "constraints.txt"),
    ]
    done = subprocess.run(
        [*pip, *options, str(wheel)],
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return programs


def test_it_brings_grpc_and_protobuf_and_little_else(fresh: Path) -> None:
    code = "from importlib.metadata import distributions as d; print(*(x.name for x in d()))"
    done = run(str(fresh / "python"), "-I", "-c", code)
    assert set(done.stdout.split()) - {"pip", "setuptools"} == {
        "googleapis-common-protos",
        "grpcio",
        "grpcio-health-checking",
        "grpcio-status",
        "protobuf",
        "quorate",
        "typing_extensions",
    }


def test_it_generates_over_tls_and_reads_what_errors_say(fresh: Path, guarded: Guarded) -> None:
    done = subprocess.run(
        [str(fresh / "python"), "-I", "-X", "utf8", "-c", GENERATE],
        env=guarded.environment(TOKENS["reader"], guarded.ca),
        capture_output=True,
        encoding="utf-8",
        timeout=RUN_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    text, models, healthy, refusal = done.stdout.splitlines()
    assert text == TEXT
    assert models.split()[:2] == ["alpha", "beta"]
    assert (healthy, refusal) == ("True", "NOT_FOUND alpha")


def test_its_program_says_what_is_missing_in_one_line(fresh: Path) -> None:
    done = subprocess.run(
        [str(fresh / "quorate"), "serve"],
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "quorate: rich, typer not installed: this is the Python client alone; for the program: "
        "pip install 'quorate[cli]', and for the server 'quorate[server]'\n"
    )
