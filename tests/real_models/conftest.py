"""One server with all real models, for every test of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from quorate.client import Client
from support.command_line import Serving, serving
from support.real_models import GEMMA, QWEN_LARGE, QWEN_SMALL, real_model

CONFIG = """
[server]
listen = "127.0.0.1:0"

[[models]]
id = "small"
model = "{small}"
options = {{ context_length = 1024, sessions = 8 }}

[[models]]
id = "large"
model = "{large}"
options = {{ context_length = 1024, sessions = 4 }}

[[models]]
id = "gemma"
model = "{gemma}"
options = {{ context_length = 2048, cells = 4096, sessions = 16 }}
"""


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """``quorate serve`` with the two Qwen2.5-Coder and with Gemma 3."""
    config = CONFIG.format(
        small=real_model(QWEN_SMALL), large=real_model(QWEN_LARGE), gemma=real_model(GEMMA)
    )
    with serving(tmp_path_factory.mktemp("server"), config) as running:
        yield running


@pytest.fixture
async def client(server: Serving) -> AsyncIterator[Client]:
    """A client of that server."""
    async with Client(server.address) as connected:
        yield connected
