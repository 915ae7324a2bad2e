"""A draft changes what an answer takes, and nothing of the answer."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from quorate.ensemble.alignments.contract import AlignmentStrategy
from quorate.ensemble.alignments.near_tokens import NearTokenAlignment
from quorate.ensemble.alignments.tokens import TokenAlignment
from quorate.ensemble.decode import decode
from quorate.ensemble.drafts.drafting import Drafts
from quorate.ensemble.ensemble import Ensemble
from quorate.ensemble.rules import linear
from quorate.ensemble.weighting import BayesianWeights, ConfidentWeights, StaticWeights, Weigher
from quorate.errors import WorkerLost
from quorate.request import (
    CombinationRule,
    FailurePolicy,
    FinishReason,
    NoticeKind,
    ResponseOptions,
    SamplingOptions,
    StoppingOptions,
    TextPrompt,
)
from support.drafts import FixedPace, lookup_drafts, member_drafts
from support.ensembles import GREEDY, Told, die_and_return, params_of, run_out, unopened
from support.in_process import InProcessEngine
from support.scripted_models import fresh_row, scripted_engine

WEIGHERS: dict[str, Callable[[], Weigher]] = {
    "static": lambda: StaticWeights([0.3, 0.7]),
    "bayesian": lambda: BayesianWeights([0.3, 0.7], 0.9),
    "confidence": lambda: ConfidentWeights([0.3, 0.7]),
}
ALIGNMENTS: dict[str, Callable[[list[InProcessEngine]], AlignmentStrategy[Any]]] = {
    "tokens": lambda engines: TokenAlignment(engines[0].vocabulary),
    "near": lambda engines: NearTokenAlignment([one.vocabulary for one in engines]),
}
SHOWN = ResponseOptions(top_logprobs=2, member_votes=True)
# Flat enough that the members disagree now and then, and the mixture with both.
TOYS = {"sharpness": 3.0}
PLACES = (1, 2, 3, 5, 6, 7)
"""Tokens behind which a member dies: some within a draft, some between two."""


async def ensemble_of(
    *engines: InProcessEngine,
    alignment: str = "tokens",
    weigher: Weigher | None = None,
    prompt: str = "the cat ",
    policy: FailurePolicy = FailurePolicy.AUTO,
) -> Ensemble[int]:
    # The first one guesses in most tests, and is often right.
    members = [(one, 0.65 if one is engines[0] else 0.35 / (len(engines) - 1)) for one in engines]
    ensemble = await unopened(ALIGNMENTS[alignment]([*engines]), *members, policy=policy)
    for member in ensemble.members:
        tokens = await member.engine.encode(TextPrompt(prompt))
        member.prompt = replace(member.prompt, tokens=tokens)
        member.predictor = ensemble.alignment.predictor(
            member.engine, TextPrompt(prompt), member.prompt, 256
        )
    ensemble.weigher = weigher or ensemble.weigher
    await ensemble.open()
    ensemble.start()
    return ensemble


async def told_by(
    ensemble: Ensemble[int],
    drafts: Drafts | None,
    kill: dict[int, Callable[[], None]] | None = None,
    **changes: Any,
) -> Told:
    params = params_of(ensemble.members[0].engine, drafts=drafts, **changes)  # type: ignore[arg-type]
    try:
        return await run_out(decode(ensemble, params), kill)
    finally:
        ensemble.close()


def pair(seed: int = 1) -> tuple[InProcessEngine, InProcessEngine]:
    return scripted_engine("a", seed=seed, **TOYS), scripted_engine("b", seed=seed + 1, **TOYS)


def prompts(count: int) -> list[str]:
    luck = np.random.default_rng(8)
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "hat"]
    return [" ".join(luck.choice(words, size=1 + number % 7)) for number in range(count)]


@pytest.mark.parametrize("rule", list(CombinationRule))
@pytest.mark.parametrize("weigher", WEIGHERS)
@pytest.mark.parametrize("alignment", ALIGNMENTS)
async def test_a_greedy_answer_is_the_same_with_and_without_drafts(
    rule: CombinationRule, weigher: str, alignment: str
) -> None:
    right = guessed = 0
    for number, prompt in enumerate(prompts(12)):
        length, guesses = 1 + number % 8, number % 3 > 0

        async def run(drafts: Drafts | None, seed: int = number, text: str = prompt) -> Told:
            ensemble = await ensemble_of(
                *pair(seed), alignment=alignment, weigher=WEIGHERS[weigher](), prompt=text
            )
            return await told_by(ensemble, drafts, rule=rule, response=SHOWN, max_tokens=16)

        drafts = member_drafts("ab"[number % 2], length) if guesses else lookup_drafts(length)
        drafted = await run(drafts)
        assert drafted.deltas == (await run(None)).deltas
        assert isinstance(drafts.pace, FixedPace)
        guessed += sum(length for length, _ in drafts.pace.rounds)
        right += sum(right for _, right in drafts.pace.rounds)
    assert 0 < right < guessed


@pytest.mark.parametrize("length", range(1, 9))
async def test_each_length_of_a_draft_gives_the_same_answer(length: int) -> None:
    options = SamplingOptions(temperature=0.0, repetition_penalty=1.2, frequency_penalty=0.1)
    for prompt in prompts(8):
        texts = [
            await told_by(
                await ensemble_of(*pair(), prompt=prompt), drafts, sampling=options, max_tokens=20
            )
            for drafts in (None, member_drafts("b", length), lookup_drafts(length))
        ]
        assert texts[0].deltas == texts[1].deltas == texts[2].deltas


@pytest.mark.parametrize(
    "options",
    [
        SamplingOptions(temperature=0.9),
        SamplingOptions(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, presence_penalty=0.5),
    ],
)
async def test_a_sampled_answer_does_not_depend_on_how_far_is_guessed(
    options: SamplingOptions,
) -> None:
    for prompt, seed in zip(prompts(6), range(6), strict=True):
        texts = [
            await told_by(
                await ensemble_of(*pair(), prompt=prompt),
                drafts,
                sampling=options,
                seed=seed,
                max_tokens=20,
            )
            for drafts in (
                *(member_drafts("a", length) for length in (0, 1, 3, 8)),
                lookup_drafts(4, proposer="a"),
            )
        ]
        assert all(one.deltas == texts[0].deltas for one in texts)


async def test_guesses_are_counted_and_what_was_wrong_was_computed_too() -> None:
    ensemble = await ensemble_of(*pair())
    drafts = member_drafts("a", 3)
    told = await told_by(ensemble, drafts, max_tokens=30)
    assert isinstance(drafts.pace, FixedPace)
    first, second = ensemble.usage()
    assert first.drafted_tokens == ensemble.drafted > 20
    assert 0 < first.accepted_tokens == ensemble.accepted < ensemble.drafted
    assert (second.drafted_tokens, second.accepted_tokens) == (0, 0)
    # The last token is fed to nobody.
    assert len(told.tokens) == 30
    for member in ensemble.members:
        assert member.forwards == 29 + member.predictor.wasted
    assert ensemble.members[1].predictor.wasted > 0
    assert ensemble.work()["b"].prefill > 0


async def test_two_members_that_agree_need_a_block_for_every_draft() -> None:
    twins = scripted_engine("a", seed=3), scripted_engine("b", seed=3)
    ensemble = await ensemble_of(*twins)
    await told_by(ensemble, member_drafts("a", 4), max_tokens=41)
    assert ensemble.accepted == ensemble.drafted
    assert ensemble.members[1].predictor.wasted == 0
    # Of each five tokens the other member was asked for one by itself.
    assert ensemble.members[1].predictor.looked_ahead == ensemble.drafted >= 30


@pytest.mark.parametrize(
    ("say", "stopping", "text", "ended"),
    [
        ("sat on the mat", {}, "sat on the mat", FinishReason.END_OF_GENERATION),
        ("sat on the mat", {"stop": ("the",)}, "sat on ", FinishReason.STOP_STRING),
        ("a€€", {"max_bytes": 5}, "a€", FinishReason.MAX_BYTES),
    ],
)
async def test_an_answer_ends_where_it_ends_without_drafts(
    say: str, stopping: dict[str, Any], text: str, ended: FinishReason
) -> None:
    engines = scripted_engine("a", say=say), scripted_engine("b", say=say)
    ensemble = await ensemble_of(*engines)
    told = await told_by(
        ensemble, member_drafts("a", 8), max_tokens=200, stopping=StoppingOptions(**stopping)
    )
    assert (told.text, told.ended) == (text, ended)
    assert ensemble.accepted > 0


@pytest.mark.parametrize("limit", range(1, 8))
async def test_nothing_is_guessed_beyond_the_last_token(limit: int) -> None:
    ensemble = await ensemble_of(*(scripted_engine(name, seed=3) for name in "ab"))
    told = await told_by(ensemble, member_drafts("a", 8), max_tokens=limit)
    assert (len(told.tokens), told.ended) == (limit, FinishReason.MAX_TOKENS)
    assert ensemble.accepted == ensemble.drafted == max(0, limit - 2)
    assert [member.forwards for member in ensemble.members] == [limit - 1] * 2


def mixture(told: Told, place: int, seeds: dict[str, int], context: list[int]) -> int:
    """What the members that voted on a token make of it together."""
    votes = told.tokens[place].votes
    rows = [fresh_row(context, seed=seeds[vote.model], **TOYS) for vote in votes]
    if len(rows) == 1:
        return int(rows[0].argmax())
    out = np.empty_like(rows[0])
    scratch = np.empty_like(out), np.empty_like(out)
    linear(rows, [vote.weight for vote in votes], out, scratch)
    return int(out.argmax())


@pytest.mark.parametrize("victim", ["a", "b", "c"])
@pytest.mark.parametrize("place", PLACES)
async def test_a_member_that_dies_in_mid_draft_is_dropped_and_the_others_go_on(
    victim: str, place: int
) -> None:
    seeds = {"a": 1, "b": 2, "c": 3}
    engines = {name: scripted_engine(name, seed=seed, **TOYS) for name, seed in seeds.items()}
    ensemble = await ensemble_of(*engines.values())
    told = await told_by(
        ensemble,
        member_drafts("a", 3),
        {place: lambda: engines[victim].lose("killed by SIGKILL")},
        response=SHOWN,
        max_tokens=24,
    )
    assert [(one.kind, one.model) for one in told.notices] == [(NoticeKind.MEMBER_DROPPED, victim)]
    assert len(told.tokens) == 24
    assert {vote.model for vote in told.tokens[-1].votes} == {*seeds} - {victim}
    context = await engines["a" if victim != "a" else "b"].encode(TextPrompt("the cat "))
    for at, token in enumerate(told.tokens):
        assert token.token_id == mixture(told, at, seeds, context)
        context.append(token.token_id)


@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("sampling", [GREEDY, SamplingOptions(temperature=0.9)])
async def test_a_member_that_is_replayed_in_mid_draft_changes_nothing_of_the_answer(
    victim: int, place: int, sampling: SamplingOptions
) -> None:
    async def run(drafts: Drafts, dies: bool) -> Told:
        engines = pair()
        ensemble = await ensemble_of(*engines, policy=FailurePolicy.REPLAY)
        kill = {place: lambda: die_and_return(engines[victim])} if dies else None
        return await told_by(ensemble, drafts, kill, sampling=sampling, max_tokens=20)

    told = await run(member_drafts("a", 4), True)
    assert told.deltas == (await run(member_drafts("a", 0), False)).deltas
    assert [one.kind for one in told.notices] == [NoticeKind.MEMBER_REPLAYED]


async def test_a_loss_that_nobody_survives_ends_the_answer() -> None:
    engines = pair()
    ensemble = await ensemble_of(*engines, policy=FailurePolicy.FAIL)
    with pytest.raises(WorkerLost):
        await told_by(ensemble, member_drafts("a", 4), {4: lambda: engines[0].lose("killed")})


async def test_a_reader_that_leaves_in_mid_draft_frees_everything() -> None:
    for place in range(1, 7):
        engines = pair()
        ensemble = await ensemble_of(*engines)
        steps = decode(ensemble, params_of(engines[0], drafts=member_drafts("a", 4)))
        for _ in range(place):
            await anext(steps)
        await steps.aclose()
        ensemble.close()
        assert [one.open_sessions for one in engines] == [0, 0]
        fresh = await told_by(await ensemble_of(*engines), None)
        assert fresh.deltas == (await told_by(await ensemble_of(*pair()), None)).deltas


@pytest.mark.parametrize("which", ["a", "b"])
async def test_who_cannot_forget_a_wrong_guess_makes_none_and_checks_those_of_others(
    which: str,
) -> None:
    async def run(drafts: Drafts | None) -> tuple[Told, int]:
        engines = [
            scripted_engine(name, seed=1 + number, rewind=name != which, **TOYS)
            for number, name in enumerate("ab")
        ]
        ensemble = await ensemble_of(*engines)
        return await told_by(ensemble, drafts, max_tokens=20), ensemble.drafted

    plain, _ = await run(None)
    for who, drafts in (("a", member_drafts("a", 4)), ("b", member_drafts("b", 4))):
        told, drafted = await run(drafts)
        assert told.deltas == plain.deltas
        assert (drafted > 0) == (who != which)
    told, _ = await run(lookup_drafts(4))
    assert told.deltas == plain.deltas


async def test_a_member_left_alone_guesses_nothing_for_nobody() -> None:
    engines = pair()
    ensemble = await ensemble_of(*engines)
    kill = {3: lambda: engines[1].lose("killed by SIGKILL")}
    drafts = member_drafts("a", 4)
    told = await told_by(ensemble, drafts, kill, max_tokens=30)
    assert len(told.tokens) == 30
    assert isinstance(drafts.pace, FixedPace)
    assert len(drafts.pace.rounds) < 4
    assert list(itertools.islice((m.model for m in ensemble.members), 2)) == ["a"]
