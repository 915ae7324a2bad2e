"""What holds for every test."""

from __future__ import annotations

import compileall
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from support.repository import ROOT

# How long an example takes says how busy the machine is; a test that hangs meets pytest's timeout.
settings.register_profile("few", deadline=None, max_examples=40)
# Of scripts/prove.
settings.register_profile("many", deadline=None, max_examples=200)
settings.load_profile("few")

_OF_COMMANDS = "GRPC_VERBOSITY"


def pytest_configure(config: pytest.Config) -> None:
    """Compiles the product once, which every process of the tests would do by itself otherwise.

    A worker may write nothing, nor may anybody where PYTHONDONTWRITEBYTECODE is set.
    """
    for folder in ("runtime", "model_registry", "benchmarks", "tests/support"):
        compileall.compile_dir(ROOT / folder, quiet=2)


@pytest.fixture(autouse=True)
def programs_of_a_test_say_what_they_say() -> Iterator[None]:
    """Takes back what a command that ran within the test's process set for that process."""
    before = os.environ.get(_OF_COMMANDS)
    yield
    if before is None:
        os.environ.pop(_OF_COMMANDS, None)
    else:
        os.environ[_OF_COMMANDS] = before
