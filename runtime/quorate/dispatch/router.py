"""From a request and the state of the service to a decision."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from quorate.dispatch.admission_queue import AdmissionQueue
from quorate.dispatch.recorder import AttemptRecorder
from quorate.fleet.fleet import Fleet
from quorate.fleet.status import ModelState, ModelStatus
from quorate.ledger.money import from_float
from quorate.ledger.prices import Price
from quorate.remotes.remote import Remote
from quorate.request import (
    ChatPrompt,
    Decision,
    FailurePolicy,
    NamedPlan,
    Prompt,
    Request,
    ScoreRequest,
    TokenPrompt,
)
from quorate.routing.candidates import open_plans
from quorate.routing.choose import choose_plan
from quorate.routing.confidence import ConfidenceTable
from quorate.routing.quality import QualityTable
from quorate.routing.readiness import profiles_down
from quorate.routing.request import RoutingRequest
from quorate.routing.resolve import require_everybody
from quorate.routing.settings import RoutingSettings
from quorate.routing.snapshot import (
    QueueState,
    Remaining,
    RemoteStatus,
    ResolvedPlan,
    Snapshot,
)
from quorate.routing.tasks import MAX_BYTES, TaskClassifier
from quorate.routing.token_ids import refuse_foreign_ids
from quorate.sampling.options import SEED_BITS, takes_the_row_as_it_is

_UNRATED = 0.9


@dataclass(slots=True)
class Knowledge:
    """What is known of the quality of answers. Its owner replaces the parts when they change.

    Attributes:
        quality: Of models and votes.
        confidence: Of single answers.
        classifier: Guesses the task of a prompt where a request names none; None where no guess has
            proved its worth.
    """

    quality: QualityTable = field(default_factory=QualityTable)
    confidence: ConfidenceTable = field(default_factory=ConfidenceTable)
    classifier: TaskClassifier | None = None

    def task(self, request: Request) -> str:
        """Tag of a request: its own, else a guess, else ""."""
        if request.task or self.classifier is None:
            return request.task
        return self.classifier.task(request.prompt.beginning(MAX_BYTES))


def no_price(remote: str) -> None:
    """Nobody knows what a remote charges."""
    return None


class Router:
    """Takes the snapshots that decisions rest on; see ``Dispatcher`` for what else it is given.

    Args:
        recorder: Knows what plans took, and what is left of the budgets.
        draw: A number drawn evenly from [0, 1).
    """

    def __init__(
        self,
        fleet: Fleet,
        queue: AdmissionQueue,
        recorder: AttemptRecorder,
        settings: RoutingSettings,
        profiles: Mapping[str, NamedPlan],
        default_profile: str = "",
        remotes: Mapping[str, Remote] | None = None,
        price: Callable[[str], Price | None] = no_price,
        knowledge: Knowledge | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._fleet = fleet
        self._queue = queue
        self._recorder = recorder
        self._settings = settings
        self.profiles: Mapping[str, NamedPlan] = dict(profiles)
        self.default_profile = default_profile
        self._remotes = dict(remotes or {})
        self._price = price
        self.knowledge = knowledge or Knowledge()
        self._draw = draw
        self._plans_of: tuple[ModelStatus, ...] | None = None
        self._plans: tuple[ResolvedPlan, ...] = ()

    def set_profiles(self, profiles: Mapping[str, NamedPlan], default_profile: str) -> None:
        """Decides by other named plans from now on."""
        self.profiles, self.default_profile = dict(profiles), default_profile
        self._plans_of = None

    def decide(
        self,
        request: Request,
        max_tokens: int,
        failed: frozenset[str] = frozenset(),
        elapsed_ms: float = 0.0,
        admitted: bool = False,
    ) -> Decision:
        """Chooses the plan of a request; see ``RoutingRequest``, and ``choose_plan`` for errors.

        What is ``admitted`` has its turn already, and neither waits nor is sent away.
        """
        seed, by_ids = request.sampling.seed, isinstance(request.prompt, TokenPrompt)
        routing_request = replace(
            _to_be_read(request.prompt),
            asked=request.plan,
            seed=secrets.randbits(SEED_BITS) if seed is None else seed,
            prompt_bytes=request.prompt.size_bytes,
            prompt_token_bound=request.prompt.token_bound,
            max_tokens=max_tokens,
            budget=request.budget,
            local_only=request.local_only,
            task=self.knowledge.task(request),
            unsupported={
                name: remote.unsupported(request) for name, remote in self._remotes.items()
            },
            failed=failed,
            elapsed_ms=elapsed_ms,
            draw=self._draw(),
            # Ids are tokens of the models that were named.
            allow_substitution=False if by_ids else request.allow_substitution,
            constrained=request.is_held,
            from_mixture=takes_the_row_as_it_is(request.sampling)
            and not request.response.shows_logprobs
            and not request.is_held,
        )
        snapshot = self._snapshot(request.key, admitted)
        decision = choose_plan(routing_request, snapshot)
        if by_ids:
            refuse_foreign_ids(decision, snapshot)
        return decision

    def decide_for_score(self, request: ScoreRequest, admitted: bool = False) -> Decision:
        """Chooses the vote of a score, which nothing but local models can give.

        It drops no member unasked, and no other plan stands in: the sum would silently be of
        another plan.
        """
        size = request.continuation_bytes
        routing_request = replace(
            _to_be_read(request.prompt),
            asked=request.plan,
            prompt_bytes=request.prompt.size_bytes + size,
            max_tokens=size,
            local_only=True,
            one_vote=True,
            allow_substitution=False,
        )
        snapshot = self._snapshot(request.key, admitted)
        decision = choose_plan(routing_request, snapshot)
        if decision.on_failure is not FailurePolicy.AUTO:
            return decision
        require_everybody(decision.members, FailurePolicy.REPLAY, snapshot)
        return replace(decision, on_failure=FailurePolicy.REPLAY)

    @property
    def feedback(self) -> bool:
        """Whether what callers say of answers counts."""
        return self._settings.feedback

    def quality(self, key: str) -> QualityTable:
        """What is known of the quality of plans, and what this caller said of their answers."""
        known = self.knowledge.quality
        if not self.feedback:
            return known
        return replace(known, rated=self._recorder.ratings.of(key))

    def profiles_down(self) -> dict[str, str]:
        """Why each profile cannot run now, in one line; "" for one that can."""
        models = self._fleet.statuses
        return profiles_down(
            Snapshot(models, self.profiles, wedged=self._wedged(models), settings=self._settings)
        )

    def price(self, remote: str) -> Price | None:
        """What a remote charges now; None where nobody knows, or "" names none."""
        return self._price(remote) if remote else None

    def _snapshot(self, key: str, admitted: bool) -> Snapshot:
        models = self._fleet.statuses
        snapshot = Snapshot(
            models=models,
            profiles=self.profiles,
            default_profile=self.default_profile,
            costs=self._recorder.costs.snapshot(),
            active=self._recorder.activity.now,
            escalations=self._recorder.escalations.rates,
            wedged=self._wedged(models),
            quality=self.quality(key),
            remotes={name: self._status(remote) for name, remote in self._remotes.items()},
            queue=QueueState() if admitted else self._queue.prospect,
            remaining=self._remaining(key),
            settings=self._settings,
        )
        return replace(snapshot, plans=self._open_plans(snapshot))

    def _wedged(self, models: Mapping[str, ModelStatus]) -> frozenset[str]:
        return frozenset(
            model
            for model, status in models.items()
            if status.state is ModelState.READY and self._fleet.wedged(model)
        )

    def _open_plans(self, snapshot: Snapshot) -> tuple[ResolvedPlan, ...]:
        """The plans to choose from, made anew only when a model has changed."""
        models = tuple(snapshot.models.values())
        if models != self._plans_of:
            self._plans_of, self._plans = models, open_plans(snapshot)
        return self._plans

    def _status(self, remote: Remote) -> RemoteStatus:
        settings = remote.settings
        return RemoteStatus(
            name=remote.name,
            price=self._price(remote.name),
            unavailable=remote.available() or "",
            retry_seconds=remote.retry_after_seconds,
            context_length=settings.context_length or 0,
            quality=_UNRATED if settings.quality is None else settings.quality,
            tasks=settings.tasks,
            first_token_ms=settings.time_to_first_token_ms or 0.0,
            tokens_per_second=settings.tokens_per_second or 0.0,
        )

    def _remaining(self, key: str) -> Remaining:
        budgets = self._recorder.budgets
        windows = budgets.status(key)
        joules = [window.remaining for window in windows if window.unit == "joules"]
        usd = [window.remaining for window in windows if window.unit == "usd"]
        return Remaining(
            min(joules, default=None),
            min(usd, default=None),
            lambda ceiling: budgets.refusal(key, None, from_float(ceiling)),
        )


def _to_be_read(prompt: Prompt) -> RoutingRequest:
    """What a prompt asks of the members that are to read it."""
    if not isinstance(prompt, ChatPrompt):
        return RoutingRequest()
    return RoutingRequest(chat=True, shape=prompt.shape, allow_text=prompt.allow_text)
