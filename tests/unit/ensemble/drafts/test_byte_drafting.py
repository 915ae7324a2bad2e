"""A draft of a byte-exact vote changes what its answer takes, and nothing of the answer."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from quorate.ensemble.decode import decode
from quorate.ensemble.drafts import drafting
from quorate.ensemble.drafts.drafting import Drafts
from quorate.ensemble.ensemble import Ensemble
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
)
from support.byte_predictors import everything_is_free
from support.drafts import FixedPace, lookup_drafts, member_drafts
from support.ensembles import Told, byte_ensemble, die_and_return, params_of, run_out
from support.in_process import InProcessEngine
from support.scripted_models import scripted_engine

WEIGHERS: dict[str, Callable[[], Weigher]] = {
    "static": lambda: StaticWeights([0.35, 0.65]),
    "bayesian": lambda: BayesianWeights([0.35, 0.65], 0.9),
    "confidence": lambda: ConfidentWeights([0.35, 0.65]),
}
SHOWN = ResponseOptions(top_logprobs=2, member_votes=True)
SAID = tuple(b"the cat sat on the mat and the cat sat on the mat and ")
PIECES = ["t", "h", "e", " ", "c", "a", "s", "the", "cat", " the", "at", " sat", "sa"]
PLACES = (1, 2, 4)
"""Words behind which a member dies."""


def pair(seed: int = 1, **options: object) -> tuple[InProcessEngine, InProcessEngine]:
    """Two models with different vocabularies; the first one guesses in most tests."""
    how = {"sharpness": 3.0, "sessions": 8, "context_length": 512, **options}
    return (
        scripted_engine("words", pieces=PIECES, seed=seed, **how),
        scripted_engine("letters", vocabulary="letters", seed=seed + 1, **how),
    )


async def told_by(
    engines: tuple[InProcessEngine, InProcessEngine],
    drafts: Drafts | None,
    kill: dict[int, Callable[[], None]] | None = None,
    weigher: str = "static",
    policy: FailurePolicy = FailurePolicy.AUTO,
    **changes: object,
) -> tuple[Told, Ensemble[int]]:
    ensemble = await byte_ensemble(
        (engines[0], 0.65), (engines[1], 0.35), weigher=WEIGHERS[weigher](), policy=policy
    )
    changes = {"max_tokens": 24, "response": SHOWN, **changes}
    try:
        return await run_out(decode(ensemble, params_of(drafts=drafts, **changes)), kill), ensemble
    finally:
        ensemble.close()
        for engine in engines:
            assert await everything_is_free(engine)


def assert_told_alike(one: Told, other: Told) -> None:
    assert (one.text, one.ended) == (other.text, other.ended)
    assert len(one.tokens) == len(other.tokens)
    for mine, theirs in zip(one.tokens, other.tokens, strict=True):
        assert mine.piece == theirs.piece
        assert mine.logprob == pytest.approx(theirs.logprob, abs=1e-5)
        assert [v.piece for v in mine.votes] == [v.piece for v in theirs.votes]
        assert [v.weight for v in mine.votes] == pytest.approx([v.weight for v in theirs.votes])


def drafts_of(length: int, who: str) -> Drafts:
    return lookup_drafts(length, SAID) if who == "prompt" else member_drafts(who, length)


@pytest.mark.parametrize("who", ["words", "letters", "prompt"])
@pytest.mark.parametrize("length", range(1, 9))
async def test_each_length_of_a_draft_gives_the_same_greedy_answer(length: int, who: str) -> None:
    right = 0
    for seed in range(2):
        drafts = drafts_of(length, who)
        told, ensemble = await told_by(pair(seed), drafts)
        assert_told_alike(told, (await told_by(pair(seed), None))[0])
        assert ensemble.accepted <= ensemble.drafted
        right += ensemble.accepted
    assert right > 0


@pytest.mark.parametrize("rule", list(CombinationRule))
@pytest.mark.parametrize("weigher", WEIGHERS)
async def test_every_rule_and_weighting_has_the_same_answer_with_drafts(
    rule: CombinationRule, weigher: str
) -> None:
    for number, who in enumerate(["words", "letters", "prompt"]):
        drafted, _ = await told_by(pair(number), drafts_of(3, who), weigher=weigher, rule=rule)
        plain, _ = await told_by(pair(number), None, weigher=weigher, rule=rule)
        assert_told_alike(drafted, plain)


@pytest.mark.parametrize("seed", range(12))
async def test_weights_learn_of_chosen_bytes_only(seed: int) -> None:
    """To the last bit: the rows of these members don't depend on what they are computed with."""
    beam = {"epsilon": (1e-2, 1e-3, 0.1)[seed % 3], "width": 2 ** (seed % 4)}
    forgetting = (1.0, 0.9, 0.5)[seed // 4]

    async def run(drafts: Drafts | None) -> tuple[Told, int]:
        engines = pair(seed, sharpness=(3.0, 6.0)[seed % 2])
        weigher = BayesianWeights([0.5, 0.5], forgetting)
        ensemble = await byte_ensemble(*((one, 0.5) for one in engines), weigher=weigher, **beam)
        try:
            told = await run_out(decode(ensemble, params_of(drafts=drafts, response=SHOWN)))
        finally:
            ensemble.close()
        return told, ensemble.drafted

    plain, _ = await run(None)
    drafted = 0
    for number, who in enumerate(["words", "letters", "prompt"]):
        told, guessed = await run(drafts_of(1 + (seed + 3 * number) % 8, who))
        assert told.text == plain.text
        assert told.tokens == plain.tokens
        drafted += guessed
    assert drafted > 0


@pytest.mark.parametrize("who", ["words", "prompt"])
async def test_a_sampled_answer_is_the_one_without_drafts(who: str) -> None:
    hot = SamplingOptions(temperature=0.9, repetition_penalty=1.1)
    for seed in range(3):
        how = {"sampling": hot, "seed": seed}
        drafted, _ = await told_by(pair(seed), drafts_of(4, who), **how)
        assert_told_alike(drafted, (await told_by(pair(seed), None, **how))[0])


@pytest.mark.parametrize(
    ("stopping", "text", "ended"),
    [
        ({}, "sat on the mat, sat on the mat", FinishReason.END_OF_GENERATION),
        ({"stop": ("t, s",)}, "sat on the ma", FinishReason.STOP_STRING),
        ({"max_bytes": 17}, "sat on the mat, s", FinishReason.MAX_BYTES),
    ],
)
@pytest.mark.parametrize("who", ["words", "prompt"])
async def test_an_answer_ends_where_it_ends_without_drafts(
    stopping: dict[str, object], text: str, ended: FinishReason, who: str
) -> None:
    say = "sat on the mat, sat on the mat"
    engines = (
        scripted_engine("words", vocabulary="words", say=say, sessions=8, context_length=512),
        scripted_engine("letters", vocabulary="letters", say=say, sessions=8, context_length=512),
    )
    told, ensemble = await told_by(
        engines,
        drafts_of(8, who),
        max_tokens=200,
        stopping=StoppingOptions(**stopping),
    )
    assert (told.text, told.ended) == (text, ended)
    assert ensemble.accepted > 0


async def test_code_points_stay_whole_where_bytes_are_guessed() -> None:
    say = "é€\U0001f600 é€\U0001f600 é€\U0001f600"
    engines = (
        scripted_engine("words", vocabulary="words", say=say, sessions=8, context_length=512),
        scripted_engine("letters", vocabulary="letters", say=say, sessions=8, context_length=512),
    )
    for limit in range(1, 14):
        drafted, _ = await told_by(engines, member_drafts("words", 8), max_tokens=limit)
        assert_told_alike(drafted, (await told_by(engines, None, max_tokens=limit))[0])


@pytest.mark.parametrize("who", ["words", "prompt"])
@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize("place", PLACES)
async def test_a_member_that_is_replayed_in_mid_draft_changes_nothing_of_the_answer(
    victim: int, place: int, who: str
) -> None:
    engines = pair()
    told, _ = await told_by(
        engines,
        drafts_of(4, who),
        {place: lambda: die_and_return(engines[victim])},
        policy=FailurePolicy.REPLAY,
    )
    assert_told_alike(told, (await told_by(pair(), None))[0])
    assert [one.kind for one in told.notices] == [NoticeKind.MEMBER_REPLAYED]


@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize("place", PLACES)
async def test_the_others_go_on_without_a_member_that_dies_in_mid_draft(
    victim: int, place: int
) -> None:
    engines = pair()
    names = ["words", "letters"]
    kill = {place: lambda: engines[victim].lose("killed by SIGKILL")}
    ensemble = await byte_ensemble((engines[0], 0.65), (engines[1], 0.35))
    drafts = member_drafts("words", 4)
    told = await run_out(
        decode(ensemble, params_of(drafts=drafts, response=SHOWN, max_tokens=40)), kill
    )
    ensemble.close()
    assert [(one.kind, one.model) for one in told.notices] == [
        (NoticeKind.MEMBER_DROPPED, names[victim])
    ]
    assert told.ended is FinishReason.MAX_TOKENS
    assert [vote.model for vote in told.tokens[-1].votes] == [names[1 - victim]]


async def test_a_loss_that_nobody_survives_ends_the_answer() -> None:
    engines = pair()
    kill = {2: lambda: engines[0].lose("killed")}
    ensemble = await byte_ensemble(
        (engines[0], 0.65), (engines[1], 0.35), policy=FailurePolicy.FAIL
    )
    with pytest.raises(WorkerLost):
        await run_out(
            decode(ensemble, params_of(drafts=member_drafts("words", 4), max_tokens=40)), kill
        )
    ensemble.close()


async def test_a_reader_that_leaves_in_mid_draft_frees_everything() -> None:
    for place in range(1, 6):
        engines = pair()
        ensemble = await byte_ensemble((engines[0], 0.65), (engines[1], 0.35))
        steps = decode(ensemble, params_of(drafts=member_drafts("words", 4), max_tokens=40))
        for _ in range(place):
            await anext(steps)
        await steps.aclose()
        ensemble.close()
        for engine in engines:
            assert await everything_is_free(engine)


async def test_guesses_are_counted_and_what_was_wrong_was_computed_too() -> None:
    drafts = member_drafts("words", 3)
    _, ensemble = await told_by(pair(), drafts)
    assert isinstance(drafts.pace, FixedPace)
    first, second = ensemble.usage()
    assert first.drafted_tokens == ensemble.drafted > 20
    assert 0 < first.accepted_tokens == ensemble.accepted < ensemble.drafted
    assert (second.drafted_tokens, second.accepted_tokens) == (0, 0)
    for member in ensemble.members:
        assert 0 < member.predictor.wasted <= member.predictor.looked_ahead <= member.forwards


@pytest.mark.parametrize(("held_up", "charged"), [(False, 7), (True, 0)])
async def test_each_round_that_nobody_held_up_is_charged_to_the_draft(
    held_up: bool, charged: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of no guess too: this member would end the answer where the other one goes on."""
    monkeypatch.setattr(drafting, "_held_up", lambda took: held_up)
    options = {"sessions": 8, "context_length": 512}
    engines = (
        scripted_engine("words", vocabulary="words", say="and and and", confidence=0.99, **options),
        scripted_engine("letters", vocabulary="letters", say="and", confidence=0.5, **options),
    )
    drafts = member_drafts("letters", 4)
    _, ensemble = await told_by(engines, drafts)
    assert isinstance(drafts.pace, FixedPace)
    assert (len(drafts.pace.rounds), drafts.pace.together) == (charged, 0)
    assert ensemble.drafted == 9


async def test_who_cannot_forget_a_wrong_guess_makes_none_and_checks_those_of_others() -> None:
    plain, _ = await told_by(pair(), None)
    for who in ("words", "letters"):
        words, letters = pair()
        letters = scripted_engine(
            "letters", vocabulary="letters", seed=2, sharpness=3.0, sessions=8, rewind=False
        )
        told, ensemble = await told_by((words, letters), member_drafts(who, 4))
        assert_told_alike(told, plain)
        assert (ensemble.drafted > 0) == (who == "words")


async def test_members_that_agree_need_few_calls_for_a_text_that_was_said_before() -> None:
    say = "the cat sat on the mat and the cat sat on the mat and the cat"
    options = {"say": say, "sessions": 8, "context_length": 512}
    engines = (
        scripted_engine("words", vocabulary="words", **options),
        scripted_engine("letters", vocabulary="letters", **options),
    )
    _, ensemble = await told_by(engines, lookup_drafts(8, SAID), max_tokens=200)
    letters = ensemble.members[1].predictor
    assert ensemble.accepted > len(say) / 2
    assert letters.looked_ahead > 0.5 * letters.forwards
