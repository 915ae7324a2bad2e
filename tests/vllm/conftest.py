"""What the tests over vLLM share. They run by scripts/test_vllm, in an environment of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.checkpoints import smollm2_checkpoint as made_or_kept


@pytest.fixture(scope="session")
def smollm2_checkpoint() -> Path:
    """SmolLM2-135M-Instruct as a checkpoint's folder; to be read only."""
    return made_or_kept()
