from __future__ import annotations

import pytest

from quorate.ensemble.ensemble import Ensemble
from quorate.errors import Unavailable
from quorate.request import FailurePolicy, NoticeKind
from support.ensembles import PROMPT, die_and_return, token_ensemble
from support.in_process import InProcessEngine
from support.scripted_models import scripted_engine


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


async def ensemble_of(
    *engines: InProcessEngine, policy: FailurePolicy = FailurePolicy.AUTO
) -> tuple[Ensemble, int]:
    """An open ensemble after one token of the answer, and that token."""
    shared = 1 / len(engines)
    ensemble = await token_ensemble(*((engine, shared) for engine in engines), policy=policy)
    rows = await ensemble.distributions()
    return ensemble, int(rows[0].argmax())


async def test_a_member_lost_again_before_its_session_is_open_is_replayed_once_more() -> None:
    engine = dies_again()
    ensemble, token = await ensemble_of(engine)
    engine.lose("killed by SIGKILL")
    await ensemble.tell(token)
    (row,) = await ensemble.distributions()
    assert row.shape == (len(engine.vocabulary),)
    (notice,) = ensemble.take_notices()
    assert (notice.kind, notice.model) == (NoticeKind.MEMBER_REPLAYED, "a")
    assert "killed by SIGKILL" in notice.message
    ensemble.close()


async def test_a_member_that_never_comes_back_fails_the_request() -> None:
    engine = scripted_engine("a")
    ensemble, token = await ensemble_of(engine)
    engine.lose("killed by SIGKILL")
    await engine.close()
    await ensemble.tell(token)
    with pytest.raises(Unavailable):
        await ensemble.distributions()
    ensemble.close()


async def test_however_many_members_die_at_once_all_are_replayed() -> None:
    engines = [scripted_engine(name, seed=seed) for seed, name in enumerate("abcde")]
    ensemble, token = await ensemble_of(*engines)
    await ensemble.tell(token)
    undisturbed = [row.copy() for row in await ensemble.distributions()]
    ensemble.close()

    ensemble, token = await ensemble_of(*engines)
    for engine in engines:
        die_and_return(engine)
    await ensemble.tell(token)
    rows = await ensemble.distributions()
    assert [row.tolist() for row in rows] == [row.tolist() for row in undisturbed]
    assert [notice.model for notice in ensemble.take_notices()] == list("abcde")
    ensemble.close()


async def test_the_usage_of_a_replayed_member_counts_its_tokens_once() -> None:
    engine = scripted_engine("a")
    ensemble, token = await ensemble_of(engine)
    await ensemble.tell(token)
    await ensemble.distributions()
    engine.lose("killed by SIGKILL")
    engine.recover()
    await ensemble.tell(token)
    await ensemble.distributions()
    (usage,) = ensemble.usage()
    assert usage.prompt_tokens == len(await engine.encode(PROMPT))
    assert usage.generated_tokens == 2
    ensemble.close()


async def test_what_a_replay_finds_in_the_cache_does_not_count_for_the_prompt() -> None:
    a, b = scripted_engine("a"), scripted_engine("b")
    ensemble, token = await ensemble_of(a, b, policy=FailurePolicy.REPLAY)
    a.lose("killed by SIGKILL")
    a.recover()
    await ensemble.tell(token)
    await ensemble.distributions()
    assert [usage.cached_prompt_tokens for usage in ensemble.usage()] == [0, 0]
    ensemble.close()
