"""What holds for every test."""

from __future__ import annotations

import compileall

import pytest
from hypothesis import settings

from support.repository import ROOT

# How long an example takes says how busy the machine is; a test that hangs meets pytest's timeout.
settings.register_profile("few", deadline=None, max_examples=40)
# Of scripts/prove.
settings.register_profile("many", deadline=None, max_examples=200)
settings.load_profile("few")


def pytest_configure(config: pytest.Config) -> None:
    """Compiles the product once, which every process of the tests would do by itself otherwise.

    A worker may write nothing, nor may anybody where PYTHONDONTWRITEBYTECODE is set.
    """
    for folder in ("runtime", "model_registry", "benchmarks", "tests/support"):
        compileall.compile_dir(ROOT / folder, quiet=2)
