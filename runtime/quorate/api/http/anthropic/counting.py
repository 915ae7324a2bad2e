"""``/v1/messages/count_tokens``: how many tokens a prompt would have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quorate.access.keys import GENERATE
from quorate.api.http.anthropic.messages import messages_prompt
from quorate.api.http.anthropic.tools import read_tools
from quorate.api.http.asking import check_size
from quorate.api.http.call import Call
from quorate.api.http.fields import Fields
from quorate.api.http.names import plan_named
from quorate.api.http.tokens import AsksForTokens
from quorate.request import PlanChoice, Prompt


class TokenCount(AsksForTokens):
    """Counts in the vocabulary of the first member of the plan that is named."""

    async def answer(self, call: Call) -> None:
        """``POST /v1/messages/count_tokens``."""
        call.record.caller.require(GENERATE)
        models = [status.id for status in self._fleet.list()]
        profiles = self._dispatcher.profiles

        def asked(found: Mapping[str, Any]) -> tuple[PlanChoice | None, Prompt]:
            body = Fields(found)
            plan = plan_named("model", body.text("model"), models, profiles)
            return plan, check_size("messages", messages_prompt(body, read_tools(body)))

        plan, prompt = await self._guard.read(call, asked)
        model = self._first_model(plan)
        call.record.name([model])
        tokens = await self._tokenizing.tokenize(model, prompt, field="messages")
        await call.answer(200, {"input_tokens": len(tokens.ids)})
