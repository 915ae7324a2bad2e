"""What is measured to see how a step grows, from the axes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quorate_bench.cases import Case, Setting
from quorate_bench.planning import ModelFacts
from quorate_bench.serving import Served
from quorate_bench.side_by_side.contract import Side

ABOUT = "growth"
"""What the sweep of such a run says it is about."""

QUANTITIES = ("members", "concurrency", "context", "vocabulary")
"""What a step grows with."""

_FEW = 2
# A prompt may have more tokens than were asked for: its length is told in bytes of a sample.
_SLACK = 1.25
# The sample itself has to fit, of which a poor tokenizer makes a token for each byte.
_LEAST_CONTEXT = 256
_WORKER_BYTES = 200e6
_RESERVE = 0.1


@dataclass(frozen=True, slots=True)
class Axes:
    """How far each quantity goes, and how it is measured.

    Attributes:
        only: The quantities that are measured.
        members: Of a vote.
        concurrency: Answers at once, of one member and of two.
        context: Tokens before the answer, of one member and of two.
        prompt_tokens: Of everything but ``context``.
        answer_tokens: Most tokens of each answer.
        repetitions: How often.
        minutes: What all of it may take; what is missing then is left out, and said.
    """

    only: tuple[str, ...] = QUANTITIES
    members: tuple[int, ...] = (1, 2, 3, 4)
    concurrency: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    context: tuple[int, ...] = (128, 512, 2048, 8192)
    prompt_tokens: int = 64
    answer_tokens: int = 32
    repetitions: int = 3
    minutes: float = 10.0


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A vocabulary of which small networks vote.

    Attributes:
        name: Of the tokenizer, or ``made up``.
        size: Its tokens.
        model: Makes the network, where it is not there; what is served is a copy of it.
    """

    name: str
    size: int
    model: Callable[[], Path]

    def plan_name(self) -> str:
        """What reports call its vote."""
        return f"{self.size:,} tokens ({self.name})"


@dataclass(frozen=True, slots=True)
class Given:
    """What is measured with.

    Attributes:
        name: Of the model.
        model: It; its copies are the members.
        facts: Of it.
        kv_bytes_per_token: What a token of context takes in its KV cache; 0 where nobody tells.
        cores: How many.
        vocabularies: The smallest first.
        available_bytes: Memory that can be taken.
    """

    name: str
    model: Served
    facts: ModelFacts
    kv_bytes_per_token: float
    cores: int
    vocabularies: Sequence[Vocabulary]
    available_bytes: int


def copies(given: Given, axes: Axes) -> list[str]:
    """Names of the members, of which each is the same model."""
    wanted = max(axes.members) if "members" in axes.only else _FEW
    return [f"{given.name}-{number + 1}" for number in range(wanted)]


def copy_setting(given: Given, axes: Axes) -> Setting:
    """Of the server of the copies: its context holds the longest that is asked for."""
    base = axes.prompt_tokens + axes.answer_tokens
    longest = max(axes.context, default=0) if "context" in axes.only else 0
    wanted = int(_SLACK * max(longest + axes.answer_tokens, base))
    return Setting(given.cores, given.facts.context(max(_LEAST_CONTEXT, wanted)), "")


def copy_options(given: Given, axes: Axes) -> dict[str, int]:
    """Options of the engine of each copy: room for all answers that are asked at once."""
    setting = copy_setting(given, axes)
    most = max(axes.concurrency) if "concurrency" in axes.only else 1
    at_once = int(_SLACK * most * (axes.prompt_tokens + axes.answer_tokens))
    return {
        "context_length": setting.context_length,
        "sessions": most,
        "cells": max(setting.context_length, at_once),
    }


