"""Tables of scripted members, and decode loops that are run to their end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from quorate.ensemble.byte_voice import ByteVoice, Opening, Pruning
from quorate.ensemble.decode import Ballot, Step
from quorate.ensemble.hypotheses import BYTES
from quorate.ensemble.sampling import Sampler
from quorate.ensemble.seats import Seat, Table
from quorate.ensemble.token_voice import TokenVoice
from quorate.ensemble.weighting import StaticWeights, Weigher
from quorate.request import (
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
from support.in_process import InProcessEngine

GREEDY = SamplingOptions(temperature=0.0)
PROMPT = TextPrompt("the cat ")

_RESERVE = 256


async def token_table(
    *members: tuple[InProcessEngine, float], policy: FailurePolicy = FailurePolicy.AUTO
) -> Table:
    """Members that share a vocabulary, with static weights, started on the prompt."""
    seats = []
    for engine, _ in members:
        prompt = await engine.encode(PROMPT)
        voice = TokenVoice(engine, prompt, _RESERVE)
        seats.append(Seat(engine.model_id, engine, voice, len(prompt)))
    table = Table(seats, policy, StaticWeights([weight for _, weight in members]))
    await table.open()
    table.start()
    return table


async def byte_table(
    *members: tuple[InProcessEngine, float],
    policy: FailurePolicy = FailurePolicy.AUTO,
    epsilon: float = 1e-2,
    width: int = 4,
    weigher: Weigher | None = None,
    reserve: int = _RESERVE,
) -> Table:
    """Members that vote byte by byte, started on the prompt."""
    seats = []
    for engine, _ in members:
        prompt = await engine.encode(PROMPT)
        pruning = Pruning(epsilon, width, reserve)
        voice = ByteVoice(engine, Opening(prompt), pruning, len(prompt) + reserve)
        seats.append(Seat(engine.model_id, engine, voice, len(prompt)))
    table = Table(seats, policy, weigher or StaticWeights([weight for _, weight in members]))
    await table.open()
    table.start()
    return table


def ballot(engine: InProcessEngine | None = None, **changes: Any) -> Ballot:
    """A greedy linear vote of 12 tokens on an engine's vocabulary, or on the bytes."""
    vocabulary = BYTES if engine is None else engine.vocabulary
    sampling = changes.pop("sampling", GREEDY)
    seed = changes.pop("seed", 7)
    return Ballot(
        **{
            "vocabulary": vocabulary,
            "rule": CombinationRule.LINEAR,
            "sampler": Sampler(sampling, len(vocabulary), seed, ()),
            "stopping": StoppingOptions(),
            "response": ResponseOptions(),
            "most_tokens": 12,
            "at_limit": FinishReason.MAX_TOKENS,
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


def die_and_return(engine: InProcessEngine) -> Callable[[], None]:
    """The death of a member whose worker is back at once."""

    def die() -> None:
        engine.lose("killed by SIGKILL")
        engine.recover()

    return die
