"""What holds for every test."""

from __future__ import annotations

import compileall

import pytest
from hypothesis import settings

from support.repository import ROOT

# How long an example takes says how busy the machine is; a test that hangs meets pytest's timeout.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    """Compiles the product once, which every process of the tests would do by itself otherwise.

    A worker may write nothing, nor may anybody where PYTHONDONTWRITEBYTECODE is set.
    """
    for folder in ("runtime", "model_registry", "benchmarks", "tests/support"):
        compileall.compile_dir(ROOT / folder, quiet=2)
