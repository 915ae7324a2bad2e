"""From fields of a request to the options they were given with: all that who types them knows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType

from quorate.client import ServiceError
from quorate.errors import InvalidRequest
from quorate.foreign_text import QUOTED_CHARACTERS, one_line
from quorate.request import Stage, WeightedModel

# Paths of the contract, and arguments of the client where those differ.
_OPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "prompt": "PROMPT",
        "chat": "PROMPT",
        "messages": "PROMPT",
        "chat.tools": "--tools",
        "parse_special": "--parse-special",
        "profile": "--profile",
        "plan": "--model",
        "model": "--model",
        "models": "--model",
        "plan.single.model": "--model",
        "plan.ensemble.members": "--model",
        "plan.ensemble.rule": "--rule",
        "plan.ensemble.alignment": "--alignment",
        "plan.ensemble.weighting": "--weighting",
        "plan.ensemble.forgetting": "--forgetting",
        "plan.ensemble.beam.epsilon": "--beam-epsilon",
        "plan.ensemble.beam.width": "--beam-width",
        "plan.ensemble.draft": "--drafts",
        "plan.ensemble.draft.mode": "--drafts",
        "plan.ensemble.draft.model": "--drafts",
        "plan.ensemble.draft.most": "--drafts-most",
        "plan.ensemble.gate": "--weighting",
        "plan.ensemble.gate.leader": "--gate-leader",
        "plan.ensemble.gate.threshold": "--gate-threshold",
        "plan.ensemble.gate.share": "--gate-share",
        "plan.failure_policy": "--on-failure",
        "failure_policy": "--on-failure",
        "plan.answers": "--answers",
        "plan.answers.members": "--model",
        "plan.answers.samples": "--samples",
        "plan.answers.select": "--select",
        "plan.answers.compare": "--compare",
        "plan.answers.weighting": "--weighting",
        "plan.answers.stream_early": "--stream-early",
        "answers": "--model",
        "plan.cascade.stages": "--cascade",
        "plan.cascade.stream_early": "--stream-early",
        "stages": "--cascade",
        "stopping.stop": "--stop",
        "json_schema": "--json-schema",
        "response.top_logprobs": "--top",
        "top_logprobs": "--top",
        "response.member_votes": "--votes",
        "budget.energy_joules": "--joules",
        "energy_joules": "--joules",
        "continuation": "FILE",
        "filter.since": "--since",
        "filter.until": "--until",
        "filter.key": "--key",
        "filter.model": "--model",
        "filter.profile": "--profile",
        "key": "--key",
        "group_by": "--by",
        "page_size": "--limit",
        "deadline_ms": "--deadline",
    }
)
_SECTIONS = ("sampling", "stopping", "budget")
_SAME_NAME = frozenset(
    {
        *("temperature", "top_p", "top_k", "min_p", "seed", "repetition_penalty"),
        *("presence_penalty", "frequency_penalty", "max_tokens", "max_bytes", "stop"),
        *("latency_ms", "usd", "local_only", "task", "allow_substitution"),
        *("rule", "alignment", "weighting", "forgetting", "beam_epsilon", "beam_width"),
        *("drafts", "drafts_most", "auto", "stream_early", "votes", "regex", "grammar"),
        *("tools", "tool_choice", "samples", "select", "compare"),
        *("gate_leader", "gate_threshold", "gate_share"),
    }
)
_INDEX = re.compile(r"\[(\d+)\]")
_MEMBER = re.compile(r"plan\.(?:ensemble|answers)\.members\[(\d+)\]")
_STAGE = re.compile(r"plan\.cascade\.stages\[(\d+)\]")
_MESSAGE = re.compile(r"chat\.messages\[(\d+)\]")
_TOOL = re.compile(r"(?:chat\.)?tools(\[\d+\].*)")


@dataclass(frozen=True, slots=True)
class Given:
    """What was given on the command line of things that a request numbers.

    Attributes:
        system: Whether a system message stands before the prompt.
        asked: What the text that is asked about is called.
        model: What the one model of a request is called.
    """

    members: Sequence[WeightedModel] = ()
    stages: Sequence[Stage] = ()
    system: bool = False
    asked: str = "PROMPT"
    model: str = "--model"


def option_of(field: str, given: Given) -> str:
    """The option, or argument, that a field of a request comes from; "" where there is none."""
    if (found := _MEMBER.match(field)) and int(found[1]) < len(given.members):
        return f"--model {_written(given.members[int(found[1])])}"
    if (found := _STAGE.match(field)) and int(found[1]) < len(given.stages):
        stage = given.stages[int(found[1])]
        return f"--cascade {','.join(map(_written, stage.plan.members))}"
    if found := _MESSAGE.match(field):
        return "--system" if given.system and found[1] == "0" else given.asked
    if found := _TOOL.match(field):
        return f"--tools {found[1]}"
    path = _INDEX.sub("", field)
    if path == "model":
        return given.model
    while path:
        option = _option(path)
        if option:
            return given.asked if option == "PROMPT" else option
        path = path.rpartition(".")[0]
    return ""


@contextmanager
def options_named(given: Given) -> Iterator[None]:
    """Tells what is wrong with fields by the options they were given with.

    Everything that is wrong is told, each with its option. The fields themselves stay what programs
    are told.

    Raises:
        ServiceError: What a server refuses.
        InvalidRequest: What no message can hold.
    """
    try:
        yield
    except ServiceError as error:
        if error.status != "INVALID_ARGUMENT" or not error.violations:
            raise
        raise ServiceError(
            error.status,
            _told(error.violations, given),
            error.reason,
            error.metadata,
            error.retry_after_seconds,
            error.violations,
        ) from None
    except InvalidRequest as error:
        wrong = [(one.field, one.problem) for one in (error, *error.also)]
        raise ServiceError(
            "INVALID_ARGUMENT", _told(wrong, given), error.reason, violations=wrong
        ) from None


def _told(violations: Sequence[tuple[str, str]], given: Given) -> str:
    lines = (f"{option_of(field, given) or field}: {problem}" for field, problem in violations)
    return "; ".join(dict.fromkeys(lines))


def _option(path: str) -> str:
    if path in _OPTIONS:
        return _OPTIONS[path]
    section, dot, name = path.rpartition(".")
    known = name in _SAME_NAME and (not dot or section in _SECTIONS)
    return f"--{name.replace('_', '-')}" if known else ""


def _written(member: WeightedModel) -> str:
    name = one_line(member.model, QUOTED_CHARACTERS)
    return name if member.weight is None else f"{name}:{member.weight:g}"
