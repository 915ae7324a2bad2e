"""``/v1/messages/count_tokens``: how many tokens a prompt would have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quorate.access.keys import GENERATE
from quorate.api.http.anthropic.messages import messages_prompt
from quorate.api.http.asking import check_size
from quorate.api.http.call import Call
from quorate.api.http.fields import Fields
from quorate.api.http.guard import Guard
from quorate.api.http.names import first_model, plan_named
from quorate.api.tokenizing import Tokenizing
from quorate.dispatch import Dispatcher
from quorate.fleet.fleet import Fleet
from quorate.request import Prompt


class TokenCount:
    """Counts in the vocabulary of the first member of the plan that is named.

    Args:
        dispatcher: Knows the profiles.
        fleet: Knows the models.
        guard: Reads bodies.
        tokenizing: Asks the models.
    """

    def __init__(
        self, dispatcher: Dispatcher, fleet: Fleet, guard: Guard, tokenizing: Tokenizing
    ) -> None:
        self._dispatcher = dispatcher
        self._fleet = fleet
        self._guard = guard
        self._tokenizing = tokenizing

    async def answer(self, call: Call) -> None:
        """``POST /v1/messages/count_tokens``."""
        call.record.caller.require(GENERATE)
        models = [status.id for status in self._fleet.list()]
        profiles, default = self._dispatcher.profiles, self._dispatcher.default_profile

        def asked(found: Mapping[str, Any]) -> tuple[str, Prompt]:
            body = Fields(found)
            plan = plan_named("model", body.text("model"), models, profiles)
            prompt = check_size("messages", messages_prompt(body))
            return first_model(plan, profiles, default, models), prompt

        model, prompt = await self._guard.read(call, asked)
        call.record.name([model])
        tokens = await self._tokenizing.tokenize(model, prompt, field="messages")
        await call.answer(200, {"input_tokens": len(tokens.ids)})
