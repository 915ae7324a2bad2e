"""What an interrupt does to a command that has hardly begun, and what it says of a server."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from support.command_line import COMMAND, DEADLINE_SECONDS, complaint, environment, quorate

STANDS_STILL = """
import sys
print("importing", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("command", [("--help",), ("generate", "x"), ("serve", "--demo")])
def test_an_interrupt_while_the_program_is_imported_leaves_no_traceback(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    modules = tmp_path / "modules" / "typer"
    modules.mkdir(parents=True)
    (modules / "__init__.py").write_text(STANDS_STILL)
    with subprocess.Popen(
        [*COMMAND, *command],
        cwd=tmp_path,
        env=environment(tmp_path, PYTHONPATH=str(modules.parent)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        # Not communicate(): it closes standard input, behind which the import would go on.
        process.wait(DEADLINE_SECONDS)
        assert process.stderr is not None
        assert (process.returncode, process.stderr.read()) == (-signal.SIGINT, "")


def test_certificates_that_are_none_are_refused_before_anything_is_asked(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no PEM\n")
    done = quorate(tmp_path, "ps", "--target", "127.0.0.1:1", "--tls-ca", "ca.pem")
    assert complaint(done, 2) == "quorate: --tls-ca: ca.pem: holds no certificate in PEM\n"
