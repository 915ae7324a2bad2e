from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from quorate.ensemble.byte_voice import ByteVoice
from quorate.ensemble.decode import decode
from quorate.ensemble.run_ahead import lone_voice, run_ahead
from quorate.ensemble.sampling import draw_options
from quorate.ensemble.seats import Seat, Table
from quorate.ensemble.token_voice import PieceVoice, TokenVoice
from quorate.ensemble.weighting import StaticWeights
from quorate.errors import InvalidRequest, Unavailable, WorkerLost
from quorate.request import (
    Delta,
    FailurePolicy,
    FinishReason,
    NoticeKind,
    ResponseOptions,
    SamplingOptions,
    StoppingOptions,
)
from support.in_process import InProcessEngine
from support.scripted_models import scripted_engine
from support.tables import (
    GREEDY,
    PROMPT,
    Told,
    ballot,
    byte_table,
    die_and_return,
    run_out,
    token_table,
)

UNTRUNCATED = SamplingOptions(temperature=0.9, top_k=0, top_p=1.0, min_p=0.0)
Kill = dict[int, Callable[[], None]]


def drawing(model_id: str = "a", **options: Any) -> InProcessEngine:
    return scripted_engine(model_id, generate=True, **options)


async def lone_table(
    engine: InProcessEngine, policy: FailurePolicy = FailurePolicy.AUTO
) -> tuple[Table[int], TokenVoice]:
    """An open table of one that has not been started."""
    prompt = await engine.encode(PROMPT)
    voice = TokenVoice(engine, prompt, len(prompt) + 64)
    table = Table([Seat(engine.model_id, engine, voice, len(prompt))], policy, StaticWeights([1.0]))
    await table.open()
    return table, voice


async def ahead(
    engine: InProcessEngine,
    kill: Kill | None = None,
    policy: FailurePolicy = FailurePolicy.AUTO,
    sampling: SamplingOptions = GREEDY,
    **changes: Any,
) -> tuple[Told, Table[int]]:
    """What running ahead tells, and the table behind it."""
    table, voice = await lone_table(engine, policy)
    how = ballot(engine, sampling=sampling, **changes)
    options = draw_options(sampling, 7, how.most_tokens, how.response.top_logprobs)
    told = await run_out(run_ahead(table, voice, how, options), kill)
    table.close()
    return told, table


async def in_lock_step(
    engine: InProcessEngine, kill: Kill | None = None, **changes: Any
) -> tuple[Told, Table[int]]:
    """What a vote of one tells."""
    table = await token_table((engine, 1.0))
    told = await run_out(decode(table, ballot(engine, **changes)), kill)
    table.close()
    return told, table


CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a limit": ({"seed": 3}, {}),
    "one token": ({"seed": 3}, {"most_tokens": 1}),
    "the context": ({}, {"most_tokens": 4, "at_limit": FinishReason.CONTEXT_FULL}),
    "an end": ({"say": "sat on the mat"}, {"most_tokens": 50}),
    "a stop string": (
        {"say": "sat on the mat"},
        {"most_tokens": 50, "stopping": StoppingOptions(stop=("the",))},
    ),
    "a text held back": (
        {"say": "sat on the"},
        {"most_tokens": 50, "stopping": StoppingOptions(stop=("the mat",))},
    ),
    "a text held back at the limit": (
        {"say": "sat on the mat"},
        {"most_tokens": 8, "stopping": StoppingOptions(stop=("the mouse",))},
    ),
    "bytes": ({"say": "a€€"}, {"most_tokens": 50, "stopping": StoppingOptions(max_bytes=5)}),
    "candidates": ({"seed": 5}, {"response": ResponseOptions(top_logprobs=3)}),
}


