from __future__ import annotations

import asyncio

import pytest

from quorate.engines.generation import SAMPLED_AHEAD, SampledToken
from quorate.engines.sampled_tokens import SampledTokens, check_sampling
from quorate.errors import InvalidRequest, WorkerLost
from support.scripted_models import engine_sampling

ONE, TWO, THREE = (SampledToken(token, -0.5) for token in (1, 2, 3))
DEADLINE_SECONDS = 10.0


async def read_all(tokens: SampledTokens) -> list[list[SampledToken]]:
    async with asyncio.timeout(DEADLINE_SECONDS):
        return [list(some) async for some in tokens]


async def waiting_reader(tokens: SampledTokens) -> asyncio.Task[list[list[SampledToken]]]:
    reading = asyncio.create_task(read_all(tokens))
    await asyncio.sleep(0)
    assert not reading.done()
    return reading


async def test_what_came_before_the_reader_comes_in_one_piece() -> None:
    tokens = SampledTokens()
    tokens.push([ONE], finished=False)
    tokens.push([TWO, THREE], finished=True)
    assert await read_all(tokens) == [[ONE, TWO, THREE]]
    assert tokens.ended


async def test_a_reader_that_waits_gets_each_as_it_comes() -> None:
    tokens = SampledTokens()
    reading = await waiting_reader(tokens)
    tokens.push([ONE], finished=False)
    await asyncio.sleep(0)
    tokens.push([], finished=False)
    await asyncio.sleep(0)
    tokens.push([TWO], finished=True)
    assert await reading == [[ONE], [TWO]]


async def test_an_end_without_tokens_ends_the_reader() -> None:
    tokens = SampledTokens()
    reading = await waiting_reader(tokens)
    tokens.push([], finished=True)
    assert await reading == []


async def test_an_error_comes_behind_what_was_sampled_and_again_when_asked_again() -> None:
    tokens = SampledTokens()
    tokens.push([ONE], finished=False)
    tokens.fail(WorkerLost("a", "killed"))
    assert await anext(tokens) == [ONE]
    for _ in range(2):
        with pytest.raises(WorkerLost):
            await anext(tokens)


async def test_an_error_reaches_a_reader_that_waits() -> None:
    tokens = SampledTokens()
    reading = await waiting_reader(tokens)
    tokens.fail(WorkerLost("a", "killed"))
    with pytest.raises(WorkerLost):
        await reading


async def test_a_loss_behind_the_end_is_nobodys_business() -> None:
    tokens = SampledTokens()
    tokens.push([ONE], finished=True)
    tokens.fail(WorkerLost("a", "killed"))
    assert await read_all(tokens) == [[ONE]]


async def test_closing_ends_a_reader_and_drops_what_it_did_not_take() -> None:
    tokens = SampledTokens()
    reading = await waiting_reader(tokens)
    tokens.push([ONE], finished=False)
    tokens.close()
    assert await reading == []
    assert await read_all(tokens) == []


async def test_an_engine_that_waits_hears_from_time_to_time_what_was_taken() -> None:
    tokens, heard = SampledTokens(), []
    tokens.report_to(lambda taken, waited: heard.append((taken, waited)))
    for some in (1, SAMPLED_AHEAD // 2 - 2, 1, SAMPLED_AHEAD, SAMPLED_AHEAD - 1):
        tokens.push([ONE] * some, finished=False)
        await anext(tokens)
    # It may have waited only for a reader that was all that it may be behind.
    assert heard == [(SAMPLED_AHEAD // 2, False), (SAMPLED_AHEAD, True), (SAMPLED_AHEAD - 1, False)]
    tokens.push([ONE] * SAMPLED_AHEAD, finished=True)
    await anext(tokens)
    assert len(heard) == 3


@pytest.mark.parametrize("most", [1, 5])
def test_what_fits_may_be_sampled(most: int) -> None:
    check_sampling(engine_sampling(max_tokens=most), 5)


@pytest.mark.parametrize("most", [-1, 0, 6])
def test_what_no_worker_could_serve_is_refused(most: int) -> None:
    with pytest.raises(InvalidRequest, match="where 1 to 5 fit") as caught:
        check_sampling(engine_sampling(max_tokens=most), 5)
    assert caught.value.field == "max_tokens"
