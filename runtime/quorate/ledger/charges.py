"""What the ledger keeps: charges, the parts of each model in them, and reservations."""

from __future__ import annotations

from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

from quorate.request import EnergyTier

LOST = "lost"
"""Outcome of an attempt whose process died before it could settle."""


@dataclass(frozen=True, slots=True)
class ModelCharge:
    """The part of one model in a charge.

    Attributes:
        model: Id of the model, or name of the remote.
        prompt_tokens: Tokens of the prompt in this model's tokenizer.
        cached_prompt_tokens: Those of them that were reused.
        generated_tokens: Tokens appended after the prompt.
        busy_ms: Sum of the times this model was waited for.
        joules: Energy it spent, or None where it is not known.
        tier: How ``joules`` is known.
        usd: What it cost, or None where nothing is charged for it or the price is not known.
    """

    model: str
    prompt_tokens: int = 0
    cached_prompt_tokens: int = 0
    generated_tokens: int = 0
    busy_ms: float = 0.0
    joules: float | None = None
    tier: EnergyTier = EnergyTier.UNAVAILABLE
    usd: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the ledger knows of an attempt from its beginning to its end.

    Attributes:
        attempt_id: Unique; a second charge of the same attempt is not kept.
        request_id: The request; one that fell back has several attempts.
        started_at: When the attempt began, in UTC epoch seconds.
        plan_kind: ``single``, ``ensemble``, ``cascade`` or ``remote``.
        key: Name of the caller's key, or "" without one.
        policy_version: Version of the routing policy that chose the plan.
        plan: The plan that runs, as JSON.
        profile: Name of the profile it came from, or "".
        task: Tag of the task, or "".
        candidates: Every candidate with its predictions and the reason against it, as JSON.
        clause: Clause that made a remote eligible, or "".
        price_version: Version of the prices used, or "".
        reserved_usd: What was reserved beforehand, or None.
        prompt_hash: Keyed hash of the prompt; see ``Ledger.hash_prompt``.
    """

    attempt_id: str
    request_id: str
    started_at: float
    plan_kind: str
    key: str = ""
    policy_version: str = ""
    plan: str = "{}"
    profile: str = ""
    task: str = ""
    candidates: str = "[]"
    clause: str = ""
    price_version: str = ""
    reserved_usd: Decimal | None = None
    prompt_hash: str = ""


_OF_ENTRIES = tuple(field.name for field in fields(Entry))


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge(Entry):
    """One attempt at a request, settled.

    Attributes:
        finished_at: When it ended, in UTC epoch seconds; the day and the window it counts in.
        outcome: ``finished``, ``failed``, ``cancelled``, ``lost``, ``probe`` and the like.
        finish_reason: Why the answer ended, or "".
        prompt_tokens: Tokens of the prompt, counted once however many models read it.
        cached_prompt_tokens: Those of them that were reused.
        generated_tokens: Tokens of the answer, counted once.
        time_to_first_token_ms: None where there was no token.
        time_per_token_ms: Mean time between tokens; None with fewer than two.
        duration_ms: From start to end; None for a lost attempt.
        joules: Energy of all models and of the work around them, or None. The ledger never keeps
            less than what the models add up to, and keeps it to the microjoule.
        tier: How ``joules`` is known.
        idle_joules: Share of the idle machine's energy, kept apart; None where not known.
        usd: What it cost, or None; never less than what the models add up to.
        prompt_text: The prompt itself; the ledger keeps it only if the operator asked for that.
    """

    finished_at: float
    outcome: str
    finish_reason: str = ""
    prompt_tokens: int = 0
    cached_prompt_tokens: int = 0
    generated_tokens: int = 0
    time_to_first_token_ms: float | None = None
    time_per_token_ms: float | None = None
    duration_ms: float | None = None
    joules: float | None = None
    tier: EnergyTier = EnergyTier.UNAVAILABLE
    idle_joules: float | None = None
    usd: Decimal | None = None
    prompt_text: str | None = None
    models: tuple[ModelCharge, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation(Entry):
    """What an attempt may cost, written down before it begins.

    A process that dies leaves it behind, and it becomes a charge with the outcome ``lost`` when
    the ledger is opened again.

    Attributes:
        model: The remote that the dollars go to, or "".
    """

    model: str = ""

    def entry(self) -> dict[str, Any]:
        """Fields that the charge of the attempt takes over, by name."""
        return {name: getattr(self, name) for name in _OF_ENTRIES}

    def lost(self, found_at: float) -> Charge:
        """The charge of an attempt that nobody settled.

        A remote may have charged all that was reserved, so that counts. When it did is not known
        either: it counts from now, in UTC epoch seconds, so that no window forgets it too early.
        What the attempt read, generated and burned stays unknown.
        """
        return Charge(
            **self.entry(),
            finished_at=found_at,
            outcome=LOST,
            usd=self.reserved_usd,
            models=(ModelCharge(self.model, usd=self.reserved_usd),) if self.model else (),
        )
