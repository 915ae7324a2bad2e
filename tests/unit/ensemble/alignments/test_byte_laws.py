"""Laws of the byte-exact vote, for any members, weights and texts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.ensemble.decode import decode, score
from quorate.ensemble.fusion import fuse
from quorate.ensemble.weighting import BayesianWeights, Weigher
from quorate.request import CombinationRule
from support.byte_predictors import VOCABULARIES, started, toy_engine
from support.distributions import shares
from support.ensembles import PROMPT, byte_ensemble, params_of, run_out
from support.enumeration import Enumeration
from support.in_process import InProcessEngine

POOLS = [CombinationRule.LINEAR, CombinationRule.GEOMETRIC]
TEXTS = st.text("ab", min_size=1, max_size=8).map(str.encode)
NAMES = list(VOCABULARIES)
FLOAT32 = 1e-5


@dataclass(frozen=True)
class Scores:
    """Log-probs of a text in nats, of the ensemble and of each member."""

    ensemble: float
    members: list[float]


def members(seed: int) -> list[InProcessEngine]:
    """One model for each kind of vocabulary."""
    return [
        toy_engine(VOCABULARIES[name], seed=seed + index, sharpness=3.0)
        for index, name in enumerate(NAMES)
    ]


async def scored(
    text: bytes,
    *voting: tuple[InProcessEngine, float],
    rule: CombinationRule = CombinationRule.LINEAR,
    weigher: Weigher | None = None,
    epsilon: float = 1e-2,
) -> Scores:
    # The scripted models have small contexts.
    ensemble = await byte_ensemble(
        *voting, weigher=weigher, epsilon=epsilon, kv_tokens=40, starts=False
    )
    tokens = await score(ensemble, rule, text)
    ensemble.close()
    return Scores(
        math.fsum(token.logprob for token in tokens),
        [member.logprob for member in ensemble.members],
    )


@settings(max_examples=30)
@given(TEXTS, st.integers(0, 50), shares(2))
@pytest.mark.parametrize("rule", POOLS)
async def test_a_member_and_its_twin_are_that_member(
    rule: CombinationRule, text: bytes, seed: int, weights: list[float]
) -> None:
    one, twin = members(seed)[0], members(seed)[0]
    alone = await scored(text, (one, 1.0))
    both = await scored(text, (one, weights[0]), (twin, weights[1]), rule=rule)
    assert both.ensemble == pytest.approx(alone.ensemble, abs=FLOAT32)


@pytest.mark.parametrize("rule", list(CombinationRule))
async def test_a_member_and_its_twin_say_under_every_rule_what_it_says_alone(
    rule: CombinationRule,
) -> None:
    texts = []
    for engines in ([members(5)[0]], [members(5)[0], members(5)[0]]):
        voting = [(engine, 1 / len(engines)) for engine in engines]
        ensemble = await byte_ensemble(*voting, kv_tokens=40)
        texts.append((await run_out(decode(ensemble, params_of(rule=rule)))).text)
        ensemble.close()
    assert texts[0] == texts[1] != ""


@settings(max_examples=20)
@given(TEXTS, st.integers(0, 50))
@pytest.mark.parametrize("rule", list(CombinationRule))
async def test_a_member_without_weight_does_not_count(
    rule: CombinationRule, text: bytes, seed: int
) -> None:
    one, other, _ = members(seed)
    alone = await scored(text, (one, 1.0))
    assert (await scored(text, (one, 1.0), (other, 0.0), rule=rule)).ensemble == alone.ensemble


@settings(max_examples=20)
@given(TEXTS, st.integers(0, 50), st.permutations([0, 1, 2]), shares(3))
@pytest.mark.parametrize("rule", POOLS)
async def test_the_order_of_members_does_not_matter(
    rule: CombinationRule, text: bytes, seed: int, order: list[int], weights: list[float]
) -> None:
    voting = list(zip(members(seed), weights, strict=True))
    forwards = await scored(text, *voting, rule=rule)
    shuffled = await scored(text, *(voting[index] for index in order), rule=rule)
    assert shuffled.ensemble == pytest.approx(forwards.ensemble, abs=FLOAT32)
    assert shuffled.members == pytest.approx([forwards.members[index] for index in order])


@settings(max_examples=20)
@given(TEXTS, st.integers(0, 50), shares(3))
@pytest.mark.parametrize("rule", list(CombinationRule))
async def test_the_mixture_sums_to_one(
    rule: CombinationRule, text: bytes, seed: int, weights: list[float]
) -> None:
    ensemble = await byte_ensemble(*zip(members(seed), weights, strict=True), kv_tokens=40)
    for byte in text:
        mixture = fuse(rule, await ensemble.distributions(), ensemble.weights)
        assert np.exp(mixture.astype(np.float64)).sum() == pytest.approx(1.0, abs=1e-6)
        await ensemble.tell(byte)
    await ensemble.distributions()
    ensemble.close()


@settings(max_examples=30)
@given(st.text("ab", min_size=1, max_size=4).map(str.encode), st.integers(0, 50))
@pytest.mark.parametrize("name", NAMES)
async def test_the_chain_rule_holds(name: str, text: bytes, seed: int) -> None:
    options = {"pieces": list(VOCABULARIES[name]), "seed": seed}
    engine = toy_engine(**options)
    exact = Enumeration(await engine.encode(PROMPT), **options)
    predictor = await started(engine, prompt=await engine.encode(PROMPT))
    logprobs = []
    for byte in text:
        logprobs.append(math.log(predictor.state.probabilities[byte]))
        await predictor.feed(byte)
    predictor.close()
    assert math.fsum(logprobs) == pytest.approx(math.log(exact.prefix(text)), abs=1e-9)
    ensemble = await byte_ensemble((engine, 1.0), epsilon=0.0, width=64, kv_tokens=56, starts=False)
    tokens = await score(ensemble, CombinationRule.LINEAR, text)
    ensemble.close()
    summed = sum(token.logprob for token in tokens)
    assert summed == pytest.approx(math.log(exact.prefix(text)), abs=FLOAT32)


@settings(max_examples=40)
@given(TEXTS, st.integers(0, 50), shares(3))
@pytest.mark.parametrize("rule", POOLS)
async def test_a_pool_needs_no_more_bits_than_its_members_on_average(
    rule: CombinationRule, text: bytes, seed: int, weights: list[float]
) -> None:
    voting = zip(members(seed), weights, strict=True)
    score = await scored(text, *voting, rule=rule)
    average = sum(w * one for w, one in zip(weights, score.members, strict=True))
    assert -score.ensemble <= -average + FLOAT32 * len(text)


@settings(max_examples=40)
@given(TEXTS, st.integers(0, 50), shares(3))
async def test_bayesian_weights_that_forget_nothing_cost_at_most_the_bits_of_a_prior(
    text: bytes, seed: int, priors: list[float]
) -> None:
    weigher = BayesianWeights(priors, 1.0)
    score = await scored(text, *zip(members(seed), priors, strict=True), weigher=weigher)
    bounds = [math.log(prior) + one for prior, one in zip(priors, score.members, strict=True)]
    assert score.ensemble >= max(bounds) - FLOAT32 * len(text)


@settings(max_examples=30)
@given(TEXTS, st.integers(0, 50), shares(3))
async def test_bayesian_weights_that_forget_nothing_mix_whole_texts(
    text: bytes, seed: int, priors: list[float]
) -> None:
    weigher = BayesianWeights(priors, 1.0)
    score = await scored(text, *zip(members(seed), priors, strict=True), weigher=weigher)
    texts = [math.log(prior) + one for prior, one in zip(priors, score.members, strict=True)]
    assert score.ensemble == pytest.approx(float(np.logaddexp.reduce(texts)), abs=1e-4)
