"""What is known of everything that ran here. Pure.

A plan is known by a key that the caller makes, such as ``single:MODEL`` or
``ensemble:A+B:byte_exact``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

from quorate.costs.lengths import LengthLearner, LengthModel
from quorate.costs.prediction import RunModel, RunShape
from quorate.costs.prompts import CachedShare, PromptSizeLearner, PromptSizeModel
from quorate.costs.run_learner import RunLearner
from quorate.costs.saved import Json, Table, table
from quorate.request import EnergyTier

MAX_PLANS = 512
"""Plans remembered; the one that ran last the longest ago is forgotten for a new one."""

MAX_TASKS = 32
"""Tasks remembered for a plan, by the same rule."""

_ENOUGH_ANSWERS = 10

# What is known of a plan is solved anew after so many runs, or one of so many that were known.
_UNTOLD = 16
_KNOWN_EACH = 64

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """What one run of a plan took.

    Attributes:
        shape: Its size.
        duration_ms: From its start on the engine to its end.
        first_token_ms: From its start to its first token; None where there was none.
        joules: None where it is not known.
        tier: How ``joules`` was come by.
        complete: Whether the answer ended by itself, and was not cut off.
        task: Tag of the request's task; empty for none.
        prompt_bytes: Of the prompt's text, in UTF-8; None where nobody counted.
        chat: Whether a template framed it.
    """

    shape: RunShape
    duration_ms: float
    first_token_ms: float | None = None
    joules: float | None = None
    tier: EnergyTier = EnergyTier.UNAVAILABLE
    complete: bool = True
    task: str = ""
    prompt_bytes: int | None = None
    chat: bool = False


@dataclass(frozen=True, slots=True)
class CostModel:
    """What is known of one plan at one moment.

    The default is what is known of a plan that never ran: its ``run`` is cold.

    Attributes:
        run: Time and energy of a run.
        prompt_sizes: Tokens of prompts that are text.
        chat_sizes: Tokens of prompts that a template frames.
        all_lengths: Lengths of answers, whatever the task.
        task_lengths: Lengths of answers for each task.
        cached_shares: Share of a prompt that was cached, by task; "" is all of them.
    """

    run: RunModel = field(default_factory=RunModel)
    prompt_sizes: PromptSizeModel = field(default_factory=PromptSizeModel)
    chat_sizes: PromptSizeModel = field(default_factory=PromptSizeModel)
    all_lengths: LengthModel = field(default_factory=LengthModel)
    task_lengths: Mapping[str, LengthModel] = field(default_factory=dict)
    cached_shares: Mapping[str, float] = field(default_factory=dict)

    def prompt_tokens(self, prompt_bytes: float, chat: bool) -> float:
        """Tokens to expect of a prompt of so many bytes."""
        return (self.chat_sizes if chat else self.prompt_sizes).tokens(prompt_bytes)

    def shape(
        self, prompt_tokens: float, output_tokens: float, batch: float = 1.0, task: str = ""
    ) -> RunShape:
        """The run to expect of a prompt and an answer of so many tokens."""
        prompt = prompt_tokens
        shares = self.cached_shares
        cached = prompt * shares.get(task, shares.get("", 0.0))
        return RunShape(prompt - cached, output_tokens, batch, cached)

    def lengths(self, task: str = "") -> LengthModel:
        """Lengths of answers to a task; of all answers where that task had fewer than ten."""
        own = self.task_lengths.get(task)
        return own if own is not None and own.samples >= _ENOUGH_ANSWERS else self.all_lengths


class CostModels:
    """Owner of the cost models of all votes and remotes. Not for several threads at once."""

    def __init__(self) -> None:
        self._learners: dict[str, _Learner] = {}
        # How often plans ran since what is known of them was told last.
        self._untold: dict[str, int] = {}
        self._snapshot: Mapping[str, CostModel] = MappingProxyType({})
        self._observations = 0

    @property
    def observations(self) -> int:
        """Runs learned since this object was made; whoever saves compares it."""
        return self._observations

    def observe(self, key: str, run: FinishedRun) -> None:
        """Learns one run of the plan ``key``."""
        learner = self._learners.pop(key, None) or _Learner()
        learner.observe(run)
        _put_last(self._learners, key, learner, MAX_PLANS)
        self._untold[key] = self._untold.get(key, 0) + 1
        self._observations += 1

    def snapshot(self) -> Mapping[str, CostModel]:
        """What is known of each plan; the same object until there is something else to tell.

        That is so after every run of a plan that ran seldom, and after every few of one that ran
        often, since each takes the better part of a millisecond to solve and hardly moves it.
        """
        due = {key for key, runs in self._untold.items() if self._is_due(key, runs)}
        if due:
            self._snapshot = MappingProxyType(
                {
                    key: learner.model() if key in due else self._snapshot[key]
                    for key, learner in self._learners.items()
                }
            )
            for key in due:
                del self._untold[key]
        return self._snapshot

    def states(self) -> dict[str, Json]:
        """What ``restore`` takes, by plan; the plan that ran last stands last."""
        return {key: learner.state() for key, learner in self._learners.items()}

    def restore(self, key: str, state: Table) -> None:
        """Takes over what was saved of one plan."""
        learner = _Learner.restore(state)
        self._learners.pop(key, None)
        _put_last(self._learners, key, learner, MAX_PLANS)
        self._untold[key] = _UNTOLD

    def _is_due(self, key: str, runs: int) -> bool:
        if key not in self._snapshot:
            return True
        known = self._snapshot[key].run.samples
        return runs >= min(_UNTOLD, max(1, known // _KNOWN_EACH))


class _Learner:
    """Owner of what is known of one plan."""

    def __init__(self) -> None:
        self._run = RunLearner()
        self._prompt_sizes = PromptSizeLearner()
        self._chat_sizes = PromptSizeLearner()
        self._lengths = LengthLearner()
        self._tasks: dict[str, LengthLearner] = {}
        self._cached: dict[str, CachedShare] = {"": CachedShare()}

    def observe(self, run: FinishedRun) -> None:
        shape = run.shape
        self._cached[""].observe(shape.prompt_tokens, shape.cached_tokens)
        self._run.observe(shape, run.duration_ms, run.first_token_ms, run.joules, run.tier)
        self._lengths.observe(shape.output_tokens, run.complete)
        if run.task:
            lengths = self._tasks.pop(run.task, None) or LengthLearner()
            lengths.observe(shape.output_tokens, run.complete)
            _put_last(self._tasks, run.task, lengths, MAX_TASKS)
            share = self._cached.setdefault(run.task, CachedShare())
            share.observe(shape.prompt_tokens, shape.cached_tokens)
            self._cached = {
                task: one for task, one in self._cached.items() if not task or task in self._tasks
            }
        if run.prompt_bytes is not None:
            sizes = self._chat_sizes if run.chat else self._prompt_sizes
            sizes.observe(run.prompt_bytes, shape.prompt_tokens + shape.cached_tokens)

    def model(self) -> CostModel:
        return CostModel(
            run=self._run.model(),
            prompt_sizes=self._prompt_sizes.model(),
            chat_sizes=self._chat_sizes.model(),
            all_lengths=self._lengths.model(),
            task_lengths=MappingProxyType(
                {task: lengths.model() for task, lengths in self._tasks.items()}
            ),
            cached_shares=MappingProxyType(
                {task: share.mean for task, share in self._cached.items()}
            ),
        )

    def state(self) -> dict[str, Json]:
        return {
            "costs": self._run.state(),
            "prompt_sizes": self._prompt_sizes.state(),
            "chat_sizes": self._chat_sizes.state(),
            "lengths": self._lengths.state(),
            "tasks": {task: lengths.state() for task, lengths in self._tasks.items()},
            "cached": {task: share.state() for task, share in self._cached.items()},
        }

    @classmethod
    def restore(cls, state: Table) -> _Learner:
        learner = cls()
        learner._run = RunLearner.restore(table(state, "costs"))
        learner._prompt_sizes = PromptSizeLearner.restore(table(state, "prompt_sizes"))
        learner._chat_sizes = PromptSizeLearner.restore(table(state, "chat_sizes"))
        learner._lengths = LengthLearner.restore(table(state, "lengths"))
        tasks = table(state, "tasks")
        for task in list(tasks)[-MAX_TASKS:]:
            learner._tasks[task] = LengthLearner.restore(table(tasks, task))
        shares = table(state, "cached")
        learner._cached |= {
            task: CachedShare.restore(table(shares, task))
            for task in shares
            if not task or task in learner._tasks
        }
        return learner


def _put_last(owner: dict[str, _Value], key: str, value: _Value, most: int) -> None:
    """Puts the newest last; forgets the oldest where there are too many."""
    owner[key] = value
    while len(owner) > most:
        del owner[next(iter(owner))]
