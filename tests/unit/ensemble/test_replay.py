from __future__ import annotations

import pytest

from quorate.ensemble.seats import Table
from quorate.errors import Unavailable
from quorate.request import FailurePolicy, NoticeKind
from support.in_process import InProcessEngine
from support.scripted_models import scripted_engine
from support.tables import PROMPT, token_table


class DiesAgain(InProcessEngine):
    """Is lost once more between ``wait_ready`` and ``open``."""

    relapses = 1

    async def wait_ready(self) -> None:
        self.recover()
        if self.relapses:
            self.relapses -= 1
            self.lose("killed once more")


def dies_again() -> DiesAgain:
    engine = scripted_engine("a")
    engine.__class__ = DiesAgain
    assert isinstance(engine, DiesAgain)
    return engine


async def table_of(
    *engines: InProcessEngine, policy: FailurePolicy = FailurePolicy.AUTO
) -> tuple[Table, int]:
    """An open table after one token of the answer, and that token."""
    shared = 1 / len(engines)
    table = await token_table(*((engine, shared) for engine in engines), policy=policy)
    rows = await table.rows()
    return table, int(rows[0].argmax())


async def test_a_member_lost_again_before_its_session_is_open_is_replayed_once_more() -> None:
    engine = dies_again()
    table, token = await table_of(engine)
    engine.lose("killed by SIGKILL")
    table.feed(token)
    (row,) = await table.rows()
    assert row.shape == (len(engine.vocabulary),)
    (notice,) = table.take_notices()
    assert (notice.kind, notice.model) == (NoticeKind.MEMBER_REPLAYED, "a")
    assert "killed by SIGKILL" in notice.message
    table.close()


async def test_a_member_that_never_comes_back_fails_the_request() -> None:
    engine = scripted_engine("a")
    table, token = await table_of(engine)
    engine.lose("killed by SIGKILL")
    await engine.close()
    table.feed(token)
    with pytest.raises(Unavailable):
        await table.rows()
    table.close()


async def test_however_many_members_die_at_once_all_are_replayed() -> None:
    engines = [scripted_engine(name, seed=seed) for seed, name in enumerate("abcde")]
    table, token = await table_of(*engines)
    table.feed(token)
    undisturbed = [row.copy() for row in await table.rows()]
    table.close()

    table, token = await table_of(*engines)
    for engine in engines:
        engine.lose("killed by SIGKILL")
        engine.recover()
    table.feed(token)
    rows = await table.rows()
    assert [row.tolist() for row in rows] == [row.tolist() for row in undisturbed]
    assert [notice.model for notice in table.take_notices()] == list("abcde")
    table.close()


async def test_the_usage_of_a_replayed_member_counts_its_tokens_once() -> None:
    engine = scripted_engine("a")
    table, token = await table_of(engine)
    table.feed(token)
    await table.rows()
    engine.lose("killed by SIGKILL")
    engine.recover()
    table.feed(token)
    await table.rows()
    (usage,) = table.usage()
    assert usage.prompt_tokens == len(await engine.encode(PROMPT))
    assert usage.generated_tokens == 2
    table.close()


async def test_what_a_replay_finds_in_the_cache_does_not_count_for_the_prompt() -> None:
    a, b = scripted_engine("a"), scripted_engine("b")
    table, token = await table_of(a, b, policy=FailurePolicy.REPLAY)
    a.lose("killed by SIGKILL")
    a.recover()
    table.feed(token)
    await table.rows()
    assert [usage.cached_prompt_tokens for usage in table.usage()] == [0, 0]
    table.close()
