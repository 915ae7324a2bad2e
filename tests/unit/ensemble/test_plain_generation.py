from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from quorate.ensemble.alignments.bytes.predictor import BytePredictor
from quorate.ensemble.alignments.tokens import TokenAlignment, TokenPredictor
from quorate.ensemble.alignments.union import PiecePredictor, UnionAlignment
from quorate.ensemble.decode import decode
from quorate.ensemble.ensemble import Ensemble
from quorate.ensemble.plain_generation import (
    engine_sampling,
    generate,
    lone_predictor,
)
from quorate.errors import Internal, InvalidRequest, Unavailable, WorkerLost
from quorate.request import (
    Delta,
    FailurePolicy,
    FinishReason,
    NoticeKind,
    ResponseOptions,
    SamplingOptions,
    StoppingOptions,
)
from support.ensembles import (
    GREEDY,
    Told,
    byte_ensemble,
    die_and_return,
    params_of,
    run_out,
    token_ensemble,
    unopened,
)
from support.in_process import InProcessEngine
from support.scripted_models import scripted_engine

UNTRUNCATED = SamplingOptions(temperature=0.9, top_k=0, top_p=1.0, min_p=0.0)
PENALISED = SamplingOptions(
    temperature=1.2, top_p=0.9, presence_penalty=0.4, frequency_penalty=0.3, logit_bias={70: 2.0}
)
Kill = dict[int, Callable[[], None]]


def drawing(model_id: str = "a", **options: Any) -> InProcessEngine:
    return scripted_engine(model_id, generate=True, **options)


async def lone_ensemble(
    engine: InProcessEngine, policy: FailurePolicy = FailurePolicy.AUTO
) -> tuple[Ensemble[int], TokenPredictor]:
    """An open ensemble of one that has not been started."""
    alignment = TokenAlignment(engine.vocabulary)
    ensemble = await unopened(alignment, (engine, 1.0), policy=policy, kv_tokens=64)
    await ensemble.open()
    return ensemble, ensemble.members[0].predictor


async def ahead(
    engine: InProcessEngine,
    kill: Kill | None = None,
    policy: FailurePolicy = FailurePolicy.AUTO,
    sampling: SamplingOptions = GREEDY,
    **changes: Any,
) -> tuple[Told, Ensemble[int]]:
    """What running ahead tells, and the ensemble behind it."""
    ensemble, predictor = await lone_ensemble(engine, policy)
    how = params_of(engine, sampling=sampling, **changes)
    options = engine_sampling(sampling, 7, how.limit.max_tokens, how.response.top_logprobs)
    told = await run_out(generate(ensemble, predictor, how, options), kill)
    ensemble.close()
    return told, ensemble


async def in_lock_step(engine: InProcessEngine, **changes: Any) -> tuple[Told, Ensemble[int]]:
    """What a vote of one tells."""
    ensemble = await token_ensemble((engine, 1.0))
    told = await run_out(decode(ensemble, params_of(engine, **changes)))
    ensemble.close()
    return told, ensemble


CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a limit": ({"seed": 3}, {}),
    "one token": ({"seed": 3}, {"max_tokens": 1}),
    "the context": ({}, {"max_tokens": 4, "at_limit": FinishReason.CONTEXT_FULL}),
    "an end": ({"say": "sat on the mat"}, {"max_tokens": 50}),
    "a stop string": (
        {"say": "sat on the mat"},
        {"max_tokens": 50, "stopping": StoppingOptions(stop=("the",))},
    ),
    "a text held back": (
        {"say": "sat on the"},
        {"max_tokens": 50, "stopping": StoppingOptions(stop=("the mat",))},
    ),
    "a text held back at the limit": (
        {"say": "sat on the mat"},
        {"max_tokens": 8, "stopping": StoppingOptions(stop=("the mouse",))},
    ),
    "bytes": ({"say": "a€€"}, {"max_tokens": 50, "stopping": StoppingOptions(max_bytes=5)}),
    "candidates": ({"seed": 5}, {"response": ResponseOptions(top_logprobs=3)}),
    "the defaults": ({"seed": 5}, {"sampling": SamplingOptions()}),
    "all that there is": ({"seed": 5}, {"sampling": UNTRUNCATED}),
    "penalties": ({"seed": 5}, {"sampling": PENALISED, "max_tokens": 40}),
}


@pytest.mark.parametrize(("options", "changes"), CASES.values(), ids=CASES.keys())
async def test_running_ahead_tells_what_a_vote_of_one_tells(
    options: dict[str, Any], changes: dict[str, Any]
) -> None:
    told, ensemble = await ahead(drawing(**options), **changes)
    voted, vote = await in_lock_step(drawing(**options), **changes)
    assert told.deltas == voted.deltas
    assert told.ended is voted.ended
    assert told.ended is not None
    assert not told.notices
    assert ensemble.length == vote.length


