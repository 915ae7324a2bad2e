"""Plain generation: a single member samples by itself, without a round trip for each token.

An ensemble of one needs no round trip for each token. The engine runs ahead with its own sampler,
to the same options; here its tokens become the same steps that ``decode`` yields.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from quorate.engines.contract import EngineSampling, SampledToken
from quorate.engines.vocabulary import Vocabulary
from quorate.ensemble.alignments.tokens import TokenPredictor
from quorate.ensemble.decode import DecodeParams, Step, decode
from quorate.ensemble.ensemble import Ensemble
from quorate.errors import Internal, WorkerLost
from quorate.request import FinishReason, ResponseOptions, SamplingOptions, Token, TopCandidate
from quorate.sampling.options import acting_on_tokens
from quorate.sampling.sampler import (
    DEFAULT_MIN_P,
    DEFAULT_TEMPERATURE,
    DEFAULT_TOP_K,
    DEFAULT_TOP_P,
    given,
)


def lone_predictor(
    ensemble: Ensemble[Any], sampling: SamplingOptions, response: ResponseOptions
) -> TokenPredictor | None:
    """The only member's predictor, where it may generate by itself; else None.

    It may not where somebody votes beside it, where its vote is to be shown, where bias or
    penalties are asked for, which engines apply in another order than our sampler, where its
    symbols are bytes or pieces, and where its engine cannot sample tokens.
    """
    if len(ensemble.members) != 1 or response.member_votes or acting_on_tokens(sampling):
        return None
    (member,) = ensemble.members
    predictor = member.predictor
    samples = member.engine.facts.capabilities.generate
    return predictor if samples and isinstance(predictor, TokenPredictor) else None


async def generate(
    ensemble: Ensemble[int],
    predictor: TokenPredictor,
    params: DecodeParams,
    sampling: EngineSampling,
) -> AsyncGenerator[Step, None]:
    """Runs plain generation over an open ensemble whose member has not been started.

    A member that is lost and may be replayed finishes the answer in lock-step, with the sampler of
    ``params``, which is not used before. ``predictor`` is what ``lone_predictor`` gave.

    Yields:
        What ``decode`` yields.

    Raises:
        WorkerLost: The member died and the ensemble's policy does not replay it.
        Unavailable: The member died and will not come back.
    """
    (member,) = ensemble.members
    member.started = True
    alignment, vocabulary = ensemble.alignment, predictor.vocabulary
    transcript = alignment.transcript(params.stopping)
    try:
        async for batch in predictor.generate(sampling):
            for sampled in batch:
                if sampled.token in vocabulary.end_of_generation:
                    for told in transcript.end(FinishReason.END_OF_GENERATION):
                        yield told
                    return
                member.observe(sampled.logprob, 1.0)
                ends = alignment.ends_behind(ensemble.members, params.limit)
                steps = transcript.add(_token(sampled, vocabulary), ends)
                if transcript.ended is None:
                    predictor.keep(sampled.token)
                else:
                    # Ended before the caller hears of it: the engine would run on meanwhile.
                    ensemble.close()
                for told in steps:
                    yield told
                if transcript.ended is not None:
                    return
        raise Internal(f"model {member.model} ended its generation without an end")
    except WorkerLost as error:
        await ensemble.replay({member.model: error})
    async with aclosing(decode(ensemble, params, transcript)) as rest:
        async for step in rest:
            yield step


def engine_sampling(
    options: SamplingOptions, seed: int, max_tokens: int, top_logprobs: int
) -> EngineSampling:
    """The same options, with the same defaults, for an engine that samples by itself.

    They are valid and act on no token, see ``acting_on_tokens``; the seed in them is not looked at.
    """
    return EngineSampling(
        temperature=given(options.temperature, DEFAULT_TEMPERATURE),
        top_k=given(options.top_k, DEFAULT_TOP_K),
        top_p=given(options.top_p, DEFAULT_TOP_P),
        min_p=given(options.min_p, DEFAULT_MIN_P),
        seed=seed,
        max_tokens=max_tokens,
        top_logprobs=top_logprobs,
    )


def _token(sampled: SampledToken, vocabulary: Vocabulary) -> Token:
    pieces = vocabulary.pieces
    top = tuple(TopCandidate(token, pieces[token], logprob) for token, logprob in sampled.top)
    token = sampled.token
    control = token in vocabulary.control
    return Token(token, pieces[token], sampled.logprob, top, control=control)
