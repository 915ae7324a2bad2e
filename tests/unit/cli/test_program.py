from __future__ import annotations

import errno
import subprocess
import sys

import pytest

from quorate.cli.failures import failure_of
from quorate.cli.program import run
from quorate.client import ServiceError
from quorate.errors import Internal, SettingsError
from quorate_registry import RegistryError
from support.terminal import Capture


def test_help_and_the_package_load_nothing_heavy() -> None:
    program = (
        "import sys; from quorate.cli.program import run; run(['--help']);"
        "heavy = {'grpc', 'rich', 'numpy', 'jinja2', 'llama_cpp', 'huggingface_hub', 'asyncio',"
        " 'google.protobuf', 'quorate.app', 'quorate.client', 'quorate_registry'};"
        "sys.exit(','.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    commands = "serve generate explain ps load unload status score spend calibrate models demo"
    for command in commands.split():
        assert command in done.stdout


def test_version_names_the_program(capsys: Capture) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("quorate 0.")


def test_an_unknown_command_is_one_line_and_exit_code_2(capsys: Capture) -> None:
    assert run(["sevre"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("quorate: No such command 'sevre'")
    assert told.endswith("see: quorate --help\n")


@pytest.mark.parametrize(
    ("error", "text", "code"),
    [
        (Internal("two\n  lines"), "quorate: two lines", 1),
        (SettingsError("key: wrong"), "quorate: key: wrong", 2),
        (RegistryError("no file"), "quorate: no file", 1),
        (
            ZeroDivisionError("division by zero"),
            "quorate: ZeroDivisionError: division by zero; set QUORATE_DEBUG=1 for the traceback",
            1,
        ),
    ],
)
def test_every_failure_ends_as_one_line(error: Exception, text: str, code: int) -> None:
    failure = failure_of(error)
    assert (failure.text, failure.exit_code) == (text, code)


def test_a_full_disk_behind_the_output_is_told_in_one_line() -> None:
    failure = failure_of(OSError(errno.ENOSPC, "No space left on device"))
    assert failure.text == "quorate: no space is left where the output goes"
    assert failure.exit_code == 1


@pytest.mark.parametrize(
    ("retry_after_seconds", "text"),
    [
        (None, "quorate: budget of usd per day: spent"),
        (5400.0, "quorate: budget of usd per day: spent; try again in 1 h 30 min"),
    ],
)
def test_a_spent_budget_is_told_with_the_time_to_try_again(
    retry_after_seconds: float | None, text: str
) -> None:
    error = ServiceError(
        "RESOURCE_EXHAUSTED",
        "budget of usd per day: spent",
        retry_after_seconds=retry_after_seconds,
    )
    assert failure_of(error).text == text
