"""What is known of the call that the current task answers."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field

from quorate.access import limits
from quorate.access.keys import Caller
from quorate.request import CascadePlan, Decision, Plan, PlanChoice

_log = logging.getLogger("quorate.requests")


@dataclass(slots=True)
class RequestRecord:
    """Grows while a request is served and becomes its line in the log. Holds no prompt text.

    Attributes:
        method: Full name of what is called, such as ``/quorate.v1.InferenceService/Generate``.
        request_id: Made up at first; the caller's own once it is known.
        models: Models asked for, then those that were decided on.
        status: Name of the status that ended it, as gRPC calls it.
        caller: Who makes the call.
        origin: Where it comes from; see ``origins.origin``.
    """

    method: str
    request_id: str
    models: tuple[str, ...] = field(default=())
    status: str = "OK"
    caller: Caller = field(default_factory=Caller)
    origin: str = ""

    @property
    def whose(self) -> str:
        """Whose calls count together: those of a key, or without one of where they come from."""
        return f"key {self.caller.key}" if self.caller.key else self.origin

    def identify(self, request_id: str) -> None:
        """Notes the id the caller chose, "" for none, before anything else can be refused.

        Raises:
            InvalidRequest: It would garble the log; see ``limits.request_id``.
        """
        self.request_id = limits.request_id("request_id", request_id) or self.request_id

    def ask(self, plan: PlanChoice | None) -> None:
        """Notes what the caller asked for."""
        if isinstance(plan, Plan):
            self.name(member.model for member in plan.members)
        elif isinstance(plan, CascadePlan):
            self.name(member.model for stage in plan.stages for member in stage.plan.members)

    def decide(self, decision: Decision) -> None:
        """Notes what runs."""
        chosen = next((one for one in decision.route.candidates if one.chosen), None)
        members = [member.model for member in decision.members]
        self.name(members if chosen is None else chosen.models)

    def name(self, models: Iterable[str]) -> None:
        """Notes the models concerned."""
        self.models = tuple(models)

    def log(self, seconds: float) -> None:
        """Writes the line of a call that took so long."""
        _log.info(
            "method=%s status=%s duration_ms=%.1f request_id=%s%s models=%s",
            self.method.removeprefix("/"),
            self.status,
            seconds * 1e3,
            json.dumps(self.request_id),
            f" key={json.dumps(self.caller.key)}" if self.caller.key else "",
            json.dumps(self.models),
        )


CURRENT: ContextVar[RequestRecord] = ContextVar("quorate_request")
"""The record of the call that this task answers; set by the API that was called."""