@pytest.mark.parametrize("case", ["a limit", "one token", "an end"])
async def test_usage_and_work_are_those_of_a_vote_of_one(case: str) -> None:
    options, changes = CASES[case]
    _, ensemble = await ahead(drawing(**options), **changes)
    _, vote = await in_lock_step(drawing(**options), **changes)
    (usage,), (expected,) = ensemble.usage(), vote.usage()
    assert usage.prompt_tokens == expected.prompt_tokens
    assert usage.generated_tokens == expected.generated_tokens
    assert usage.busy_ms > 0
    assert ensemble.work() == vote.work()
    (member,), (voter,) = ensemble.members, vote.members
    assert member.logprob == pytest.approx(voter.logprob)
    assert (member.steps, member.weight_sum) == (voter.steps, pytest.approx(voter.weight_sum))


async def test_an_answer_that_ends_early_ends_the_engines_work_before_it_is_told() -> None:
    engine = drawing(say="sat on the mat and slept", sessions=1)
    ensemble, predictor = await lone_ensemble(engine)
    how = params_of(engine, max_tokens=50, stopping=StoppingOptions(stop=("on",)))
    async for step in generate(ensemble, predictor, how, engine_sampling(GREEDY, 7, 50, 0)):
        if isinstance(step, Delta) and step.text:
            busy = engine.has_work
    # The last text is "sat ": what follows belongs to the stop string.
    assert step is FinishReason.STOP_STRING
    assert busy
    assert not engine.has_work
    (await engine.open(8)).close()
    assert ensemble.work()["a"].decode >= predictor.length == len("sat o")


async def test_what_was_drawn_while_the_reader_was_busy_shares_a_delta() -> None:
    engine = drawing("a", seed=3)
    told, _ = await ahead(engine, max_tokens=30)
    ensemble, predictor = await lone_ensemble(engine)
    how = params_of(engine, max_tokens=30)
    steps = generate(ensemble, predictor, how, engine_sampling(GREEDY, 7, 30, 0))
    first = await anext(steps)
    # The engine runs ahead until it is asked again.
    while engine.has_work:
        await asyncio.sleep(0)
    rest = [step async for step in steps]
    ensemble.close()
    assert isinstance(first, Delta)
    assert [type(step) for step in rest] == [Delta, FinishReason]
    assert (first.text + rest[0].text, [*first.tokens, *rest[0].tokens]) == (
        told.text,
        told.tokens,
    )


async def test_tokens_are_drawn_with_the_callers_options_and_the_plans_seed() -> None:
    first, _ = await ahead(drawing(), sampling=UNTRUNCATED)
    again, _ = await ahead(drawing(), sampling=UNTRUNCATED)
    greedy, _ = await ahead(drawing())
    assert first.ids == again.ids
    assert first.ids != greedy.ids


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (SamplingOptions(seed=3), (0.8, 40, 0.95, 0.05)),
        (SamplingOptions(0.0, 0.5, 3, 0.1, 1), (0.0, 3, 0.5, 0.1)),
    ],
    ids=["the defaults of the vote", "what is set"],
)
def test_the_engine_is_told_how_to_draw(sampling: SamplingOptions, expected: Any) -> None:
    told = engine_sampling(sampling, 5, 9, 2)
    assert (told.temperature, told.top_k, told.top_p, told.min_p) == expected
    assert (told.seed, told.max_tokens, told.top_logprobs) == (5, 9, 2)


@pytest.mark.parametrize("policy", [FailurePolicy.AUTO, FailurePolicy.REPLAY])
@pytest.mark.parametrize(
    ("sampling", "killed_after"),
    [(GREEDY, 1), (GREEDY, 5), (GREEDY, 11), (UNTRUNCATED, 1), (UNTRUNCATED, 5), (PENALISED, 5)],
)
async def test_a_member_that_is_lost_is_replayed_and_says_the_same(
    policy: FailurePolicy, sampling: SamplingOptions, killed_after: int
) -> None:
    undisturbed, _ = await ahead(drawing(seed=3), sampling=sampling)
    engine = drawing(seed=3)
    deaths: Kill = {killed_after: lambda: die_and_return(engine)}
    told, ensemble = await ahead(engine, deaths, policy, sampling)
    assert told.ids == undisturbed.ids
    assert told.text == undisturbed.text
    assert told.ended is undisturbed.ended
    assert [(n.kind, n.model) for n in told.notices] == [(NoticeKind.MEMBER_REPLAYED, "a")]
    assert "killed by SIGKILL" in told.notices[0].message
    assert ensemble.was_disturbed
    (usage,) = ensemble.usage()
    assert usage.generated_tokens == 11


@pytest.mark.parametrize("policy", [FailurePolicy.FAIL, FailurePolicy.CONTINUE])
async def test_a_policy_without_replays_fails_the_answer(policy: FailurePolicy) -> None:
    engine = drawing(seed=3)
    with pytest.raises(WorkerLost, match="killed by SIGKILL"):
        await ahead(engine, {2: lambda: die_and_return(engine)}, policy)


async def test_a_member_that_never_comes_back_fails_the_answer() -> None:
    engine = drawing(seed=3)
    ensemble, predictor = await lone_ensemble(engine)
    steps = generate(ensemble, predictor, params_of(engine), engine_sampling(GREEDY, 7, 12, 0))
    await anext(steps)
    engine.lose("killed by SIGKILL")
    await engine.close()
    with pytest.raises(Unavailable):
        await run_out(steps)
    ensemble.close()


