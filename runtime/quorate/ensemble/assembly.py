"""From a decision and a prompt to an ensemble: prompts, predictors and weights of one request."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from quorate.engines.contract import Engine
from quorate.engines.vocabulary import Vocabulary
from quorate.ensemble.alignments.bytes.alignment import ByteAlignment
from quorate.ensemble.alignments.contract import AlignmentStrategy
from quorate.ensemble.alignments.near_tokens import NearTokenAlignment
from quorate.ensemble.alignments.tokens import TokenAlignment
from quorate.ensemble.alignments.union import UnionAlignment
from quorate.ensemble.ensemble import Ensemble
from quorate.ensemble.member import Member, MemberPrompt
from quorate.ensemble.readings import on_the_same_bytes, read_all, readable
from quorate.ensemble.reasoning import Reasoning, reasoning_of
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

# Weights that need to know what each member makes of the prompt.
_READING = frozenset({Weighting.BAYESIAN, Weighting.PROMPT})


async def assemble(
    decision: Decision, engines: Sequence[Engine], prompt: Prompt, max_tokens: int
) -> Ensemble[Any]:
    """Makes the ensemble of one request; its sessions are not open yet.

    An answer has at most ``max_tokens`` tokens, as far as the members' contexts hold them.

    Raises:
        InvalidRequest: The prompt has no tokens at all.
        PromptTooLong: The prompt leaves no room for an answer.
        QuorateError: What ``Engine.encode`` and ``readings.read`` raise.
    """
    encoded = await asyncio.gather(*(engine.encode(prompt) for engine in engines))
    alignment = _alignment(decision, engines, prompt, encoded)
    prompts = [
        _member_prompt(member.model, engine, tokens, alignment, prompt)
        for member, engine, tokens in zip(decision.members, engines, encoded, strict=True)
    ]
    weigher = await _weigher(decision, engines, prompt)
    max_tokens = min(max_tokens, *(one.max_tokens for one in prompts))
    reads = decision.weighting in _READING
    members = [
        Member(
            member.model,
            engine,
            own,
            alignment.predictor(engine, prompt, own, max_tokens),
            read_tokens=len(own.tokens) if reads else 0,
        )
        for member, engine, own in zip(decision.members, engines, prompts, strict=True)
    ]
    return Ensemble(alignment, members, decision.on_failure, weigher)


def _alignment(
    decision: Decision,
    engines: Sequence[Engine],
    prompt: Prompt,
    encoded: Sequence[Sequence[int]],
) -> AlignmentStrategy[Any]:
    match decision.alignment:
        case Alignment.BYTE_EXACT:
            return ByteAlignment(decision.beam)
        case Alignment.UNION_TOP_K:
            return UnionAlignment()
        case _:
            vocabularies = [engine.vocabulary for engine in engines]
            marks = [engine.facts.reasoning for engine in engines]
            # Of a raw prompt everything is the answer: no template says otherwise.
            chat = isinstance(prompt, ChatPrompt)
            reasoning = reasoning_of(marks, encoded, vocabularies) if chat else None
            return _token_alignment(vocabularies, reasoning)


def _token_alignment(
    vocabularies: Sequence[Vocabulary], reasoning: Reasoning | None
) -> AlignmentStrategy[Any]:
    """The ids themselves where the vocabularies are equal, which costs nothing."""
    if len({one.fingerprint for one in vocabularies}) == 1:
        return TokenAlignment(vocabularies[0], reasoning)
    return NearTokenAlignment(vocabularies, reasoning)


def _member_prompt(
    model: str,
    engine: Engine,
    tokens: Sequence[int],
    alignment: AlignmentStrategy[Any],
    prompt: Prompt,
) -> MemberPrompt:
    field = "prompt" if isinstance(prompt, TextPrompt) else "chat"
    if not tokens:
        raise InvalidRequest(field, f"is empty for model {model}, which needs at least a token")
    holds = min(engine.facts.context_length, engine.facts.kv_tokens)
    left = holds - len(tokens)
    margin = alignment.margin(left)
    if left - margin <= 0:
        raise PromptTooLong(
            field,
            f"has {len(tokens)} tokens for model {model}, whose context holds {holds} "
            "with the answer; shorten it",
        )
    return MemberPrompt(tokens, left - margin, margin)


async def _weigher(decision: Decision, engines: Sequence[Engine], prompt: Prompt) -> Weigher:
    priors = [member.weight or 0.0 for member in decision.members]
    if decision.weighting is Weighting.CONFIDENCE:
        return ConfidentWeights(priors)
    if decision.weighting not in _READING:
        return StaticWeights(priors)
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
