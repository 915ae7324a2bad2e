"""A reader that lags is told the same in fewer deltas, and holds up no more than it must."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from quorate.ensemble.decode import Step, decode
from quorate.ensemble.ensemble import Ensemble
from quorate.ensemble.sharing import ahead_of_laggards, sharing
from quorate.errors import WorkerLost
from quorate.request import (
    Delta,
    FailurePolicy,
    FinishReason,
    Notice,
    NoticeKind,
    ResponseOptions,
    Token,
    TopCandidate,
)
from support.ensembles import Told, params_of, run_out, token_ensemble
from support.in_process import InProcessEngine
from support.scripted_models import scripted_engine

SHOWN = ResponseOptions(top_logprobs=1, member_votes=True)
ALWAYS, NEVER = -1.0, 1e9


def pair() -> list[InProcessEngine]:
    return [scripted_engine(name, seed=at, sharpness=3.0) for at, name in enumerate("ab")]


async def voted(
    engines: list[InProcessEngine], policy: FailurePolicy = FailurePolicy.AUTO
) -> tuple[Ensemble[int], AsyncGenerator[Step, None]]:
    ensemble = await token_ensemble(*((one, 0.5) for one in engines), policy=policy)
    return ensemble, decode(ensemble, params_of(engines[0], max_tokens=40, response=SHOWN))


async def idle(engines: list[InProcessEngine]) -> None:
    """Lets everything run that goes on while nobody reads."""
    for _ in range(400):
        await asyncio.sleep(0)
    assert not any(engine.has_work for engine in engines)


@pytest.fixture
async def plain() -> Told:
    ensemble, steps = await voted(pair())
    told = await run_out(steps)
    ensemble.close()
    return told


async def test_a_reader_that_keeps_up_is_told_every_token_on_its_own(plain: Told) -> None:
    engines = pair()
    ensemble, steps = await voted(engines)
    told = await run_out(ahead_of_laggards(steps, NEVER))
    ensemble.close()
    assert told.deltas == plain.deltas


async def test_a_reader_that_lags_is_told_the_same_in_fewer_deltas(plain: Told) -> None:
    engines = pair()
    ensemble, steps = await voted(engines)
    told, sizes = Told(), list[int]()
    async for step in ahead_of_laggards(steps, ALWAYS):
        if isinstance(step, Delta):
            told.deltas.append(step)
            sizes.append(len(step.tokens))
            # Every read takes as long as everything that can be done meanwhile.
            await idle(engines)
        else:
            assert isinstance(step, FinishReason)
            told.ended = step
    ensemble.close()
    # Nothing runs ahead before it has lagged once. Each token counts as four, its candidate and
    # votes with it, so that sixteen share a delta.
    assert sizes == [1, 1, 16, 16, 6]
    assert (told.text, told.tokens, told.ended) == (plain.text, plain.tokens, plain.ended)
    assert [len(token.votes) for token in told.tokens] == [2] * 40


async def test_what_ends_an_answer_comes_behind_all_that_was_decided() -> None:
    engines = pair()
    ensemble, steps = await voted(engines, FailurePolicy.FAIL)
    told = Told()
    with pytest.raises(WorkerLost):
        async for step in ahead_of_laggards(steps, ALWAYS):
            assert isinstance(step, Delta)
            told.deltas.append(step)
            await idle(engines)
            if len(told.deltas) == 2:
                engines[0].lose("killed by SIGKILL")
    ensemble.close()
    # Those that were held when it died are told, with the one that was computed already.
    assert 2 + 16 <= len(told.tokens) <= 2 + 16 + 1


@pytest.mark.parametrize("lagging", [False, True])
async def test_an_answer_that_nobody_reads_to_its_end_stops_where_it_is_closed(
    lagging: bool,
) -> None:
    engines = pair()
    ensemble, steps = await voted(engines)
    async with aclosing(ahead_of_laggards(steps, ALWAYS if lagging else NEVER)) as shared:
        for _ in range(3):
            await anext(shared)
    computed = ensemble.length
    ensemble.close()
    assert computed <= (2 + 16 + 16 + 1 if lagging else 3)
    with pytest.raises(StopAsyncIteration):
        await anext(steps)
    assert all(engine.open_sessions == 0 for engine in engines)


def test_deltas_are_shared_up_to_a_size_and_not_between_reasoning_and_answer() -> None:
    def delta(text: str, top: int = 0, reasoning: str | None = None) -> Delta:
        candidates = (TopCandidate(1, b"x", -1.0),) * top
        return Delta(text, (Token(1, text.encode(), -0.5, candidates),), reasoning)

    notice = Notice(NoticeKind.MASS_CUT, "a", "much")
    steps = [delta("", reasoning=one) for one in "ab"] + [delta(one) for one in "cd"]
    shared = [*sharing([*steps, notice, delta("e"), FinishReason.STOP_STRING])]
    assert [type(one) for one in shared] == [Delta, Delta, Notice, Delta, FinishReason]
    assert [(one.text, one.reasoning) for one in shared if isinstance(one, Delta)] == [
        ("", "ab"),
        ("cd", None),
        ("e", None),
    ]
    sizes = [len(one.tokens) for one in sharing(delta("x", top=20) for _ in range(8))]
    assert sizes == [3, 3, 2]
    assert [len(one.tokens) for one in sharing(delta("x") for _ in range(100))] == [64, 36]
