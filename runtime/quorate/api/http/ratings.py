"""``/quorate/ratings``: what callers thought of answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quorate.access import limits
from quorate.access.keys import GENERATE
from quorate.api.http.call import Call
from quorate.api.http.fields import Fields
from quorate.api.http.guard import Guard
from quorate.dispatch import Dispatcher


class RatingPath:
    """Counts ratings.

    Args:
        dispatcher: Knows who was asked.
        guard: Reads bodies.
    """

    def __init__(self, dispatcher: Dispatcher, guard: Guard) -> None:
        self._dispatcher = dispatcher
        self._guard = guard

    async def rate(self, call: Call) -> None:
        """``POST /quorate/ratings``."""
        caller = call.record.caller
        caller.require(GENERATE)
        request_id, score = await self._guard.read(call, _rating)
        rated = await self._dispatcher.feedback.rate(caller.key, request_id, score)
        told = {"vote": rated.vote, "task": rated.task}
        await call.answer(200, {**told, "quality_before": rated.before, "quality": rated.after})


def _rating(found: Mapping[str, Any]) -> tuple[str, float]:
    body = Fields(found)
    asked = limits.filled("request_id", body.text("request_id") or "", "name what is rated")
    return limits.request_id("request_id", asked), limits.score("score", body.number("score"))
