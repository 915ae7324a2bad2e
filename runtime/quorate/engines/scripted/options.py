"""Options of the scripted engine."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from quorate.errors import SettingsError

VOCABULARIES = ("letters", "words")


@dataclass(frozen=True, slots=True)
class ScriptedOptions:
    """How one scripted model behaves. Counts of steps are decode calls, counted from 1.

    Attributes:
        vocabulary: ``letters`` or ``words``; models with the same one can vote token by token.
        seed: Models that differ in it alone disagree.
        sharpness: Spread of the logits; 0 makes all ordinary tokens equally probable.
        say: A text it continues every prompt with, followed by the end of generation.
        confidence: Probability of the next token of ``say``, in [0, 1).
        context_length: Most tokens of one session.
        sessions: Sessions that can be open at once.
        cells: KV cells shared by all sessions; 0 is enough for all of them at full length.
        batch_tokens: Most tokens of one decode call.
        chat: Whether it has a chat template.
        fork: Whether it can fork sessions.
        rewind: Whether it can forget a part of a session.
        step_delay_ms: Simulated compute of every decode call.
        fail_load: Simulated failure: loading ends with this message.
        crash_after_steps: Simulated failure: SIGKILL of the own process in this step; 0 never.
        abort_after_steps: Simulated failure: ``abort()`` in this step; 0 never.
        hang_after_steps: Simulated failure: this step never ends; 0 never.
        crash_marker: A path; where it exists the three failures above are over, and each creates
            it first, so that they happen once and a restarted worker goes on.
    """

    vocabulary: str = "letters"
    seed: int = 0
    sharpness: float = 6.0
    say: str = ""
    confidence: float = 0.98
    context_length: int = 512
    sessions: int = 8
    cells: int = 0
    batch_tokens: int = 64
    chat: bool = True
    fork: bool = True
    rewind: bool = True
    step_delay_ms: float = 0.0
    fail_load: str = ""
    crash_after_steps: int = 0
    abort_after_steps: int = 0
    hang_after_steps: int = 0
    crash_marker: str = ""

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], where: str) -> ScriptedOptions:
        """Reads options as they stand in a configuration file.

        Args:
            mapping: Option names and values.
            where: Where they stand, for messages, such as ``models.a.options``.

        Raises:
            SettingsError: An unknown name, a wrong type or a value out of range.
        """
        defaults = {field.name: field.default for field in fields(cls)}
        values = {}
        for name, value in mapping.items():
            default = defaults.get(name, MISSING)
            if default is MISSING:
                near = difflib.get_close_matches(name, defaults, n=1, cutoff=0.5)
                hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(defaults)}"
                raise SettingsError(f"{where}.{name}: unknown option; {hint}")
            values[name] = _checked(f"{where}.{name}", value, type(default))
        options = cls(**values)
        _check_ranges(options, where)
        return options


_KINDS = {bool: "true or false", int: "an integer", float: "a number", str: "a text"}


def _checked(key: str, value: Any, kind: type) -> Any:
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise SettingsError(f"{key}: must be {_KINDS[kind]}, not {value!r}")
    return value


def _check_ranges(options: ScriptedOptions, where: str) -> None:
    if options.vocabulary not in VOCABULARIES:
        known = " or ".join(VOCABULARIES)
        raise SettingsError(f"{where}.vocabulary: must be {known}, not {options.vocabulary!r}")
    if not 0 <= options.confidence < 1:
        raise SettingsError(f"{where}.confidence: must be in [0, 1), not {options.confidence}")
    for name in ("context_length", "sessions", "batch_tokens"):
        if getattr(options, name) < 1:
            raise SettingsError(f"{where}.{name}: must be at least 1, not {getattr(options, name)}")
    for name in (
        "cells",
        "sharpness",
        "step_delay_ms",
        "crash_after_steps",
        "abort_after_steps",
        "hang_after_steps",
    ):
        value = getattr(options, name)
        if not (math.isfinite(value) and value >= 0):
            raise SettingsError(f"{where}.{name}: must be finite and not negative, not {value}")
