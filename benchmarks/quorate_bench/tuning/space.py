"""Which settings are tried, in the order in which they usually matter, and with which values.

Each dimension is a setting, or two that belong together, with values that might be better. What
cannot make a difference under the work that is measured, or does not fit into memory, is no value
to try. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quorate.errors import NotFound, SettingsError
from quorate_bench.quantisations import BITS
from quorate_bench.tuning.facts import Subject, TunedModel
from quorate_bench.tuning.variants import QUANTISATION, Key, Variant, changed, key_text

DRAFTS_MOST = 8
"""Tokens guessed at once where a plan says nothing."""

PIN_CORES: Key = ("fleet", "pin_cores")

# Of the memory that is there, what is left to others.
_RESERVE = 0.1
_BATCHES = (128, 256, 512, 1024, 2048)
# A byte-exact vote follows so many ways to cut the text, where nobody says otherwise.
_BEAM = 8
# From this share of the largest member on, no member guesses unless it is named.
_SMALL_SHARE = 0.6
# Types that are tried, and how many fewer bits than there are make it worth that.
_TYPES = ("Q8_0", "Q4_K_M")
_FEWER_BITS = 0.75


@dataclass(frozen=True, slots=True)
class Dimension:
    """What is varied, everything else left as it is best so far.

    Attributes:
        name: The key, or what belongs together.
        candidates: Values by key, of each way to set it; also that which it has.
        plans: Names of the plans that it can make a difference to.
    """

    name: str
    candidates: tuple[Mapping[Key, Any], ...]
    plans: tuple[str, ...]

    def sets(self, names: Collection[str]) -> bool:
        """Whether it is about one of these settings."""
        return any(key[-1] in names for key in self.candidates[0])


@dataclass(frozen=True, slots=True)
class NotTried:
    """A value that is left out, and why."""

    variant: Variant
    dimension: str
    reason: str


@dataclass(frozen=True, slots=True)
class Space:
    """All dimensions of one configuration.

    Attributes:
        subject: What is tuned.
        dimensions: In the order in which they are tried.
        originals: What each key has in the configuration.
        problem: Says what is wrong with a variant as a configuration; "" where nothing is.
    """

    subject: Subject
    dimensions: tuple[Dimension, ...]
    originals: Mapping[Key, Any]
    problem: Callable[[Variant], str]

    def contenders(
        self, dimension: Dimension, best: Variant
    ) -> tuple[list[Variant], list[NotTried]]:
        """What is held against the best so far, and what is not, and why."""
        tried: list[Variant] = []
        left_out: list[NotTried] = []
        if self._guesses_nobody(dimension, best):
            return [], []
        for candidate in dimension.candidates:
            variant = changed(best, candidate, self.originals)
            if variant == best or variant in tried:
                continue
            if reason := self.no_room(variant) or self.problem(variant):
                left_out.append(NotTried(variant, dimension.name, reason))
            else:
                tried.append(variant)
        return tried, left_out

    def _guesses_nobody(self, dimension: Dimension, best: Variant) -> bool:
        """Whether it says how far to guess of a plan in which nobody does."""
        (key, *_) = dimension.candidates[0]
        if key[-1] != "drafts_most":
            return False
        drafts = (*key[:-1], "drafts")
        (plan,) = [one for one in self.subject.plans if one.name == key[1]]
        mode = best.get(drafts, self.originals.get(drafts, plan.options.get("drafts", "auto")))
        # One model alone guesses what was said before, where it is told to, and nothing else.
        return bool(mode == "off" or (mode == "auto" and len(plan.models) < 2))

    def no_room(self, variant: Variant) -> str:
        """Why a variant does not fit into memory; "" where it does."""
        needed, there = self.memory_bytes(variant), self.subject.available_bytes
        if needed <= there * (1 - _RESERVE):
            return ""
        return f"no memory: its models take {needed / 1e9:.1f} GB of {there / 1e9:.1f}"

    def pins(self, variant: Variant) -> bool:
        """Whether models keep to cores."""
        return bool(variant.get(PIN_CORES, self.subject.pin_cores))

    def memory_bytes(self, variant: Variant) -> float:
        """What the models take, as far as their headers tell."""
        found = 0.0
        for model in self.subject.models:
            cells = variant.get(("models", model.id, "options", "cells"), 0) or model.cells()
            kind = variant.get(("models", model.id, QUANTISATION), "")
            found += model.memory_bytes(cells, BITS[kind] / model.bits if kind else 1.0)
        return found


def space_of(
    subject: Subject, problem: Callable[[Variant], str], settings: Sequence[str] = ()
) -> Space:
    """What is worth trying of a configuration.

    Args:
        subject: What is tuned.
        problem: See ``Space``.
        settings: Names of the only ones to try, such as ``cores``; none are all.

    Raises:
        SettingsError: One of them is none that is tried here.
    """
    found = [
        *_drafts(subject),
        *_of_models(subject, _cores),
        *_of_models(subject, _batch),
        *_of_models(subject, _room),
        *_pinning(subject),
        *_drafts_most(subject),
        *_of_models(subject, _flash),
    ]
    if subject.other_answers:
        found += [*_of_models(subject, _types), *_of_models(subject, _kv_types)]
    # The first candidate is what the configuration has.
    originals = {key: value for one in found for key, value in one.candidates[0].items()}
    varied = [one for one in found if len(one.candidates) > 1]
    known = {key[-1]: None for one in varied for key in one.candidates[0]}
    for name in settings:
        if name not in known:
            raise SettingsError(
                f"--setting: {NotFound('setting to try', name, list(known)).message}"
            )
    wanted = tuple(one for one in varied if not settings or one.sets(settings))
    return Space(subject, wanted, originals, problem)


_Values = list[dict[Key, Any]]


def _of_models(
    subject: Subject, values: Callable[[Subject, TunedModel], _Values]
) -> Iterator[Dimension]:
    for model in subject.models:
        plans = tuple(plan.name for plan in subject.plans if model.id in plan.models)
        if not plans or not (found := values(subject, model)):
            continue
        name = " and ".join(key_text(key) for key in found[0])
        yield Dimension(name, tuple(found), plans)


def _cores(subject: Subject, model: TunedModel) -> _Values:
    """All of them, and shares: small models lose more by waiting than more threads bring."""
    every = subject.machine_cores
    now = model.cores if 0 < model.cores < every else 0
    shares = {every * 3 // 4, every // 2, every // 4} - {0, every}
    values = [now, *(one for one in (0, *sorted(shares, reverse=True)) if one != now)]
    return [{("models", model.id, "cores"): one} for one in values]


def _batch(subject: Subject, model: TunedModel) -> _Values:
    now = int(model.options.get("batch_tokens", 0))
    if not now:
        return []
    work = subject.workload
    most = work.prompt_tokens * max(work.concurrency)
    fitting = [one for one in _BATCHES if one <= model.highest.get("batch_tokens", one)]
    # Beyond what there is to read at once, one is as good as another.
    values = {min(most, now): now}
    for one in fitting:
        values.setdefault(min(most, one), one)
    return [{("models", model.id, "options", "batch_tokens"): one} for one in values.values()]


def _room(subject: Subject, model: TunedModel) -> _Values:
    """Sessions and the tokens they hold, where answers at once have to wait for them.

    Never fewer than there are: what is measured says nothing of days with more callers.
    """
    names = [name for name in ("sessions", "cells") if name in model.options]
    work = subject.workload
    votes = any(model.id in plan.models and len(plan.models) > 1 for plan in subject.plans)
    streams = max(work.concurrency)
    wanted = {
        "sessions": streams * (_BEAM if votes else 1) if streams > 1 else 1,
        "cells": streams * (work.prompt_tokens + work.answer_tokens),
    }
    now = {"sessions": int(model.options.get("sessions", 0)), "cells": model.cells()}
    given = {name: int(model.options[name]) for name in names}
    values = [given]
    for factor in (2, 4):
        more = dict(given)
        for name in names:
            if 0 < now[name] < wanted[name]:
                grown = now[name] * (2 if 2 * now[name] >= wanted[name] else factor)
                more[name] = int(min(grown, model.highest.get(name, grown)))
        if more not in values:
            values.append(more)
    if len(values) == 1:
        return []
    return [
        {("models", model.id, "options", name): value for name, value in one.items()}
        for one in values
    ]


def _flash(subject: Subject, model: TunedModel) -> _Values:
    return _chosen(model, "flash_attention", ("on", "off"))


def _chosen(model: TunedModel, name: str, texts: tuple[str, ...]) -> _Values:
    """An option that is chosen from texts, of those that the engine knows."""
    now = model.options.get(name)
    if now is None:
        return []
    known = [one for one in texts if one in model.choices.get(name, ()) and one != now]
    return [{("models", model.id, "options", name): one} for one in (now, *known)]


def _pinning(subject: Subject) -> Iterator[Dimension]:
    if subject.pin_cores is None or subject.machine_cores < 2:
        return
    values = subject.pin_cores, not subject.pin_cores
    plans = tuple(plan.name for plan in subject.plans)
    yield Dimension(key_text(PIN_CORES), tuple({PIN_CORES: one} for one in values), plans)


def _drafts(subject: Subject) -> Iterator[Dimension]:
    sizes = {model.id: model.file_bytes for model in subject.models}
    for plan in subject.plans:
        if "models" not in plan.options:
            continue
        now = plan.options.get("drafts", "auto")
        wanted = ["auto", "prompt"]
        if len(plan.models) > 1:
            smallest = min(plan.models, key=lambda one: sizes[one])
            largest = max(sizes[one] for one in plan.models)
            named = sizes[smallest] > _SMALL_SHARE * largest
            wanted = ["auto", "off", "prompt", *([smallest] if named else [])]
        values = [now, *(one for one in wanted if one != now)]
        key = "profiles", plan.name, "drafts"
        yield Dimension(key_text(key), tuple({key: one} for one in values), (plan.name,))


def _drafts_most(subject: Subject) -> Iterator[Dimension]:
    for plan in subject.plans:
        if "models" not in plan.options:
            continue
        now = plan.options.get("drafts_most", DRAFTS_MOST)
        values = [now, *(one for one in (DRAFTS_MOST, 4, 2) if one != now)]
        key = "profiles", plan.name, "drafts_most"
        yield Dimension(key_text(key), tuple({key: one} for one in values), (plan.name,))


def _kv_types(subject: Subject, model: TunedModel) -> _Values:
    """Types of the KV cache; what is kept less precisely is read faster and takes less memory."""
    if "kv_dtype" in model.options:
        return _chosen(model, "kv_dtype", ("auto", "fp8"))
    key = "models", model.id, "options"
    now: dict[Key, Any] = {
        (*key, name): model.options.get(name) for name in ("kv_type_k", "kv_type_v")
    }
    if None in now.values():
        return []
    names = [*now]
    others: _Values = [dict(zip(names, types, strict=True))
              for types in (("f16", "f16"), ("q8_0", "f16"), ("q8_0", "q8_0"))]  # fmt: skip
    return [now, *(one for one in others if one != now)]


def _types(subject: Subject, model: TunedModel) -> _Values:
    """Types of the weights, of a file that has more bits than they need."""
    key = "models", model.id, QUANTISATION
    fewer = [one for one in _TYPES if BITS[one] <= _FEWER_BITS * model.bits]
    return [{key: one} for one in ("", *fewer)] if fewer else []
