"""Options of the scripted engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quorate.options import option, read_options

VOCABULARIES = ("letters", "words", "opaque")


@dataclass(frozen=True, slots=True)
class ScriptedOptions:
    """How one scripted model behaves. Counts of steps are decode calls, counted from 1.

    Attributes:
        vocabulary: ``letters``, ``words`` or ``opaque``, which knows ids and no bytes; models with
            the same one can vote token by token.
        pieces: Texts of the tokens behind the control tokens, instead of a vocabulary by name.
        seed: Models that differ in it alone disagree.
        sharpness: Spread of the logits; 0 makes all ordinary tokens equally probable.
        say: A text it continues every prompt with, followed by the end of generation.
        marks: Whether the texts of control tokens in ``say``, such as ``<|im_start|>``, stand for
            them.
        thinks: Whether ``<|im_start|>`` and ``<|im_end|>`` begin and end its reasoning.
        control: Share of probability, in [0, 0.999999], of the control tokens that do not end
            generation, at every step.
        masked: Share of probability that it gives to tokens that no model may say, before they are
            masked, in [0, 0.999999].
        confidence: Probability of the next token of ``say``, in [0, 0.999999].
        context_length: Most tokens of one session.
        sessions: Sessions that can be open at once.
        cells: KV tokens that all sessions may hold together; 0 is enough for all at full length.
        batch_tokens: Most tokens of one decode call.
        chat: Whether it has a chat template: turns of system, user and assistant, in any order.
        template: A Jinja template instead of that one.
        fork: Whether it can fork sessions.
        rewind: Whether it can forget a part of a session.
        generate: Whether it can sample tokens by itself, with our sampler.
        own_sampler: Whether it does so with one of its own; see ``sampling`` for what that looks
            at.
        step_delay_ms: Simulated compute of every decode call.
        uses_cores: Whether that counts as work of its processor cores, which others do not have
            meanwhile.
        fail_load: Simulated failure: loading ends with this message.
        crash_after_steps: Simulated failure: SIGKILL of the own process in this step; 0 never.
        abort_after_steps: Simulated failure: ``abort()`` in this step; 0 never.
        hang_after_steps: Simulated failure: this step never ends; 0 never.
        crash_marker: A path; where it exists the three failures above are over, and each creates
            it first, so that they happen once and a restarted worker goes on.
    """

    vocabulary: str = option("letters", choices=VOCABULARIES)
    pieces: tuple[str, ...] = option((), texts=True)
    seed: int = 0
    sharpness: float = option(6.0, lowest=0)
    say: str = ""
    marks: bool = False
    thinks: bool = False
    control: float = option(0.0, lowest=0, highest=0.999999)
    masked: float = option(0.0, lowest=0, highest=0.999999)
    confidence: float = option(0.98, lowest=0, highest=0.999999)
    context_length: int = option(512, lowest=1)
    sessions: int = option(8, lowest=1)
    cells: int = option(0, lowest=0)
    batch_tokens: int = option(64, lowest=1)
    chat: bool = True
    template: str = ""
    fork: bool = True
    rewind: bool = True
    generate: bool = False
    own_sampler: bool = False
    step_delay_ms: float = option(0.0, lowest=0)
    uses_cores: bool = False
    fail_load: str = ""
    crash_after_steps: int = option(0, lowest=0)
    abort_after_steps: int = option(0, lowest=0)
    hang_after_steps: int = option(0, lowest=0)
    crash_marker: str = ""

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], where: str) -> ScriptedOptions:
        """See ``EngineOptions``."""
        return read_options(cls, mapping, where)
