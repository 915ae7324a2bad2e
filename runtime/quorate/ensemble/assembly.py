"""From a decision and a prompt to an ensemble: prompts, predictors and weights of one request."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from quorate.engines.contract import Engine
from quorate.ensemble.alignments.bytes.alignment import ByteAlignment
from quorate.ensemble.alignments.contract import AlignmentStrategy
from quorate.ensemble.alignments.tokens import TokenAlignment
from quorate.ensemble.alignments.union import UnionAlignment
from quorate.ensemble.ensemble import Ensemble
from quorate.ensemble.member import Member, MemberPrompt
from quorate.ensemble.readings import on_the_same_bytes, read_all, readable
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
    alignment = _alignment(decision, engines)
    named = zip(decision.members, engines, strict=True)
    encoded = await asyncio.gather(
        *(_encoded(member.model, engine, prompt) for member, engine in named)
    )
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


async def _encoded(model: str, engine: Engine, prompt: Prompt) -> Sequence[int]:
    """The tokens of a prompt; one that is too long is refused in the name of the member."""
    try:
        return await engine.encode(prompt)
    except PromptTooLong as error:
        if f"model {model}" in error.problem:
            raise
        problem = f"is too long for model {model}: {error.problem}"
        raise PromptTooLong(error.field, problem) from None


def _alignment(decision: Decision, engines: Sequence[Engine]) -> AlignmentStrategy[Any]:
    match decision.alignment:
        case Alignment.BYTE_EXACT:
            return ByteAlignment(decision.beam)
        case Alignment.UNION_TOP_K:
            return UnionAlignment()
        case _:
            return TokenAlignment(engines[0].vocabulary)


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
