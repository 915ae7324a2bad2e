"""What a terminal shows, as text."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console, RenderableType

Capture = pytest.CaptureFixture[str]
"""What a test prints, as text."""


def shown_by(show: Callable[[Console], object], width: int = 80) -> str:
    """All that a function writes to a console without colours."""
    out = io.StringIO()
    show(Console(file=out, width=width, highlight=False))
    return out.getvalue()


def rendered(shown: RenderableType, width: int = 80) -> list[str]:
    """The lines of what rich prints."""
    return shown_by(lambda console: console.print(shown), width).splitlines()