async def test_a_stop_string_that_a_loss_falls_into_still_stops() -> None:
    engine = drawing(say="sat on the mat")
    stop = StoppingOptions(stop=("on the",))
    deaths: Kill = {5: lambda: die_and_return(engine)}
    told, _ = await ahead(engine, deaths, max_tokens=50, stopping=stop)
    assert told.text == "sat "
    assert told.ended is FinishReason.STOP_STRING


async def test_where_bias_leaves_nothing_the_caller_is_told_as_by_a_vote() -> None:
    engine = drawing()
    nothing = SamplingOptions(logit_bias=dict.fromkeys(range(len(engine.vocabulary)), -1e39))
    for answer in (ahead, in_lock_step):
        with pytest.raises(InvalidRequest, match="rule out every token"):
            await answer(engine, sampling=nothing)


async def test_a_generation_that_ends_without_an_end_is_a_defect() -> None:
    engine = drawing()
    ensemble, predictor = await lone_ensemble(engine)
    how = params_of(engine, max_tokens=9)
    with pytest.raises(Internal, match="without an end"):
        await run_out(generate(ensemble, predictor, how, engine_sampling(GREEDY, 7, 8, 0)))
    ensemble.close()


async def test_much_that_the_mask_took_is_told_once_as_by_a_vote() -> None:
    told, _ = await ahead(drawing(seed=3, masked=0.3))
    voted, _ = await in_lock_step(drawing(seed=3, masked=0.3))
    assert told.notices == voted.notices
    assert [notice.kind for notice in told.notices] == [NoticeKind.MASS_CUT]
    assert told.deltas == voted.deltas


async def test_what_the_engine_refuses_reaches_the_caller() -> None:
    engine = drawing()
    ensemble, predictor = await lone_ensemble(engine)
    how = params_of(engine, max_tokens=65)
    with pytest.raises(InvalidRequest, match="max_tokens"):
        await run_out(generate(ensemble, predictor, how, engine_sampling(GREEDY, 7, 65, 0)))
    ensemble.close()


async def test_a_caller_that_leaves_frees_the_session() -> None:
    engine = drawing(sessions=1, step_delay_ms=0.1)
    ensemble, predictor = await lone_ensemble(engine)
    steps = generate(ensemble, predictor, params_of(engine), engine_sampling(GREEDY, 7, 12, 0))
    await anext(steps)
    await steps.aclose()
    ensemble.close()
    assert not engine.has_work
    session = await engine.open(8)
    assert np.isfinite((await session.feed([9])).max())


async def test_one_member_that_draws_tokens_may_generate() -> None:
    ensemble, predictor = await lone_ensemble(drawing())
    for sampling in (
        SamplingOptions(),
        SamplingOptions(0.5, 0.9, 7, 0.1, 11),
        SamplingOptions(repetition_penalty=1.0, presence_penalty=0.0, frequency_penalty=0.0),
    ):
        assert lone_predictor(ensemble, sampling, ResponseOptions(top_logprobs=3)) is predictor
    ensemble.close()


@pytest.mark.parametrize(
    "asked",
    [
        {"repetition_penalty": 1.1},
        {"presence_penalty": -0.5},
        {"frequency_penalty": 0.5},
        {"logit_bias": {7: 1.0}},
    ],
    ids=lambda asked: next(iter(asked)),
)
async def test_bias_and_penalties_are_for_our_sampler_alone(asked: dict[str, Any]) -> None:
    sampling = SamplingOptions(**asked)
    ensemble, predictor = await lone_ensemble(drawing())
    assert lone_predictor(ensemble, sampling, ResponseOptions()) is predictor
    ensemble.close()
    other, _ = await lone_ensemble(drawing(own_sampler=True))
    assert lone_predictor(other, sampling, ResponseOptions()) is None
    other.close()


async def test_a_bias_of_very_many_tokens_stays_out_of_the_worker() -> None:
    ensemble, predictor = await lone_ensemble(drawing())
    for count, able in ((1024, predictor), (1025, None)):
        sampling = SamplingOptions(logit_bias=dict.fromkeys(range(count), 1.0))
        assert lone_predictor(ensemble, sampling, ResponseOptions()) is able
    ensemble.close()


async def test_nobody_runs_ahead_where_something_is_to_be_voted_on_or_shown() -> None:
    ensemble, _ = await lone_ensemble(drawing())
    assert lone_predictor(ensemble, GREEDY, ResponseOptions(member_votes=True)) is None
    unable, _ = await lone_ensemble(scripted_engine("a"))
    pair = await token_ensemble((drawing("a"), 0.5), (drawing("b"), 0.5))
    spelling = await byte_ensemble((drawing("a"), 1.0))
    assert isinstance(spelling.members[0].predictor, BytePredictor)
    pieces = await unopened(UnionAlignment(), (drawing(), 1.0))
    assert isinstance(pieces.members[0].predictor, PiecePredictor)
    for other in (unable, pair, spelling, pieces):
        assert lone_predictor(other, GREEDY, ResponseOptions()) is None
