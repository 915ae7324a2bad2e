from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from quorate.engines.contract import LogProbs
from quorate.ensemble.rules import linear
from quorate.request import SamplingOptions
from quorate.sampling.coupling import Distribution, Numbers, Truncation, couple
from quorate.sampling.sampler import Sampler
from support.distributions import normalised, random_row, rows, shares

UNTRUNCATED = Truncation(1.0, 0, 1.0, 0.0)
CASES = {
    "untruncated": UNTRUNCATED,
    "temperature": Truncation(1.7, 0, 1.0, 0.0),
    "top-k": Truncation(0.8, 4, 1.0, 0.0),
    "top-p": Truncation(0.8, 0, 0.8, 0.0),
    "min-p": Truncation(1.2, 0, 1.0, 0.1),
    "all of them": Truncation(0.7, 6, 0.9, 0.05),
}


def probabilities(row: LogProbs, how: Truncation) -> npt.NDArray[np.float64]:
    """The plain way: a full sort, each step on what the step before kept."""
    order = [i for i in np.lexsort((np.arange(len(row)), -row)) if row[i] > -np.inf]
    if how.top_k:
        order = order[: how.top_k]
    if how.top_p < 1:
        weights = np.exp(row[order].astype(np.float64))
        reached = np.cumsum(weights / weights.sum())
        order = order[: int((reached < how.top_p).sum()) + 1]
    if how.min_p:
        order = [i for i in order if row[i] - row[order[0]] >= np.log(how.min_p)]
    result = np.zeros(len(row))
    kept = row[order].astype(np.float64)
    weights = np.exp((kept - kept[0]) / how.temperature)
    result[order] = weights / weights.sum()
    return result


def acceptance(target: LogProbs, proposal: LogProbs, how: Truncation) -> tuple[float, Counter[int]]:
    """Share of proposals kept, and what was drawn, over an even grid of the first two numbers."""
    r, q = Distribution(target, how), Distribution(proposal, how)
    luck = np.random.default_rng(3)
    side, drawn, accepted = 50, Counter[int](), 0
    for i in range(side):
        for j in range(side):
            numbers = Numbers((i + 0.5) / side, (j + 0.5) / side, luck.random())
            one = couple(r, q, numbers)
            drawn[one.token] += 1
            accepted += one.accepted
    return accepted / side**2, drawn


@pytest.mark.parametrize("how", CASES.values(), ids=CASES)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_proposal_is_kept_as_often_as_the_distributions_overlap(
    how: Truncation, seed: int
) -> None:
    target, proposal = random_row(12, seed, 1.5), random_row(12, seed + 50, 1.5)
    kept, drawn = acceptance(target, proposal, how)
    r, q = probabilities(target, how), probabilities(proposal, how)
    assert kept == pytest.approx(np.minimum(q, r).sum(), abs=0.05)
    total = sum(drawn.values())
    for token, probability in enumerate(r):
        assert drawn[token] / total == pytest.approx(probability, abs=0.05)
    assert all(r[token] > 0 for token in drawn)


@pytest.mark.parametrize("how", CASES.values(), ids=CASES)
def test_coupled_draws_follow_the_distribution(how: Truncation) -> None:
    target, proposal = random_row(9, 4, 1.0), random_row(9, 5, 1.0)
    r, q = Distribution(target, how), Distribution(proposal, how)
    luck = np.random.default_rng(11)
    draws = 20_000
    counts = Counter(couple(r, q, Numbers(*luck.random(3))).token for _ in range(draws))
    expected = draws * probabilities(target, how)
    possible = np.flatnonzero(expected)
    assert set(counts) <= set(possible.tolist())
    chi_square = sum((counts[i] - expected[i]) ** 2 / expected[i] for i in possible)
    # The quantile 0.999 of chi-squared, for up to eight degrees of freedom.
    assert (
        chi_square
        < [10.83, 10.83, 13.82, 16.27, 18.47, 20.52, 22.46, 24.32, 26.13][len(possible) - 1]
    )


@given(rows(2), st.sampled_from([*CASES.values()]), st.tuples(*[st.floats(0, 1)] * 3))
def test_nothing_is_drawn_that_the_target_rules_out(
    pair: list[LogProbs], how: Truncation, numbers: tuple[float, float, float]
) -> None:
    assume(max(numbers) < 1)
    target, proposal = pair
    r = Distribution(target, how)
    drawn = couple(r, Distribution(proposal, how), Numbers(*numbers))
    assert r.probability(drawn.token) > 0
    same = couple(r, Distribution(target, how), Numbers(*numbers))
    assert same.accepted


