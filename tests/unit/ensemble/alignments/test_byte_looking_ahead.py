"""A beam that computes ahead is the beam that does not, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.engines.vocabulary import END
from quorate.ensemble.alignments.bytes.predictor import BytePredictor
from quorate.ensemble.decode import score
from quorate.ensemble.ensemble import Ensemble
from quorate.ensemble.weighting import BayesianWeights, ConfidentWeights, StaticWeights, Weigher
from quorate.errors import WorkerLost
from quorate.request import CombinationRule, FailurePolicy, Token
from support.byte_predictors import (
    BPE,
    VOCABULARIES,
    everything_is_free,
    kept_share,
    open_sessions,
    restarted,
    segmentations,
    started,
    toy_engine,
)
from support.ensembles import byte_ensemble, die_and_return
from support.in_process import InProcessEngine
from support.scripted_models import scripted_engine

TEXTS = st.text("abc", min_size=1, max_size=24).map(str.encode)
BEAMS = st.sampled_from([(0.0, 6), (1e-3, 4), (1e-2, 3), (1e-2, 1), (0.3, 2)]).map(
    lambda beam: {"epsilon": beam[0], "width": beam[1]}
)
# How many of the bytes that follow are told, and what else is believed to come behind them.
GUESSES = st.lists(
    st.tuples(st.integers(0, 24), st.text("abc", max_size=6).map(str.encode)),
    min_size=24,
    max_size=24,
)
names = st.sampled_from([*VOCABULARIES])


async def twins(name: str, seed: int, how: dict[str, Any]) -> tuple[BytePredictor, BytePredictor]:
    """A predictor, and one that has no look at what is told ahead."""
    pieces = VOCABULARIES[name]
    looking = toy_engine(pieces, seed=seed, sessions=6)
    plain = toy_engine(pieces, seed=seed, sessions=6, rewind=False)
    return await started(looking, **how), await started(plain, **how)


def ahead_of(text: bytes, at: int, guess: tuple[int, bytes]) -> bytes:
    right, wrong = guess
    return text[at + 1 : at + 1 + right] + wrong


def assert_alike(one: BytePredictor, other: BytePredictor) -> None:
    assert one.state.probabilities == pytest.approx(other.state.probabilities, rel=1e-9, abs=1e-12)
    assert segmentations(one) == segmentations(other)
    assert kept_share(one) == pytest.approx(kept_share(other), rel=1e-9)
    assert one.state.held_kv_tokens == other.state.held_kv_tokens
    assert (one.length, one.dropped_mass) == (other.length, pytest.approx(other.dropped_mass))


@given(names, TEXTS, st.integers(0, 30), BEAMS, GUESSES)
async def test_whatever_is_guessed_the_beam_is_the_same(
    name: str, text: bytes, seed: int, how: dict[str, Any], guesses: Sequence[tuple[int, bytes]]
) -> None:
    looking, plain = await twins(name, seed, how)
    for at, byte in enumerate(text):
        row = await looking.feed(byte, ahead_of(text, at, guesses[at]))
        assert row == pytest.approx(await plain.feed(byte), rel=1e-6)
        assert looking.top_piece(row) == plain.top_piece(row)
        assert_alike(looking, plain)
    looking.close()
    plain.close()
    assert looking.forwards - looking.wasted <= plain.forwards <= looking.forwards
    assert 0 <= looking.wasted <= looking.looked_ahead
    assert (plain.looked_ahead, plain.wasted) == (0, 0)


@given(names, TEXTS, st.integers(0, 30), BEAMS, st.integers(0, 23))
async def test_a_known_text_is_computed_ahead_and_a_worker_that_dies_meanwhile_changes_nothing(
    name: str, text: bytes, seed: int, how: dict[str, Any], dies_at: int
) -> None:
    looking, plain = await twins(name, seed, how)
    engine = looking._engine
    assert isinstance(engine, InProcessEngine)
    for at, byte in enumerate(text):
        pending = looking.feed(byte, text[at + 1 :])
        if at == dies_at:
            die_and_return(engine)
        try:
            await pending
        except WorkerLost:
            await restarted(looking)
        await plain.feed(byte)
        assert looking.state.probabilities == pytest.approx(plain.state.probabilities, rel=1e-5)
    looking.close()
    assert await everything_is_free(engine)


@given(names, TEXTS, st.integers(0, 30), BEAMS, st.lists(st.integers(0, 9), min_size=24))
async def test_a_member_that_goes_ahead_by_itself_is_where_it_would_be(
    name: str, text: bytes, seed: int, how: dict[str, Any], lengths: Sequence[int]
) -> None:
    looking, plain = await twins(name, seed, how)
    engine = looking._engine
    assert isinstance(engine, InProcessEngine)
    for at, byte in enumerate(text):
        row = await looking.feed(byte)
        own = row.copy()
        for _ in range(lengths[at]):
            likeliest = int(own.argmax())
            if likeliest == END:
                break
            own = await looking.guess(likeliest)
            assert np.exp(own).sum() == 1
        assert row == pytest.approx(await plain.feed(byte), rel=1e-6)
        assert_alike(looking, plain)
        assert open_sessions(engine) <= how["width"]
    looking.close()
    plain.close()
    assert looking.forwards - looking.wasted <= plain.forwards <= looking.forwards
    assert await everything_is_free(engine)


async def test_what_a_member_said_by_itself_is_known_once_it_is_chosen() -> None:
    engine = toy_engine(BPE, seed=3, sharpness=50.0)
    looking = await started(engine, epsilon=0.3, width=1)
    row = await looking.feed(ord("a"))
    guessed = []
    for _ in range(12):
        guessed.append(int(row.argmax()))
        row = await looking.guess(guessed[-1])
    assert looking.looked_ahead > 2
    for byte in guessed[:6]:
        assert not looking.ends_token(byte)
        pending = looking.feed(byte)
        assert not engine.has_work
        await pending
    assert looking.wasted == 0
    looking.close()


async def decode_calls(text: bytes, **options: Any) -> int:
    """How many calls a beam takes that is told all of a text ahead."""
    engine = toy_engine(BPE, seed=5, sessions=8, sharpness=0.5, **options)
    decode, calls = engine._model.decode, 0

    def counted(chunks: Any) -> None:
        nonlocal calls
        calls += 1
        decode(chunks)

    engine._model.decode = counted  # type: ignore[method-assign]
    looking = await started(engine, epsilon=0.2, width=8)
    for at, byte in enumerate(text):
        await looking.feed(byte, text[at + 1 :])
    looking.close()
    return calls


async def test_what_a_text_needs_beside_its_cut_is_computed_in_one_call() -> None:
    """Tokens that begin others, at nearly every byte."""
    text = b"abc" * 8
    assert await decode_calls(text, rewind=False) == len(text) + 1
    assert await decode_calls(text) < len(text) / 2


@given(TEXTS, st.integers(0, 30), BEAMS, st.integers(17, 40), GUESSES)
async def test_the_beam_and_its_guesses_stay_within_what_was_reserved(
    text: bytes,
    seed: int,
    how: dict[str, Any],
    kv_tokens: int,
    guesses: Sequence[tuple[int, bytes]],
) -> None:
    engine = toy_engine(seed=seed, sessions=6)
    plain_engine = toy_engine(seed=seed, sessions=6, rewind=False)
    looking = await started(engine, kv_tokens=kv_tokens, **how)
    plain = await started(plain_engine, kv_tokens=kv_tokens, **how)
    for at, byte in enumerate(text):
        await looking.feed(byte, ahead_of(text, at, guesses[at]))
        await plain.feed(byte)
        assert_alike(looking, plain)
        assert looking.state.held_kv_tokens + looking.state.guessed_kv_tokens <= kv_tokens
        assert open_sessions(engine) <= how["width"]
    looking.close()
    assert await everything_is_free(engine)


async def test_guesses_that_are_right_leave_little_to_be_decoded() -> None:
    text = b"abcabcaabcbcabcab" * 3
    looking, plain = await twins("bpe", 3, {"epsilon": 1e-2, "width": 1})
    for at, byte in enumerate(text):
        await looking.feed(byte, text[at + 1 :])
        await plain.feed(byte)
    assert plain.forwards <= looking.forwards <= plain.forwards + 2 * looking.wasted
    assert looking.looked_ahead > 0.5 * looking.forwards
    looking.close()
    plain.close()


async def test_a_reader_that_leaves_in_mid_block_frees_everything() -> None:
    engine = toy_engine(sessions=4)
    looking = await started(engine, epsilon=1e-2, width=4)
    looking.feed(ord("a"), b"bcabcabcabc")
    assert looking._tree.waiting
    looking.close()
    assert await everything_is_free(engine)


async def scored(
    rule: CombinationRule,
    weigher: Weigher,
    lost_at: int | None = None,
    policy: FailurePolicy = FailurePolicy.REPLAY,
    **options: Any,
) -> tuple[list[Token], Ensemble[Any]]:
    a = scripted_engine("a", seed=1, context_length=512, sessions=4, **options)
    pieces = ["t", "h", "e", " ", "c", "a", "the", "cat", " the", "at"]
    b = scripted_engine("b", seed=2, pieces=pieces, context_length=512, sessions=4, **options)
    ensemble = await byte_ensemble((a, 0.5), (b, 0.5), weigher=weigher, policy=policy, starts=False)
    if lost_at is not None:
        lose_behind(ensemble, partial(die_and_return, b), lost_at)
    text = "the cat that ate the heat at the chat, the tea, the hat " * 4
    tokens = await score(ensemble, rule, text.encode())
    ensemble.close()
    for engine in (a, b):
        assert await everything_is_free(engine)
    return tokens, ensemble


def lose_behind(ensemble: Ensemble[Any], die: Any, count: int) -> None:
    """Has a worker die while what follows the byte of this number is computed."""
    predictor = ensemble.members[1].predictor
    feed, fed = predictor.feed, []

    def dying(symbol: int, ahead: Sequence[int] = ()) -> Any:
        pending = feed(symbol, ahead)
        fed.append(symbol)
        if len(fed) == count:
            die()
        return pending

    predictor.feed = dying  # type: ignore[method-assign]


def logprobs(tokens: Sequence[Token]) -> list[float]:
    return [token.logprob for token in tokens]


@pytest.mark.parametrize("rule", list(CombinationRule))
@pytest.mark.parametrize("weighting", ["static", "bayesian", "confidence"])
async def test_a_score_by_blocks_is_the_score_step_by_step(
    rule: CombinationRule, weighting: str
) -> None:
    def weigher() -> Weigher:
        if weighting == "bayesian":
            return BayesianWeights([0.5, 0.5], 0.9)
        return (ConfidentWeights if weighting == "confidence" else StaticWeights)([0.5, 0.5])

    blocks, ensemble = await scored(rule, weigher())
    steps, plain = await scored(rule, weigher(), rewind=False)
    assert logprobs(blocks) == pytest.approx(logprobs(steps), abs=1e-6)
    for member, alone in zip(ensemble.members, plain.members, strict=True):
        assert member.logprob == pytest.approx(alone.logprob, abs=1e-5)
        predictor = member.predictor
        assert member.forwards - predictor.wasted <= alone.forwards <= member.forwards
        assert predictor.looked_ahead > predictor.wasted


@pytest.mark.parametrize("lost_at", [1, 2, 60, 127, 128, 129, 130])
async def test_a_score_with_a_loss_in_mid_block_is_the_same(lost_at: int) -> None:
    whole, _ = await scored(CombinationRule.LINEAR, StaticWeights([0.5, 0.5]))
    lost, _ = await scored(CombinationRule.LINEAR, StaticWeights([0.5, 0.5]), lost_at)
    assert logprobs(lost) == pytest.approx(logprobs(whole), abs=1e-5)
