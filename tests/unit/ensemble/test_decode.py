from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from quorate.ensemble.decode import decode, score
from quorate.errors import WorkerLost
from quorate.request import (
    CombinationRule,
    FailurePolicy,
    FinishReason,
    NoticeKind,
    ResponseOptions,
    SamplingOptions,
    StoppingOptions,
)
from support.ensembles import GREEDY, PROMPT, Told, die_and_return, params_of, run_out
from support.ensembles import token_ensemble as ensemble_of
from support.in_process import InProcessEngine
from support.scripted_models import fresh_row, scripted_engine


async def answer(
    *members: tuple[InProcessEngine, float],
    kill: dict[int, Callable[[], None]] | None = None,
    policy: FailurePolicy = FailurePolicy.AUTO,
    **changes: Any,
) -> Told:
    """What these members answer; ``kill`` maps a count of tokens to what happens behind it."""
    ensemble = await ensemble_of(*members, policy=policy)
    try:
        return await run_out(decode(ensemble, params_of(members[0][0], **changes)), kill)
    finally:
        ensemble.close()


async def alone(sampling: SamplingOptions = GREEDY, **options: Any) -> Told:
    return await answer((scripted_engine("alone", **options), 1.0), sampling=sampling)


def pair() -> tuple[InProcessEngine, InProcessEngine]:
    return scripted_engine("a", seed=1), scripted_engine("b", seed=2)


async def test_greedy_decoding_takes_the_models_best_token_at_every_step() -> None:
    told = await alone(seed=3)
    engine = scripted_engine("reference", seed=3)
    context = await engine.encode(PROMPT)
    for token in told.tokens:
        row = fresh_row(context, seed=3)
        assert token.token_id == int(np.argmax(row))
        assert token.logprob == pytest.approx(float(row[token.token_id]))
        context.append(token.token_id)
    assert told.ended is FinishReason.MAX_TOKENS
    assert len(told.tokens) == 12


@pytest.mark.parametrize("rule", list(CombinationRule))
@pytest.mark.parametrize("sampling", [GREEDY, SamplingOptions(temperature=0.9)])
async def test_a_model_voting_with_its_twin_says_what_it_says_alone(
    rule: CombinationRule, sampling: SamplingOptions
) -> None:
    first, twin = scripted_engine("a", seed=3), scripted_engine("b", seed=3)
    together = await answer((first, 0.3), (twin, 0.7), rule=rule, sampling=sampling)
    if rule is CombinationRule.MAJORITY:
        sampling = GREEDY
    assert together.ids == (await alone(sampling, seed=3)).ids


async def test_the_order_of_members_does_not_matter() -> None:
    def members() -> list[tuple[InProcessEngine, float]]:
        return [(scripted_engine(f"m{seed}", seed=seed), 1 / 3) for seed in (1, 2, 3)]

    forwards = await answer(*members())
    backwards = await answer(*reversed(members()))
    assert forwards.ids == backwards.ids


async def test_two_members_that_disagree_answer_with_their_mixture() -> None:
    a, b = pair()
    told = await answer((a, 0.5), (b, 0.5))
    context = await a.encode(PROMPT)
    for token in told.tokens:
        mixture = sum(0.5 * np.exp(fresh_row(context, seed=seed)) for seed in (1, 2))
        assert token.token_id == int(np.argmax(mixture))
        context.append(token.token_id)


async def test_votes_tell_each_members_favourite_and_its_view_of_the_chosen() -> None:
    a, b = pair()
    shown = ResponseOptions(top_logprobs=3, member_votes=True)
    told = await answer((a, 0.25), (b, 0.75), response=shown, max_tokens=1)
    (token,) = told.tokens
    context = await a.encode(PROMPT)
    for vote, seed, weight in zip(token.votes, (1, 2), (0.25, 0.75), strict=True):
        row = fresh_row(context, seed=seed)
        assert vote.piece == a.vocabulary.pieces[int(np.argmax(row))]
        assert vote.logprob == pytest.approx(float(row.max()))
        assert vote.chosen_logprob == pytest.approx(float(row[token.token_id]))
        assert vote.weight == weight
    assert [vote.model for vote in token.votes] == ["a", "b"]
    assert len(token.top) == 3
    assert token.top[0].token_id == token.token_id


@pytest.mark.parametrize(
    ("say", "stopping", "text", "ended"),
    [
        ("sat on the mat", {}, "sat on the mat", FinishReason.END_OF_GENERATION),
        ("sat on the mat", {"stop": ("the",)}, "sat on ", FinishReason.STOP_STRING),
        ("sat on the", {"stop": ("the mat",)}, "sat on the", FinishReason.END_OF_GENERATION),
        ("a€€", {"max_bytes": 5}, "a€", FinishReason.MAX_BYTES),
    ],
    ids=[
        "where the models end it",
        "before a stop string",
        "behind a text held back for a stop string",
        "between code points at the byte limit",
    ],
)
async def test_the_answer_ends(
    say: str, stopping: dict[str, Any], text: str, ended: FinishReason
) -> None:
    engine = scripted_engine("a", say=say)
    told = await answer((engine, 1.0), max_tokens=200, stopping=StoppingOptions(**stopping))
    assert (told.text, told.ended) == (text, ended)