@pytest.mark.parametrize(("options", "changes"), CASES.values(), ids=CASES.keys())
async def test_running_ahead_tells_what_a_vote_of_one_tells(
    options: dict[str, Any], changes: dict[str, Any]
) -> None:
    told, table = await ahead(drawing(**options), **changes)
    voted, vote = await in_lock_step(drawing(**options), **changes)
    assert told.deltas == voted.deltas
    assert told.ended is voted.ended
    assert told.ended is not None
    assert not told.notices
    assert table.length == vote.length


@pytest.mark.parametrize("case", ["a limit", "one token", "an end"])
async def test_usage_and_work_are_those_of_a_vote_of_one(case: str) -> None:
    options, changes = CASES[case]
    _, table = await ahead(drawing(**options), **changes)
    _, vote = await in_lock_step(drawing(**options), **changes)
    (usage,), (expected,) = table.usage(), vote.usage()
    assert usage.prompt_tokens == expected.prompt_tokens
    assert usage.generated_tokens == expected.generated_tokens
    assert usage.busy_ms > 0
    assert table.work() == vote.work()
    (seat,), (voter,) = table.seats, vote.seats
    assert seat.logprob == pytest.approx(voter.logprob)
    assert (seat.steps, seat.shares) == (voter.steps, pytest.approx(voter.shares))


async def test_an_answer_that_ends_early_ends_the_engines_work_before_it_is_told() -> None:
    engine = drawing(say="sat on the mat and slept", sessions=1)
    table, voice = await lone_table(engine)
    how = ballot(engine, most_tokens=50, stopping=StoppingOptions(stop=("on",)))
    async for step in run_ahead(table, voice, how, draw_options(GREEDY, 7, 50, 0)):
        if isinstance(step, Delta) and step.text:
            busy = engine.has_work
    # The last text is "sat ": what follows belongs to the stop string.
    assert step is FinishReason.STOP_STRING
    assert busy
    assert not engine.has_work
    (await engine.open(8)).close()
    assert table.work()["a"].decode >= voice.length == len("sat o")


async def test_tokens_are_drawn_with_the_callers_options_and_the_plans_seed() -> None:
    first, _ = await ahead(drawing(), sampling=UNTRUNCATED)
    again, _ = await ahead(drawing(), sampling=UNTRUNCATED)
    greedy, _ = await ahead(drawing())
    assert first.ids == again.ids
    assert first.ids != greedy.ids


async def test_what_is_not_set_gets_the_defaults_of_the_vote() -> None:
    unset = draw_options(SamplingOptions(seed=3), 5, 9, 2)
    assert (unset.temperature, unset.top_k, unset.top_p, unset.min_p) == (0.8, 40, 0.95, 0.05)
    assert (unset.seed, unset.max_tokens, unset.top_logprobs) == (5, 9, 2)


async def test_what_is_set_is_passed_on() -> None:
    options = draw_options(SamplingOptions(0.0, 0.5, 3, 0.1, 1), 5, 9, 0)
    assert (options.temperature, options.top_p, options.top_k, options.min_p) == (0.0, 0.5, 3, 0.1)
    assert options.seed == 5


@pytest.mark.parametrize("policy", [FailurePolicy.AUTO, FailurePolicy.REPLAY])
@pytest.mark.parametrize("killed_after", [1, 5, 11])
async def test_a_member_that_is_lost_is_replayed_and_says_the_same(
    policy: FailurePolicy, killed_after: int
) -> None:
    undisturbed, _ = await ahead(drawing(seed=3))
    engine = drawing(seed=3)
    told, table = await ahead(engine, {killed_after: die_and_return(engine)}, policy)
    assert told.ids == undisturbed.ids
    assert told.text == undisturbed.text
    assert told.ended is undisturbed.ended
    assert [(n.kind, n.model) for n in told.notices] == [(NoticeKind.MEMBER_REPLAYED, "a")]
    assert "killed by SIGKILL" in told.notices[0].message
    assert table.was_disturbed
    (usage,) = table.usage()
    assert usage.generated_tokens == 11


