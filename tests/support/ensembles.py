"""Ensembles of scripted members, and decode loops that are run to their end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from quorate.engines.contract import Engine
from quorate.engines.vocabulary import BYTES
from quorate.ensemble.alignments.bytes.alignment import ByteAlignment
from quorate.ensemble.alignments.contract import AlignmentStrategy, Limit
from quorate.ensemble.alignments.tokens import TokenAlignment
from quorate.ensemble.decode import DecodeParams, Step
from quorate.ensemble.ensemble import Ensemble
from quorate.ensemble.losses import Losses
from quorate.ensemble.member import Member, MemberPrompt
from quorate.ensemble.weighting import StaticWeights, Weigher
from quorate.request import (
    BeamOptions,
    ChatPrompt,
    CombinationRule,
    Delta,
    FailurePolicy,
    FinishReason,
    Notice,
    ResponseOptions,
    SamplingOptions,
    StoppingOptions,
    TextPrompt,
    Token,
)
from quorate.sampling.sampler import Sampler
from support.in_process import InProcessEngine

GREEDY = SamplingOptions(temperature=0.0)
PROMPT = TextPrompt("the cat ")

_KV_TOKENS = 256


async def token_ensemble(
    *members: tuple[InProcessEngine, float],
    policy: FailurePolicy = FailurePolicy.AUTO,
    starts: bool = True,
) -> Ensemble[int]:
    """Members that share a vocabulary, with static weights, started on the prompt."""
    ensemble = await unopened(TokenAlignment(members[0][0].vocabulary), *members, policy=policy)
    await ensemble.open()
    if starts:
        ensemble.start()
    return ensemble


async def byte_ensemble(
    *members: tuple[InProcessEngine, float],
    policy: FailurePolicy = FailurePolicy.AUTO,
    epsilon: float = 1e-2,
    width: int = 4,
    weigher: Weigher | None = None,
    kv_tokens: int = _KV_TOKENS,
    starts: bool = True,
) -> Ensemble[int]:
    """Members that vote byte by byte, started on the prompt."""
    alignment = ByteAlignment(BeamOptions(epsilon, width))
    ensemble = await unopened(alignment, *members, policy=policy, kv_tokens=kv_tokens)
    ensemble.weigher = weigher or ensemble.weigher
    await ensemble.open()
    if starts:
        ensemble.start()
    return ensemble


async def unopened(
    alignment: AlignmentStrategy[Any],
    *members: tuple[InProcessEngine, float],
    policy: FailurePolicy = FailurePolicy.AUTO,
    kv_tokens: int = _KV_TOKENS,
) -> Ensemble[Any]:
    """Members with static weights, behind the prompt as tokens; nothing is open yet."""
    chosen = []
    for engine, _ in members:
        prompt = MemberPrompt(await engine.encode(PROMPT), kv_tokens)
        # As behind a chat, so that the whole prompt is given as tokens.
        predictor = alignment.predictor(engine, ChatPrompt(()), prompt, kv_tokens)
        chosen.append(Member(engine.model_id, engine, prompt, predictor))
    weigher = StaticWeights([weight for _, weight in members])
    return Ensemble(alignment, chosen, Losses(policy), weigher)


def params_of(engine: Engine | None = None, **changes: Any) -> DecodeParams:
    """A greedy linear vote of 12 tokens on an engine's vocabulary, or on the bytes."""
    vocabulary = BYTES if engine is None else engine.vocabulary
    sampling = changes.pop("sampling", GREEDY)
    seed = changes.pop("seed", 7)
    limit = Limit(changes.pop("max_tokens", 12), changes.pop("at_limit", FinishReason.MAX_TOKENS))
    return DecodeParams(
        **{
            "rule": CombinationRule.LINEAR,
            "sampler": Sampler(sampling, len(vocabulary), seed, ()),
            "stopping": StoppingOptions(),
            "response": ResponseOptions(),
            "limit": limit,
            **changes,
        }
    )


class Told:
    """Everything a decode loop yielded."""

    def __init__(self) -> None:
        self.deltas: list[Delta] = []
        self.notices: list[Notice] = []
        self.ended: FinishReason | None = None

    @property
    def text(self) -> str:
        return "".join(delta.text for delta in self.deltas)

    @property
    def tokens(self) -> list[Token]:
        return [token for delta in self.deltas for token in delta.tokens]

    @property
    def ids(self) -> list[int]:
        return [token.token_id for token in self.tokens if token.token_id is not None]

    @property
    def logprob(self) -> float:
        return sum(token.logprob for token in self.tokens)


async def run_out(
    steps: AsyncIterator[Step], after: Mapping[int, Callable[[], None]] | None = None
) -> Told:
    """Reads a loop to its end; ``after`` maps a count of tokens to what happens behind it."""
    told = Told()
    async for step in steps:
        if isinstance(step, Delta):
            told.deltas.append(step)
            action = (after or {}).get(len(told.tokens))
            if action is not None:
                action()
        elif isinstance(step, Notice):
            told.notices.append(step)
        else:
            told.ended = step
    return told


def die_and_return(engine: InProcessEngine) -> None:
    """The death of a member whose worker is back at once."""
    engine.lose("killed by SIGKILL")
    engine.recover()
