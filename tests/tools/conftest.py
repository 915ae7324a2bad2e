"""The tests of tools run where ``scripts/setup_tools`` has made its environment."""

from __future__ import annotations

import pytest

from support.foreign_tools import BUILT


@pytest.fixture(autouse=True)
def long_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are slow to start, more so where other tests run beside them."""
    monkeypatch.setattr("support.http_door.DEADLINE_SECONDS", 280.0)


@pytest.fixture(autouse=True)
def tools_are_there() -> None:
    if not BUILT.exists():
        pytest.skip("there is no .venv-tools: scripts/setup_tools makes it")
