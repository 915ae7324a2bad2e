"""What is known of the call that the current task answers."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, TypeAlias

from quorate.access import limits
from quorate.access.keys import Caller
from quorate.errors import InvalidRequest, QuorateError
from quorate.foreign_text import QUOTED_CHARACTERS, one_line
from quorate.request import (
    Accepted,
    AnswersPlan,
    CascadePlan,
    Decision,
    Delta,
    Event,
    Finished,
    Plan,
    PlanChoice,
    Usage,
)

ObserveCall: TypeAlias = Callable[[str, str, float], None]
"""Takes note of a call that ended: its method, the name of its status, its seconds."""

_NAMED = 16

_log = logging.getLogger("quorate.requests")

_FOREIGN = frozenset({"field", "request_id", "key", "models"})


@dataclass(slots=True)
class RequestRecord:
    """Grows while a request is served and becomes its line in the log. Holds no prompt text.

    Attributes:
        method: Full name of what is called, such as ``/quorate.v1.InferenceService/Generate``.
        request_id: Made up at first; the caller's own once it is known.
        models: Models asked for, then those that were decided on.
        status: Name of the status that ended it, as gRPC calls it.
        caller: Who makes the call.
        peer: Address it comes from, as gRPC writes it.
        origin: Where it comes from; see ``origins.origin``.
        error: What it was refused with, or ended with.
        usage: What complete answers took.
        tokens: Tokens that were streamed.
        first_token_seconds: From the beginning of the call to the first of them.
    """

    method: str
    request_id: str
    models: tuple[str, ...] = field(default=())
    status: str = "OK"
    caller: Caller = field(default_factory=Caller)
    peer: str = ""
    origin: str = ""
    error: QuorateError | None = None
    usage: Usage | None = None
    tokens: int = 0
    first_token_seconds: float | None = None
    _began: float = field(default_factory=time.perf_counter)

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
        if isinstance(plan, Plan | AnswersPlan):
            self.name(member.model for member in plan.members)
        elif isinstance(plan, CascadePlan):
            self.name(member.model for stage in plan.stages for member in stage.plan.members)

    def decide(self, decision: Decision) -> None:
        """Notes what runs."""
        chosen = next((one for one in decision.route.candidates if one.chosen), None)
        members = [member.model for member in decision.members]
        self.name(members if chosen is None else chosen.models)

    def name(self, models: Iterable[str]) -> None:
        """Notes the models concerned, as many as a line of a log has room for."""
        self.models = tuple(one_line(model, QUOTED_CHARACTERS) for model in islice(models, _NAMED))

    def note(self, event: Event) -> None:
        """Notes what an answer has come to."""
        if isinstance(event, Delta):
            self.count(len(event.tokens))
        elif isinstance(event, Accepted):
            self.decide(event.decision)
        elif isinstance(event, Finished):
            self.used(event.usage)

    def count(self, tokens: int) -> None:
        """Notes tokens that are streamed; one of these for each delta."""
        if self.first_token_seconds is None:
            self.first_token_seconds = time.perf_counter() - self._began
        self.tokens += tokens

    def used(self, usage: Usage) -> None:
        """Notes what a complete answer took; of several, what they took together."""
        if self.usage is not None:
            usage = replace(
                usage,
                prompt_tokens=self.usage.prompt_tokens + usage.prompt_tokens,
                generated_tokens=self.usage.generated_tokens + usage.generated_tokens,
            )
        self.usage = usage

    def refuse(self, status: str, error: QuorateError) -> None:
        """Notes with what status, and why, it does not end well."""
        self.status, self.error = status, error

    def log(self, seconds: float) -> None:
        """Writes the line of a call that took so long."""
        if not _log.isEnabledFor(logging.INFO):
            return
        told = self._told(seconds)
        line = " ".join(f"{name}={_written(name, value)}" for name, value in told.items())
        _log.info("%s", line, extra={"fields": told})

    def _told(self, seconds: float) -> dict[str, Any]:
        """What its line says; what is not known or does not concern it is left out."""
        told: dict[str, Any] = {"method": self.method.removeprefix("/"), "status": self.status}
        if self.error is not None:
            told["reason"] = self.error.reason
            if isinstance(self.error, InvalidRequest):
                told["field"] = self.error.field
        told["duration_ms"] = round(seconds * 1e3, 1)
        if self.first_token_seconds is not None:
            told["first_token_ms"] = round(self.first_token_seconds * 1e3, 1)
            told["tokens"] = self.tokens
        if self.usage is not None:
            told["tokens"] = self.usage.generated_tokens
            told["prompt_tokens"] = self.usage.prompt_tokens
        if self.peer:
            told["peer"] = self.peer
        told["request_id"] = self.request_id
        if self.caller.key:
            told["key"] = self.caller.key
        told["models"] = self.models
        return told


def _written(name: str, value: Any) -> str:
    """What others wrote is quoted, so that it cannot pass for more of the line."""
    return json.dumps(value) if name in _FOREIGN else str(value)


CURRENT: ContextVar[RequestRecord] = ContextVar("quorate_request")
"""The record of the call that this task answers; set by the API that was called."""