async def test_the_limit_of_the_context_is_told_apart_from_the_callers_limit() -> None:
    engine = scripted_engine("a")
    told = await answer((engine, 1.0), max_tokens=4, at_limit=FinishReason.CONTEXT_FULL)
    assert (len(told.tokens), told.ended) == (4, FinishReason.CONTEXT_FULL)


async def test_a_dead_member_is_dropped_and_weights_renormalised() -> None:
    a, b, c = (scripted_engine(name, seed=seed) for seed, name in enumerate("abc"))
    shown = ResponseOptions(member_votes=True)
    deaths = {3: lambda: a.lose("killed by SIGKILL")}
    told = await answer((a, 0.5), (b, 0.3), (c, 0.2), kill=deaths, response=shown)
    assert len(told.tokens) == 12
    assert [(n.kind, n.model) for n in told.notices] == [(NoticeKind.MEMBER_DROPPED, "a")]
    assert "killed by SIGKILL" in told.notices[0].message
    assert [v.model for v in told.tokens[2].votes] == ["a", "b", "c"]
    last = told.tokens[-1].votes
    assert [(v.model, v.weight) for v in last] == [
        ("b", pytest.approx(0.6)),
        ("c", pytest.approx(0.4)),
    ]


async def test_after_a_drop_the_answer_goes_on_as_the_others_would_from_there() -> None:
    a, b = pair()
    told = await answer((a, 0.9), (b, 0.1), kill={3: lambda: a.lose("killed by SIGKILL")})
    context = [*await b.encode(PROMPT), *told.ids[:4]]
    for token in told.ids[4:]:
        assert token == int(np.argmax(fresh_row(context, seed=2)))
        context.append(token)


async def test_the_last_member_is_replayed_and_the_answer_is_the_same() -> None:
    engine = scripted_engine("a", seed=3)
    told = await answer((engine, 1.0), kill={3: lambda: die_and_return(engine)})
    assert told.ids == (await alone(seed=3)).ids
    assert [(n.kind, n.model) for n in told.notices] == [(NoticeKind.MEMBER_REPLAYED, "a")]


async def test_the_replay_policy_brings_a_member_back_to_the_vote() -> None:
    a, b = pair()
    told = await answer(
        (a, 0.5),
        (b, 0.5),
        kill={3: lambda: die_and_return(a)},
        policy=FailurePolicy.REPLAY,
        response=ResponseOptions(member_votes=True),
    )
    a, b = pair()
    undisturbed = await answer((a, 0.5), (b, 0.5))
    assert told.ids == undisturbed.ids
    assert [v.model for v in told.tokens[-1].votes] == ["a", "b"]


async def test_the_fail_policy_ends_the_stream_with_the_loss() -> None:
    a, b = pair()
    deaths = {3: lambda: a.lose("killed by SIGKILL")}
    with pytest.raises(WorkerLost, match="killed by SIGKILL"):
        await answer((a, 0.5), (b, 0.5), kill=deaths, policy=FailurePolicy.FAIL)


async def test_the_continue_policy_has_nothing_to_go_on_with_after_the_last_member() -> None:
    engine = scripted_engine("a")
    deaths = {3: lambda: engine.lose("killed by SIGKILL")}
    with pytest.raises(WorkerLost):
        await answer((engine, 1.0), kill=deaths, policy=FailurePolicy.CONTINUE)


async def test_a_member_that_dies_again_and_again_fails_the_request_in_the_end() -> None:
    engine = scripted_engine("a")
    with pytest.raises(WorkerLost):
        await answer(
            (engine, 1.0), kill=dict.fromkeys(range(1, 13), lambda: die_and_return(engine))
        )


async def test_scoring_an_answer_repeats_what_its_stream_said() -> None:
    a, b = pair()
    told = await answer((a, 0.5), (b, 0.5))
    ensemble = await ensemble_of((a, 0.5), (b, 0.5), starts=False)
    scored = await score(ensemble, CombinationRule.LINEAR, told.ids)
    ensemble.close()
    assert [token.token_id for token in scored] == told.ids
    assert [token.logprob for token in scored] == [token.logprob for token in told.tokens]


async def test_usage_counts_prompt_and_answer_also_of_a_dropped_member() -> None:
    a, b = pair()
    ensemble = await ensemble_of((a, 0.5), (b, 0.5))
    prompt = len(await a.encode(PROMPT))
    await run_out(decode(ensemble, params_of(a)), {3: lambda: a.lose("killed by SIGKILL")})
    ensemble.close()
    usage = {entry.model: entry for entry in ensemble.usage()}
    assert usage["b"].prompt_tokens == prompt
    assert usage["b"].generated_tokens == 11
    assert usage["a"].generated_tokens <= 4
    assert usage["b"].busy_ms > 0
    assert usage["b"].energy.joules is None