@given(st.data(), st.integers(2, 4))
def test_a_member_of_a_linear_vote_has_at_least_its_weight_of_its_proposals_accepted(
    data: st.DataObject, members: int
) -> None:
    parts = data.draw(rows(members, least=2))
    weights = data.draw(shares(members))
    mixture = np.empty(len(parts[0]), np.float32)
    linear(parts, weights, mixture, (np.empty_like(mixture), np.empty_like(mixture)))
    r, q = probabilities(mixture, UNTRUNCATED), probabilities(parts[0], UNTRUNCATED)
    overlap = np.minimum(q, r).sum()
    assert overlap >= weights[0] - 1e-5
    target, proposal = Distribution(mixture, UNTRUNCATED), Distribution(parts[0], UNTRUNCATED)
    side = 150
    kept = np.mean(
        [
            couple(target, proposal, Numbers((i + 0.5) / side, (i * 0.618034) % 1, 0.5)).accepted
            for i in range(side)
        ]
    )
    assert kept == pytest.approx(overlap, abs=0.1)
    assert kept >= weights[0] - 0.1


SAMPLED = {
    "greedy": SamplingOptions(temperature=0.0),
    "defaults": SamplingOptions(),
    "untruncated": SamplingOptions(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0),
    "penalties": SamplingOptions(
        presence_penalty=0.7, frequency_penalty=0.4, repetition_penalty=1.2, logit_bias={3: 1.0}
    ),
}


@pytest.mark.parametrize("options", SAMPLED.values(), ids=SAMPLED)
def test_what_is_guessed_ahead_is_what_is_proposed_once_the_position_is_there(
    options: SamplingOptions,
) -> None:
    proposals = [random_row(40, seed) for seed in range(40)]
    mixtures = [normalised(row + random_row(40, seed + 99)) for seed, row in enumerate(proposals)]
    plain, guessing = (Sampler(options, 40, 5, (1, 2)) for _ in range(2))
    place, kept = 0, 0
    while place < 30:
        guesses: list[int] = []
        for ahead in range(4):
            guess = guessing.guess(proposals[place + ahead], guesses)
            assert guess is not None
            guesses.append(guess.token)
        for guess in guesses:
            chosen = guessing.sample(mixtures[place], proposals[place])
            assert chosen == plain.sample(mixtures[place], proposals[place])
            assert guessing.proposal == plain.proposal
            assert guessing.proposal is not None
            assert guessing.proposal.token == guess
            place += 1
            if chosen != guess:
                break
            kept += 1
    assert 5 < kept < place


@pytest.mark.parametrize(
    ("options", "how"),
    [
        (SamplingOptions(), Truncation(0.8, 40, 0.95, 0.05)),
        (SAMPLED["untruncated"], UNTRUNCATED),
        (SAMPLED["greedy"], None),
    ],
)
def test_a_guess_is_as_sure_as_it_is_probable_to_whoever_proposes_it(
    options: SamplingOptions, how: Truncation | None
) -> None:
    row = random_row(40, 3)
    guess = Sampler(options, 40, 5).guess(row)
    assert guess is not None
    shares = np.exp(row) if how is None else probabilities(row, how)
    assert guess.probability == pytest.approx(shares[guess.token])
    if how is None:
        assert guess.token == row.argmax()


def test_a_bias_without_bounds_makes_a_guess_no_surer_than_sure() -> None:
    sampler = Sampler(SamplingOptions(temperature=0.0, logit_bias={3: 1e30}), 40, 5)
    assert sampler.guess(random_row(40, 3)) == (3, 1.0)


def test_nobody_who_proposes_changes_the_numbers_of_those_who_come_after() -> None:
    options = SamplingOptions(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0)
    alone, helped = Sampler(options, 40, 5), Sampler(options, 40, 5)
    row = random_row(40, 1, 1.0)
    told = [alone.sample(row) for _ in range(20)]
    first = [helped.sample(row, row) for _ in range(10)]
    assert [*first, *(helped.sample(row) for _ in range(10))] == told


def test_a_proposal_without_any_token_is_no_proposal() -> None:
    row = random_row(4, 1)
    sampler = Sampler(SamplingOptions(temperature=1.0), 4, 5)
    nothing = np.full(4, -np.inf, np.float32)
    assert sampler.sample(row, nothing) == Sampler(SamplingOptions(temperature=1.0), 4, 5).sample(
        row
    )
    assert sampler.proposal is None
    assert sampler.guess(nothing) is None
