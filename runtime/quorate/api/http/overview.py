"""``/quorate/overview``: what the page shows of the service beside answers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from quorate.access.record import CURRENT
from quorate.api.http.call import Call
from quorate.dispatch import Dispatcher
from quorate.fleet.fleet import Fleet
from quorate.fleet.status import ModelStatus
from quorate.foreign_text import one_line
from quorate.ledger.spending import SpendFilter


class Overview:
    """Tells of models, plans and spending; callers see what they spent themselves.

    Args:
        dispatcher: Knows the profiles, the queue and the books.
        fleet: Knows the models.
    """

    def __init__(self, dispatcher: Dispatcher, fleet: Fleet) -> None:
        self._dispatcher = dispatcher
        self._fleet = fleet

    async def told(self, call: Call) -> None:
        """``GET /quorate/overview``."""
        caller = CURRENT.get().caller
        key = caller.visible_key(caller.key) or ""
        down = self._dispatcher.profiles_down()
        await call.answer(
            200,
            {
                "models": list(map(_model, self._fleet.list())),
                "profiles": [
                    {"id": name, "problem": one_line(down.get(name, ""))}
                    for name in self._dispatcher.profiles
                ],
                "default_profile": self._dispatcher.default_profile,
                "running": self._dispatcher.running,
                "waiting": self._dispatcher.waiting,
                "spent_today": await self._spent_today(caller.visible_key(None)),
                "windows": [
                    {"name": one.name, "unit": one.unit, "remaining": one.remaining}
                    for one in self._dispatcher.recorder.budgets.status(key)
                ],
            },
        )

    async def _spent_today(self, key: str | None) -> Mapping[str, Any] | None:
        """Sums since midnight of this machine's time, of a key or of everybody."""
        ledger = self._dispatcher.recorder.ledger
        if ledger is None:
            return None
        midnight = datetime.now().replace(hour=0, minute=0, second=0, microsecond=0)
        rows = await ledger.summarize((), midnight.timestamp(), None, SpendFilter(key=key))
        return {
            "requests": sum(row.attempts for row in rows),
            "generated_tokens": sum(row.generated_tokens for row in rows),
            "joules": sum(row.joules or 0.0 for row in rows),
            "usd": sum(float(row.usd or 0) for row in rows),
        }


def _model(status: ModelStatus) -> dict[str, Any]:
    return {
        "id": status.id,
        "state": status.state.value,
        "problem": one_line(status.message),
        "progress": status.progress,
        "chat": status.chat,
        "context_length": status.context_length,
        "memory_bytes": status.memory_bytes,
        "cores": list(status.cores),
    }
