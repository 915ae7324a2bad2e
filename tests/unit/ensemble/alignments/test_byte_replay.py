"""What befalls a byte-exact vote when a member dies in mid-text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.ensemble.decode import decode, score
from quorate.ensemble.ensemble import Ensemble
from quorate.ensemble.weighting import BayesianWeights
from quorate.errors import WorkerLost
from quorate.request import (
    CombinationRule,
    FailurePolicy,
    FinishReason,
    NoticeKind,
    ResponseOptions,
)
from support.byte_predictors import everything_is_free
from support.ensembles import PROMPT, Told, byte_ensemble, die_and_return, params_of, run_out
from support.in_process import InProcessEngine
from support.scripted_models import scripted_engine


def three() -> list[InProcessEngine]:
    return [
        scripted_engine("a", seed=1),
        scripted_engine("b", vocabulary="words", seed=2),
        scripted_engine("c", vocabulary="words", seed=3),
    ]


async def run(ensemble: Ensemble, after: dict[int, Callable[[], None]] | None = None) -> Told:
    how = params_of(max_tokens=30, response=ResponseOptions(member_votes=True))
    try:
        return await run_out(decode(ensemble, how), after)
    finally:
        ensemble.close()


async def test_a_dead_member_is_dropped_with_a_notice_and_leaves_its_weight() -> None:
    a, b, c = three()
    ensemble = await byte_ensemble((a, 0.5), (b, 0.3), (c, 0.2))
    told = await run(ensemble, {2: lambda: a.lose("killed by SIGKILL")})
    assert [(n.kind, n.model) for n in told.notices] == [(NoticeKind.MEMBER_DROPPED, "a")]
    assert "killed by SIGKILL" in told.notices[0].message
    assert told.ended is FinishReason.MAX_TOKENS
    assert [vote.model for vote in told.tokens[0].votes] == ["a", "b", "c"]
    assert [(vote.model, vote.weight) for vote in told.tokens[-1].votes] == [
        ("b", pytest.approx(0.6)),
        ("c", pytest.approx(0.4)),
    ]
    assert await everything_is_free(b)


async def test_after_a_drop_bayesian_weights_are_those_of_the_others_alone() -> None:
    a, b, c = three()
    weigher = BayesianWeights([0.5, 0.3, 0.2], 0.9)
    ensemble = await byte_ensemble((a, 0.5), (b, 0.3), (c, 0.2), weigher=weigher)
    told = await run(ensemble, {2: lambda: a.lose("killed by SIGKILL")})
    assert [vote.model for vote in told.tokens[-1].votes] == ["b", "c"]
    assert sum(vote.weight for vote in told.tokens[-1].votes) == pytest.approx(1.0)


async def test_the_only_member_is_replayed_and_the_text_is_the_same() -> None:
    undisturbed = await run(await byte_ensemble((three()[0], 1.0)))
    engine = three()[0]
    told = await run(await byte_ensemble((engine, 1.0)), {2: lambda: die_and_return(engine)})
    assert told.text == undisturbed.text
    assert [(n.kind, n.model) for n in told.notices] == [(NoticeKind.MEMBER_REPLAYED, "a")]


@settings(max_examples=30)
@given(st.integers(1, 6), st.integers(0, 2), st.sampled_from([1e-2, 0.2]), st.integers(1, 4))
async def test_a_replay_restores_the_beam_so_that_the_text_is_the_same(
    word: int, dying: int, epsilon: float, width: int
) -> None:
    how = {"policy": FailurePolicy.REPLAY, "epsilon": epsilon, "width": width}
    weights = (0.5, 0.3, 0.2)
    steady = await run(await byte_ensemble(*zip(three(), weights, strict=True), **how))
    engines = three()
    ensemble = await byte_ensemble(*zip(engines, weights, strict=True), **how)
    told = await run(ensemble, {word: lambda: die_and_return(engines[dying])})
    assert told.text == steady.text
    assert told.logprob == pytest.approx(steady.logprob, abs=1e-5)
    assert [vote.model for vote in told.tokens[-1].votes] == ["a", "b", "c"]
    for engine in engines:
        assert await everything_is_free(engine)


async def test_a_score_with_a_replay_in_between_is_the_same() -> None:
    text = (await run(await byte_ensemble((three()[0], 1.0)))).text.encode()
    scores = []
    for dies in (False, True):
        a, b, _ = three()
        ensemble = await byte_ensemble(
            (a, 0.5), (b, 0.5), policy=FailurePolicy.REPLAY, starts=False
        )
        if dies:
            _in_mid_text(ensemble, partial(die_and_return, b))
        tokens = await score(ensemble, CombinationRule.LINEAR, text)
        scores.append([token.logprob for token in tokens])
        assert len(ensemble.take_notices()) == dies
        ensemble.close()
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)


def _in_mid_text(ensemble: Ensemble, die: Callable[[], None]) -> None:
    """Has a member die once the beam has branched."""
    feed, fed = ensemble.members[1].predictor.feed, []

    def dying(symbol: int, ahead: Sequence[int] = ()) -> object:
        fed.append(symbol)
        if len(fed) == 7:
            die()
        return feed(symbol, ahead)

    ensemble.members[1].predictor.feed = dying  # type: ignore[method-assign,assignment]


async def test_the_fail_policy_ends_the_stream_with_the_loss() -> None:
    a, b, _ = three()
    ensemble = await byte_ensemble((a, 0.5), (b, 0.5), policy=FailurePolicy.FAIL)
    with pytest.raises(WorkerLost, match="killed by SIGKILL"):
        await run(ensemble, {2: lambda: a.lose("killed by SIGKILL")})
    assert await everything_is_free(b)


async def test_a_replayed_member_is_charged_for_its_tokens_once() -> None:
    steady = await byte_ensemble((three()[0], 1.0))
    await run(steady)
    engine = three()[0]
    ensemble = await byte_ensemble((engine, 1.0))
    await run(ensemble, {2: lambda: die_and_return(engine)})
    (usage,), (expected,) = ensemble.usage(), steady.usage()
    assert usage.prompt_tokens == expected.prompt_tokens == len(await engine.encode(PROMPT))
    assert usage.generated_tokens == expected.generated_tokens
    assert usage.dropped_mass == pytest.approx(expected.dropped_mass)
    assert usage.cached_prompt_tokens == 0
