from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from quorate.ledger.ledger import Ledger


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    """A ledger in the file ``ledger`` of the test's folder."""
    ledger = Ledger.open(tmp_path / "ledger")
    yield ledger
    await ledger.close()