@pytest.mark.parametrize("policy", [FailurePolicy.FAIL, FailurePolicy.CONTINUE])
async def test_a_policy_without_replays_fails_the_answer(policy: FailurePolicy) -> None:
    engine = drawing(seed=3)
    with pytest.raises(WorkerLost, match="killed by SIGKILL"):
        await ahead(engine, {2: die_and_return(engine)}, policy)


async def test_a_member_that_never_comes_back_fails_the_answer() -> None:
    engine = drawing(seed=3)
    table, voice = await lone_table(engine)
    steps = run_ahead(table, voice, ballot(engine), draw_options(GREEDY, 7, 12, 0))
    await anext(steps)
    engine.lose("killed by SIGKILL")
    await engine.close()
    with pytest.raises(Unavailable):
        await run_out(steps)
    table.close()


async def test_a_stop_string_that_a_loss_falls_into_still_stops() -> None:
    engine = drawing(say="sat on the mat")
    told, _ = await ahead(
        engine,
        {5: die_and_return(engine)},
        most_tokens=50,
        stopping=StoppingOptions(stop=("on the",)),
    )
    assert told.text == "sat "
    assert told.ended is FinishReason.STOP_STRING


async def test_what_the_engine_refuses_reaches_the_caller() -> None:
    engine = drawing()
    table, voice = await lone_table(engine)
    how = ballot(engine, most_tokens=65)
    with pytest.raises(InvalidRequest, match="max_tokens"):
        await run_out(run_ahead(table, voice, how, draw_options(GREEDY, 7, 65, 0)))
    table.close()


async def test_a_caller_that_leaves_frees_the_session() -> None:
    engine = drawing(sessions=1, step_delay_ms=0.1)
    table, voice = await lone_table(engine)
    steps = run_ahead(table, voice, ballot(engine), draw_options(GREEDY, 7, 12, 0))
    await anext(steps)
    await steps.aclose()
    table.close()
    assert not engine.has_work
    session = await engine.open(8)
    assert np.isfinite((await session.feed([9])).max())


async def test_one_member_that_draws_tokens_may_run_ahead() -> None:
    table, voice = await lone_table(drawing())
    for sampling in (
        SamplingOptions(),
        SamplingOptions(0.5, 0.9, 7, 0.1, 11),
        SamplingOptions(repetition_penalty=1.0, presence_penalty=0.0, frequency_penalty=0.0),
    ):
        assert lone_voice(table, sampling, ResponseOptions(top_logprobs=3)) is voice
    table.close()


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
async def test_nobody_runs_ahead_where_bias_or_penalties_are_asked_for(
    asked: dict[str, Any],
) -> None:
    table, _ = await lone_table(drawing())
    assert lone_voice(table, SamplingOptions(**asked), ResponseOptions()) is None
    table.close()


async def test_nobody_runs_ahead_where_something_is_to_be_voted_on_or_shown() -> None:
    table, _ = await lone_table(drawing())
    assert lone_voice(table, GREEDY, ResponseOptions(member_votes=True)) is None
    table.close()
    table, _ = await lone_table(scripted_engine("a"))
    assert lone_voice(table, GREEDY, ResponseOptions()) is None
    table.close()
    pair = await token_table((drawing("a"), 0.5), (drawing("b"), 0.5))
    assert lone_voice(pair, GREEDY, ResponseOptions()) is None
    pair.close()
    spelling = await byte_table((drawing("a"), 1.0))
    assert isinstance(spelling.seats[0].voice, ByteVoice)
    assert lone_voice(spelling, GREEDY, ResponseOptions()) is None
    spelling.close()
    engine = drawing()
    piece = PieceVoice(engine, (9,), 8)
    pieces = Table([Seat("a", engine, piece, 1)], FailurePolicy.AUTO, StaticWeights([1.0]))
    assert lone_voice(pieces, GREEDY, ResponseOptions()) is None
