"""Who computes changes nothing of an answer whose tokens are each drawn from one member."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from quorate.ensemble.alignments.contract import AlignmentStrategy
from quorate.ensemble.alignments.near_tokens import NearTokenAlignment
from quorate.ensemble.alignments.tokens import TokenAlignment
from quorate.ensemble.decode import decode
from quorate.ensemble.drafts.costs import Costs, Guesser
from quorate.ensemble.drafts.drafting import Drafts
from quorate.ensemble.drafts.member_first import MemberDraws
from quorate.ensemble.drafts.pace import LONE, TOGETHER, Pace, Round
from quorate.ensemble.ensemble import Ensemble
from quorate.errors import WorkerLost
from quorate.request import (
    FailurePolicy,
    NoticeKind,
    ResponseOptions,
    SamplingOptions,
    TextPrompt,
)
from quorate.sampling.sampler import Sampler
from support.drafts import ScriptedPace
from support.ensembles import Told, die_and_return, params_of, run_out, unopened
from support.in_process import InProcessEngine
from support.scripted_models import fresh_row, scripted_engine

AS_IT_IS = SamplingOptions(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0)
TOYS = {"sharpness": 3.0}
WEIGHTS = {"a": 0.5, "b": 0.3, "c": 0.2}
PIECES = [*"thecasno "]
PLACES = (1, 2, 4, 7, 11)
ALIGNMENTS: dict[str, Callable[[list[InProcessEngine]], AlignmentStrategy[Any]]] = {
    "tokens": lambda engines: TokenAlignment(engines[0].vocabulary),
    "near": lambda engines: NearTokenAlignment([one.vocabulary for one in engines]),
}


def rounds(seed: int) -> list[Round]:
    luck = random.Random(seed)
    kinds = [LONE, LONE, TOGETHER, Round(Guesser.MEMBER, 3), Round(Guesser.LOOKUP, 2)]
    return [luck.choice(kinds) for _ in range(40)]


def trio(names: str = "abc", **changes: Any) -> list[InProcessEngine]:
    options = {**TOYS, "sessions": 2, **changes}
    return [scripted_engine(name, seed=ord(name), **options) for name in names]


async def started(
    engines: list[InProcessEngine],
    alignment: str = "tokens",
    policy: FailurePolicy = FailurePolicy.AUTO,
) -> Ensemble[int]:
    whole = sum(WEIGHTS[one.model_id] for one in engines)
    members = [(one, WEIGHTS[one.model_id] / whole) for one in engines]
    ensemble = await unopened(ALIGNMENTS[alignment](engines), *members, policy=policy)
    for member in ensemble.members:
        tokens = await member.engine.encode(TextPrompt("the cat "))
        member.prompt = replace(member.prompt, tokens=tokens)
        member.predictor = ensemble.alignment.predictor(
            member.engine, TextPrompt("the cat "), member.prompt, 256
        )
    await ensemble.open()
    ensemble.start()
    return ensemble


async def told_by(
    ensemble: Ensemble[int],
    script: list[Round],
    seed: int = 3,
    kill: dict[int, Callable[[], None]] | None = None,
    tokens: int = 24,
) -> Told:
    pace = ScriptedPace(script)
    vocabulary = ensemble.alignment.vocabulary
    params = params_of(
        ensemble.members[0].engine,
        sampler=Sampler(AS_IT_IS, len(vocabulary), seed),
        drafts=Drafts("b", pace, (), member_seed=seed),
        max_tokens=tokens,
        response=ResponseOptions(omit_logprobs=True),
    )
    try:
        return await run_out(decode(ensemble, params), kill)
    finally:
        ensemble.close()


TOGETHER_ALWAYS = [TOGETHER] * 1000


@pytest.mark.parametrize("alignment", ALIGNMENTS)
async def test_an_answer_to_a_seed_is_the_same_whoever_computed_what(alignment: str) -> None:
    pieces = {"a": PIECES, "b": PIECES, "c": [*PIECES, "cat"]} if alignment == "near" else {}
    for seed in range(6):
        told = []
        for script in (TOGETHER_ALWAYS, [], rounds(seed), rounds(seed + 100)):
            engines = [trio(name, pieces=pieces.get(name, []))[0] for name in WEIGHTS]
            told.append(await told_by(await started(engines, alignment), script, seed))
        assert len({(one.text, tuple(one.ids), one.ended) for one in told}) == 1
        assert len(told[0].ids) > 3
        assert {token.logprob for one in told for token in one.tokens} == {0.0}


async def test_one_member_computes_each_token_and_the_others_read_it_with_the_next_ones() -> None:
    ensemble = await started(trio())
    told = await told_by(ensemble, [], tokens=40)
    lone = {member.model: member.lone for member in ensemble.members}
    drawn = MemberDraws(3)
    wanted = [drawn.take([*WEIGHTS.values()]) for _ in told.tokens]
    # The first token is of the rows behind the prompts, which everybody computes.
    counts = {model: wanted[1:].count(at) for at, model in enumerate(WEIGHTS)}
    assert lone == counts
    for member in ensemble.members:
        work, prompt = member.work, len(member.prompt.tokens)
        # A call for each token that it drew; the rest was read beside them, or never.
        assert work.decode == counts[member.model]
        assert work.decode + (work.prefill - prompt) == member.forwards <= len(told.tokens) - 1
    assert sum(one.lone_tokens for one in ensemble.usage()) == len(told.tokens) - 1


def expected(seed: int, ensemble: Ensemble[int], place: int, victim: str) -> list[int]:
    """The answer where a member is missed from the first token on that would be drawn from it."""
    prompt, vocabulary = ensemble.members[0].prompt.tokens, ensemble.alignment.vocabulary
    sampler, draws = Sampler(AS_IT_IS, len(vocabulary), seed), MemberDraws(seed)
    weights, answer = dict(WEIGHTS), list[int]()
    ends = vocabulary.end_of_generation
    while len(answer) < 24:
        names, shares = [*weights], [*weights.values()]
        drawn = names[draws.peek(shares)]
        if len(answer) >= place and drawn == victim:
            del weights[victim]
            whole = sum(weights.values())
            weights = {name: weight / whole for name, weight in weights.items()}
            drawn = [*weights][draws.peek([*weights.values()])]
        draws.take([*weights.values()])
        row = fresh_row([*prompt, *answer], seed=ord(drawn), **TOYS)
        token = sampler.sample(np.asarray(row))
        if token in ends:
            break
        answer.append(token)
    return answer


@pytest.mark.parametrize("victim", WEIGHTS)
async def test_who_is_lost_is_missed_where_it_is_drawn_and_the_others_share_its_weight(
    victim: str,
) -> None:
    dropped = 0
    for place in PLACES:
        engines = trio()
        lost = next(one for one in engines if one.model_id == victim)
        ensemble = await started(engines)
        # Behind the last token its row may have been there already.
        wanted = [expected(place, ensemble, at, victim) for at in (place, place + 1)]
        told = await told_by(ensemble, [], place, {place: partial(lost.lose, "killed by SIGKILL")})
        assert told.ids in wanted
        assert [one.kind for one in told.notices] in ([], [NoticeKind.MEMBER_DROPPED])
        dropped += len(told.notices)
        assert all(engine.open_sessions == 0 for engine in engines)
    assert dropped > 1


@pytest.mark.parametrize("script", [[], rounds(5)], ids=["alone", "all kinds"])
async def test_who_is_replayed_changes_nothing_of_the_answer(script: list[Round]) -> None:
    whole = await told_by(await started(trio()), TOGETHER_ALWAYS, 8)
    replayed = 0
    for place in PLACES:
        for index in range(3):
            engines = trio()
            ensemble = await started(engines, policy=FailurePolicy.REPLAY)
            kill = {place: partial(die_and_return, engines[index])}
            told = await told_by(ensemble, script, 8, kill)
            assert (told.ids, told.ended) == (whole.ids, whole.ended)
            replayed += len(told.notices)
    assert replayed > 3


async def test_without_leave_to_go_on_the_answer_ends_where_the_lost_member_is_drawn() -> None:
    engines = trio("ab")
    ensemble = await started(engines, policy=FailurePolicy.FAIL)
    with pytest.raises(WorkerLost):
        await told_by(ensemble, [], 1, {2: partial(engines[1].lose, "killed by SIGKILL")})
    assert all(engine.open_sessions == 0 for engine in engines)


def test_members_are_drawn_by_their_weights_and_looked_at_beforehand() -> None:
    draws, seen = MemberDraws(5), [0, 0, 0]
    for _ in range(4000):
        ahead = draws.peek([0.5, 0.3, 0.2], 3)
        assert draws.peek([0.5, 0.3, 0.2], 3) == ahead
        seen[draws.take([0.5, 0.3, 0.2])] += 1
    assert seen == pytest.approx([2000, 1200, 800], abs=120)
    # What is lost to rounding is nobody's who weighs nothing.
    assert {MemberDraws(seed).take([0.0, 1e-9, 0.0]) for seed in range(50)} == {1}


class Steps:
    """Symbols of an answer on a machine: what a step of everybody takes, and one of each member."""

    def __init__(self, together: float, alone: dict[str, float]) -> None:
        self._together, self._alone = together, alone
        self.costs = Costs()
        self.share = 0.0
        """Time of the last run, as a share of what everybody would have taken at every step."""

    def run(self, symbols: int, weights: dict[str, float], sizes: dict[str, float]) -> list[bool]:
        """Whether each was drawn from one member alone."""
        pace, luck, lone = Pace(self.costs, 0, sizes=sizes), random.Random(1), list[bool]()
        models, shares, spent = [*weights], [*weights.values()], 0.0
        for _ in range(symbols):
            planned = pace.plan(0, lone=weights)
            lone.append(planned.lone)
            seconds = self._together * luck.uniform(0.95, 1.05)
            if planned.lone:
                (model,) = luck.choices(models, shares)
                seconds *= self._alone[model] / self._together
                pace.took_lone(model, seconds)
            else:
                pace.took_together(seconds)
            spent += seconds
        self.share = spent / symbols / self._together
        return lone


EQUAL = {"a": 0.5, "b": 0.5}


def test_members_that_take_turns_are_asked_one_by_one_and_now_and_then_together() -> None:
    steps = Steps(150.0, {"a": 120.0, "b": 50.0})
    lone = steps.run(1000, EQUAL, {"a": 0.75, "b": 0.25})
    assert sum(lone) > 985
    assert steps.share < 0.59
    # What a step of everybody takes is measured again, so that it is known when that changes.
    assert not all(lone[10:])


def test_members_that_compute_at_once_are_asked_together() -> None:
    steps = Steps(100.0, {"a": 115.0, "b": 115.0})
    lone = steps.run(1000, EQUAL, {"a": 0.5, "b": 0.5})
    assert 4 <= sum(lone) < 30
    assert steps.share < 1.01


@pytest.mark.parametrize("alone", [97.0, 100.0, 103.0, 106.0])
def test_where_one_member_takes_about_as_long_as_all_little_is_lost(alone: float) -> None:
    steps = Steps(100.0, {"a": alone, "b": alone})
    for symbols in (40, 40, 400):
        steps.run(symbols, EQUAL, {"a": 0.5, "b": 0.5})
        assert steps.share < 1.02