def copy_sides(given: Given, axes: Axes) -> list[Side]:
    """A vote of every number of members; of one, the member by itself."""
    names = copies(given, axes)
    counts = set(axes.members) if "members" in axes.only else set()
    if set(axes.only) & {"concurrency", "context"}:
        counts |= {1, _FEW}
    held = _WORKER_BYTES + given.facts.file_bytes
    held += copy_options(given, axes)["cells"] * given.kv_bytes_per_token
    found = []
    for count in sorted(counts):
        needed = count * held
        room = (1 - _RESERVE) * given.available_bytes
        missing = "" if needed <= room else (
            f"no memory: {count} copies take {needed / 1e9:.1f} GB of {room / 1e9:.1f}"
        )  # fmt: skip
        plan = {"model": names[0]} if count == 1 else {"models": names[:count], "drafts": "off"}
        found.append(Side(member_name(count), "", "", "", plan=plan, missing=missing))
    return found


def copy_cases(given: Given, axes: Axes) -> list[Case]:
    """Every case of the copies, once."""
    setting = copy_setting(given, axes)
    base = axes.prompt_tokens
    found = []
    if "members" in axes.only:
        found += [(count, 1, base) for count in axes.members]
    if "concurrency" in axes.only:
        found += [(count, streams, base) for streams in axes.concurrency for count in (1, _FEW)]
    if "context" in axes.only:
        most = int(setting.context_length / _SLACK) - axes.answer_tokens
        lengths = dict.fromkeys(min(context, most) for context in axes.context)
        found += [(count, 1, length) for length in lengths for count in (1, _FEW)]
    return [
        Case(member_name(count), setting, streams, prompt, axes.answer_tokens)
        for count, streams, prompt in dict.fromkeys(found)
    ]


def vocabulary_setting(given: Given, axes: Axes) -> Setting:
    """Of the server of small networks."""
    base = axes.prompt_tokens + axes.answer_tokens
    return Setting(given.cores, 4 * base, "")


def vocabulary_sides(given: Given) -> list[Side]:
    """A vote of two members over every vocabulary."""
    return [
        Side(one.plan_name(), "", "", "", plan={"models": network_names(one), "drafts": "off"})
        for one in given.vocabularies
    ]


def vocabulary_cases(given: Given, axes: Axes) -> list[Case]:
    """One for every vocabulary."""
    setting = vocabulary_setting(given, axes)
    return [
        Case(one.plan_name(), setting, 1, axes.prompt_tokens, axes.answer_tokens)
        for one in given.vocabularies
    ]


def network_names(vocabulary: Vocabulary) -> list[str]:
    """Names under which the members of a vocabulary are served."""
    name = f"{vocabulary.name.replace(' ', '-')}-{vocabulary.size}"
    return [f"{name}-{number + 1}" for number in range(_FEW)]


def member_name(count: int) -> str:
    """What reports call so many members."""
    return f"{count} member{'' if count == 1 else 's'}"


def told(given: Given, axes: Axes) -> dict[str, Any]:
    """The sweep as records have it."""
    copies_of, networks = copy_setting(given, axes), vocabulary_setting(given, axes)
    plans = [_plan(side, len(side.models)) for side in copy_sides(given, axes)]
    small = vocabulary_sides(given) if "vocabulary" in axes.only else []
    plans += [
        {**_plan(side, len(side.models)), "vocabulary": one.size, "tokenizer": one.name}
        for side, one in zip(small, given.vocabularies, strict=bool(small))
    ]
    return {
        "name": ABOUT,
        "about": ABOUT,
        "only": list(axes.only),
        "models": {given.name: given.model.path.name if given.model.path else given.model.engine},
        "plans": plans,
        "kv_bytes_per_token": given.kv_bytes_per_token,
        "axes": {
            "cores": [given.cores],
            "concurrency": list(axes.concurrency),
            "prompt_tokens": [axes.prompt_tokens, *axes.context],
            "answer_tokens": [axes.answer_tokens],
            "context_length": [copies_of.context_length, networks.context_length],
            "quantisations": [""],
        },
        "measure": {"repetitions": axes.repetitions},
    }


def _plan(side: Side, members: int) -> dict[str, Any]:
    options: Mapping[str, Any] = side.plan or {}
    return {"name": side.name, **options, "members": members}
