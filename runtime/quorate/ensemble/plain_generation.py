"""Plain generation: a single member samples by itself, without a round trip for each token.

An ensemble of one needs no round trip for each token. The engine runs ahead, with the sampler that
the vote has or with one of its own, to the same options; here its tokens become the same steps that
``decode`` yields.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from quorate.engines.generation import EngineSampling, SampledToken
from quorate.engines.vocabulary import Vocabulary
from quorate.ensemble.alignments.tokens import TokenPredictor
from quorate.ensemble.decode import DecodeParams, Step, decode
from quorate.ensemble.ensemble import Ensemble
from quorate.ensemble.sharing import sharing
from quorate.ensemble.transcript import Transcript
from quorate.errors import Internal, WorkerLost
from quorate.request import (
    FinishReason,
    ResponseOptions,
    SamplingOptions,
    Token,
    TopCandidate,
)
from quorate.sampling.options import acting_on_tokens
from quorate.sampling.sampler import (
    DEFAULT_MIN_P,
    DEFAULT_TEMPERATURE,
    DEFAULT_TOP_K,
    DEFAULT_TOP_P,
    given,
    nothing_left,
)

_MOST_BIASED = 1024


def lone_predictor(
    ensemble: Ensemble[Any], sampling: SamplingOptions, response: ResponseOptions
) -> TokenPredictor | None:
    """The only member's predictor, where it may generate by itself; else None.

    It may not where somebody votes beside it, where its vote is to be shown, where the answer must
    be of some form, where its symbols are bytes or pieces, and where its engine cannot sample
    tokens. Nor may an engine with a sampler of its own where bias or penalties are asked for, which
    it applies in another order than ours; and a bias of very many tokens would keep a worker from
    its other streams while it reads them.
    """
    if len(ensemble.members) != 1 or response.member_votes or ensemble.constraint:
        return None
    (member,) = ensemble.members
    can, predictor = member.engine.facts.capabilities, member.predictor
    if not can.generate or not isinstance(predictor, TokenPredictor):
        return None
    if can.own_sampler and acting_on_tokens(sampling):
        return None
    return predictor if len(sampling.logit_bias) <= _MOST_BIASED else None


def engine_sampling(
    options: SamplingOptions, seed: int, max_tokens: int, top_logprobs: int
) -> EngineSampling:
    """The same options, with the same defaults, for a member that samples by itself.

    They are valid; the seed in them is not looked at.
    """
    return EngineSampling(
        temperature=given(options.temperature, DEFAULT_TEMPERATURE),
        top_k=given(options.top_k, DEFAULT_TOP_K),
        top_p=given(options.top_p, DEFAULT_TOP_P),
        min_p=given(options.min_p, DEFAULT_MIN_P),
        seed=seed,
        max_tokens=max_tokens,
        top_logprobs=top_logprobs,
        repetition_penalty=given(options.repetition_penalty, 1.0),
        presence_penalty=given(options.presence_penalty, 0.0),
        frequency_penalty=given(options.frequency_penalty, 0.0),
        logit_bias=tuple(options.logit_bias.items()),
    )


async def generate(
    ensemble: Ensemble[int],
    predictor: TokenPredictor,
    params: DecodeParams,
    sampling: EngineSampling,
) -> AsyncGenerator[Step, None]:
    """Runs plain generation over an open ensemble whose member has not been started.

    A member that is lost and may be replayed finishes the answer in lock-step, with the sampler of
    ``params``, which is not used before: where the member drew with the same one, the answer is
    that of a member that was never lost. ``predictor`` is what ``lone_predictor`` gave.

    Yields:
        What ``decode`` yields; what was sampled while the reader was busy comes in fewer deltas.

    Raises:
        InvalidRequest: Bias and penalties leave no token.
        WorkerLost: The member died and the ensemble's policy does not replay it.
        Unavailable: The member died and will not come back.
    """
    (member,), clock = ensemble.members, ensemble.clock
    member.started = True
    transcript = ensemble.alignment.transcript(params.stopping)
    try:
        async for batch in predictor.generate(sampling):
            clock.rows(ensemble.worked_seconds)
            await ensemble.turn()
            clock.turn()
            steps: list[Step] = []
            for sampled in batch:
                steps += _take(sampled, ensemble, predictor, params, transcript)
                if transcript.ended is not None:
                    break
            clock.combined()
            clock.tell(ensemble.worked_seconds)
            for step in steps if len(steps) < 2 else sharing(steps):
                yield step
            clock.written()
            if transcript.ended is not None:
                return
        if sampling.acts_on_tokens:
            raise nothing_left()
        raise Internal(f"model {member.model} ended its generation without an end")
    except WorkerLost as error:
        await ensemble.replay({member.model: error})
    for token in predictor.answer:
        params.sampler.accept(token)
    async with aclosing(decode(ensemble, params, transcript)) as rest:
        async for step in rest:
            yield step


def _take(
    sampled: SampledToken,
    ensemble: Ensemble[int],
    predictor: TokenPredictor,
    params: DecodeParams,
    transcript: Transcript,
) -> list[Step]:
    """Takes a token into the answer; returns what there is to tell of it."""
    (member,), vocabulary = ensemble.members, predictor.vocabulary
    ensemble.note_cut(member.model, sampled.masked_mass)
    notices = ensemble.take_notices()
    if sampled.token in vocabulary.end_of_generation:
        return [*notices, *transcript.end(FinishReason.END_OF_GENERATION)]
    member.observe(sampled.logprob, 1.0)
    ends = ensemble.alignment.ends_behind(ensemble.members, params.limit)
    token = _token(sampled, vocabulary, params.response.shows_logprobs)
    steps = transcript.add(token, ends)
    if transcript.ended is None:
        predictor.keep(sampled.token)
    else:
        # Ended before the caller hears of it: the engine would run on meanwhile.
        ensemble.close()
    return [*notices, *steps]


def _token(sampled: SampledToken, vocabulary: Vocabulary, shows_logprob: bool) -> Token:
    pieces = vocabulary.pieces
    top = tuple(TopCandidate(token, pieces[token], logprob) for token, logprob in sampled.top)
    token = sampled.token
    control = token in vocabulary.control
    logprob = sampled.logprob if shows_logprob else 0.0
    return Token(token, pieces[token], logprob, top, control=control)
