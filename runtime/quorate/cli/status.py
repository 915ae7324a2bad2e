"""What ``status`` asks of a server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quorate.client import Client
from quorate.v1 import accounting_pb2, models_pb2, server_pb2


@dataclass(frozen=True, slots=True)
class StatusReport:
    """What a server is and does now."""

    server: server_pb2.Server
    models: Sequence[models_pb2.Model] = ()
    profiles: Sequence[server_pb2.Profile] = ()
    windows: Sequence[accounting_pb2.BudgetWindow] = ()


async def ask_status(client: Client) -> StatusReport:
    """Asks a server.

    Raises:
        ServiceError: What it refuses, or a lost connection.
    """
    return StatusReport(
        server=await client.server(),
        models=await client.models(),
        profiles=await client.profiles(),
        windows=await client.budget(),
    )
