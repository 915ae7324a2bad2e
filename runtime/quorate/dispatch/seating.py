"""Members take their seats: prompts, voices and weights of one request."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from quorate.engines.contract import Engine
from quorate.ensemble.byte_voice import HEALING_CELLS, ByteVoice, Opening, Pruning
from quorate.ensemble.readings import on_the_same_bytes, read_all, readable
from quorate.ensemble.seats import Seat, Table
from quorate.ensemble.token_voice import PieceVoice, TokenVoice
from quorate.ensemble.voices import Voice
from quorate.ensemble.weighting import (
    BayesianWeights,
    ConfidentWeights,
    StaticWeights,
    Weigher,
    bits_per_byte,
    evidence,
    prompt_shares,
    shares_along,
)
from quorate.errors import InvalidRequest, PromptTooLong
from quorate.request import Alignment, ChatPrompt, Decision, Prompt, TextPrompt, Weighting

_CELLS_PER_HYPOTHESIS = 8
# Tokens that a single token of one member may be for another: runs of white space are the longest.
_LONGEST_PIECE = 128
# Weights that need to know what each member makes of the prompt.
_READING = frozenset({Weighting.BAYESIAN, Weighting.PROMPT})


@dataclass(frozen=True, slots=True)
class Guest:
    """A member with its prompt.

    Attributes:
        tokens: The prompt in the member's own tokens.
        room: Tokens its answer may have.
        spare: Cells that its voice needs beside the answer.
    """

    model: str
    engine: Engine
    tokens: Sequence[int]
    room: int
    spare: int


def spare_cells(width: int) -> int:
    """Cells for what a byte beam holds beside its best hypothesis, and for healing.

    Where the prompt leaves little room a beam gets half of that, and for healing at least.
    """
    return HEALING_CELLS + _CELLS_PER_HYPOTHESIS * width


async def invite(decision: Decision, engines: Sequence[Engine], prompt: Prompt) -> list[Guest]:
    """Has every member turn the prompt into its own tokens.

    Raises:
        InvalidRequest: The prompt has no tokens at all.
        PromptTooLong: The prompt leaves no room for an answer.
        QuorateError: What ``Engine.encode`` raises.
    """
    prompts = await asyncio.gather(*(engine.encode(prompt) for engine in engines))
    return [
        _guest(member.model, engine, tokens, decision, prompt)
        for member, engine, tokens in zip(decision.members, engines, prompts, strict=True)
    ]


async def seat(
    decision: Decision, guests: Sequence[Guest], prompt: Prompt, wanted: int
) -> Table[Any]:
    """Makes the table; its sessions are not open yet.

    Args:
        decision: The plan.
        guests: Its members.
        prompt: What was asked.
        wanted: Tokens the answer may have.
    """
    growth = min(wanted, *(guest.room for guest in guests))
    weigher = await _weigher(decision, guests, prompt)
    reads = decision.weighting in _READING
    seats = [
        Seat(
            guest.model,
            guest.engine,
            _voice(guest, decision, prompt, growth),
            len(guest.tokens),
            read_tokens=len(guest.tokens) if reads else 0,
        )
        for guest in guests
    ]
    return Table(seats, decision.on_failure, weigher)


def _guest(
    model: str, engine: Engine, tokens: Sequence[int], decision: Decision, prompt: Prompt
) -> Guest:
    field = "prompt" if isinstance(prompt, TextPrompt) else "chat"
    if not tokens:
        raise InvalidRequest(field, f"is empty for model {model}, which needs at least a token")
    holds = min(engine.facts.context_length, engine.facts.kv_tokens)
    left = holds - len(tokens)
    spare = 0
    if decision.alignment is Alignment.BYTE_EXACT:
        spare = min(spare_cells(decision.beam.width or 1), max(HEALING_CELLS, left // 2))
    elif decision.alignment is Alignment.UNION_TOP_K:
        spare = min(_LONGEST_PIECE, left // 2)
    if left - spare <= 0:
        raise PromptTooLong(
            field,
            f"has {len(tokens)} tokens for model {model}, whose context holds {holds} "
            "with the answer; shorten it",
        )
    return Guest(model, engine, tokens, left - spare, spare)


def _voice(guest: Guest, decision: Decision, prompt: Prompt, growth: int) -> Voice[Any]:
    if decision.alignment is Alignment.BYTE_EXACT:
        return _byte_voice(guest, decision, prompt, growth)
    kind = PieceVoice if decision.alignment is Alignment.UNION_TOP_K else TokenVoice
    return kind(guest.engine, guest.tokens, len(guest.tokens) + growth + guest.spare)


def _byte_voice(guest: Guest, decision: Decision, prompt: Prompt, growth: int) -> ByteVoice:
    opening = _opening(guest, prompt)
    kv_tokens = growth + guest.spare
    pruning = Pruning(decision.beam.epsilon or 0.0, decision.beam.width or 1, kv_tokens)
    return ByteVoice(guest.engine, opening, pruning, len(guest.tokens) + kv_tokens)


def _opening(guest: Guest, prompt: Prompt) -> Opening:
    """How a byte beam begins behind a prompt.

    A chat ends with what the template wrote, where every model expects a new token. Text may go on
    in the middle of one, so that its last token is given as bytes. Text from the very beginning
    stands behind the space that some tokenizers put there.
    """
    tokens = guest.tokens
    if isinstance(prompt, ChatPrompt):
        return Opening(tokens)
    if not prompt.text:
        return Opening(tokens, b" " if guest.engine.facts.space_prefix else b"")
    last = guest.engine.vocabulary.pieces[tokens[-1]]
    if len(tokens) < 2 or not last:
        return Opening(tokens)
    return Opening(tokens[:-1], last)


async def _weigher(decision: Decision, guests: Sequence[Guest], prompt: Prompt) -> Weigher:
    priors = [member.weight or 0.0 for member in decision.members]
    if decision.weighting is Weighting.CONFIDENCE:
        return ConfidentWeights(priors)
    if decision.weighting not in _READING:
        return StaticWeights(priors)
    engines = [guest.engine for guest in guests]
    known = on_the_same_bytes(await read_all(engines, readable(prompt)))
    if decision.weighting is Weighting.BAYESIAN:
        return _bayesian(priors, decision.forgetting or 1.0, known, prompt)
    return StaticWeights(prompt_shares(priors, [bits_per_byte(one) for one in known]))


def _bayesian(
    priors: Sequence[float], forgetting: float, known: Sequence[Sequence[float]], prompt: Prompt
) -> BayesianWeights:
    """Bayesian weights that know the prompt, by what each member made of its bytes.

    A text goes on where it ended, and so does the evidence. A chat is answered: any part of it may
    be what the answer is about, so that its mean is the prior of the answer.
    """
    if isinstance(prompt, ChatPrompt):
        return BayesianWeights(shares_along(priors, known, forgetting), forgetting)
    return BayesianWeights(priors, forgetting, [evidence(one, forgetting) for one in known])
