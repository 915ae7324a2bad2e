"""Answers that are sampled, with drafts and without, come from the distribution of the mixture.

What is expected is enumerated in float64, by code of its own. 20,000 answers of five tokens take
the decode loop minutes for each way to sample: most are drawn as the loop draws, from rows that are
kept, and the loop itself is held to them for some hundred seeds; two ways it goes all by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pytest

from quorate.engines.contract import LogProbs
from quorate.engines.scripted.tokenizer import BOS
from quorate.ensemble.alignments.tokens import TokenAlignment
from quorate.ensemble.decode import decode
from quorate.ensemble.drafts.costs import Guesser
from quorate.ensemble.drafts.drafting import Drafts
from quorate.ensemble.drafts.member_first import MemberDraws
from quorate.ensemble.drafts.pace import LONE, Round
from quorate.ensemble.fusion import Fuser
from quorate.request import CombinationRule, SamplingOptions, TextPrompt
from quorate.sampling.sampler import Sampler
from support.drafts import ScriptedPace, member_drafts
from support.ensembles import params_of, run_out, unopened
from support.in_process import InProcessEngine
from support.scripted_models import fresh_row, scripted_engine

Answer = tuple[int, ...]
Row = npt.NDArray[np.float64]

DRAWS, TOKENS, LOOPS = 20_000, 5, 150
PROMPT = [BOS, 6]
TOY = {"sharpness": 3.0, "pieces": ["a", "b", "c", "d"]}
MEMBERS = (("a", 1, 0.4), ("b", 2, 0.6))
"""Their names, seeds and weights; the first one guesses."""
WAYS = {
    "temperature 0.7": SamplingOptions(temperature=0.7, top_k=0, top_p=1.0, min_p=0.0),
    "temperature 1.6": SamplingOptions(temperature=1.6, top_k=0, top_p=1.0, min_p=0.0),
    "top-k": SamplingOptions(temperature=1.0, top_k=2, top_p=1.0, min_p=0.0),
    "top-p": SamplingOptions(temperature=1.0, top_k=0, top_p=0.7, min_p=0.0),
    "min-p": SamplingOptions(temperature=1.0, top_k=0, top_p=1.0, min_p=0.3),
    "all at 0.7": SamplingOptions(temperature=0.7, top_k=3, top_p=0.9, min_p=0.15),
    "all at 1.6": SamplingOptions(temperature=1.6, top_k=4, top_p=0.85, min_p=0.1),
}
RULES = (CombinationRule.LINEAR, CombinationRule.GEOMETRIC)
# Once in a thousand runs with other seeds one of all tests of this file would fail.
LEVEL = 1e-3 / (TOKENS * (len(RULES) * len(WAYS) + 8))
AS_IT_IS = SamplingOptions(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0)


def mixed(rule: CombinationRule, context: list[int]) -> Row:
    """The mixture behind some tokens, as log-probs of shape (vocabulary,)."""
    rows = [fresh_row(context, seed=seed, **TOY).astype(np.float64) for _, seed, _ in MEMBERS]
    weights = [weight for *_, weight in MEMBERS]
    with np.errstate(divide="ignore"):
        if rule is CombinationRule.LINEAR:
            logs = np.log(sum(w * np.exp(row) for w, row in zip(weights, rows, strict=True)))
        else:
            logs = np.sum([w * row for w, row in zip(weights, rows, strict=True)], axis=0)
        return logs - np.log(np.exp(logs).sum())


def truncated(logits: Row, options: SamplingOptions) -> Row:
    """Probabilities after top-k, top-p, min-p and temperature, in this order; by a full sort."""
    order = [i for i in np.lexsort((np.arange(len(logits)), -logits)) if logits[i] > -np.inf]
    if options.top_k:
        order = order[: options.top_k]
    if options.top_p is not None and options.top_p < 1:
        weights = np.exp(logits[order])
        order = order[: int((np.cumsum(weights / weights.sum()) < options.top_p).sum()) + 1]
    if options.min_p:
        order = [i for i in order if logits[i] - logits[order[0]] >= np.log(options.min_p)]
    shares = np.zeros(len(logits))
    weights = np.exp((logits[order] - logits[order[0]]) / (options.temperature or 1.0))
    shares[order] = weights / weights.sum()
    return shares


def enumerated(
    rule: CombinationRule, options: SamplingOptions, ends: frozenset[int]
) -> dict[Answer, float]:
    """Probabilities of all answers of so many tokens, and of shorter ones that end."""
    found: dict[Answer, float] = {}

    def follow(answer: Answer, probability: float) -> None:
        if len(answer) == TOKENS:
            found[answer] = found.get(answer, 0.0) + probability
            return
        for token, share in enumerate(truncated(mixed(rule, [*PROMPT, *answer]), options)):
            if share <= 0:
                continue
            if token in ends:
                found[answer] = found.get(answer, 0.0) + probability * share
            else:
                follow((*answer, token), probability * share)

    follow((), 1.0)
    assert sum(found.values()) == pytest.approx(1.0)
    return found


@dataclass
class Kept:
    """Draws answers as the loop does, from rows that are computed once."""

    rule: CombinationRule
    options: SamplingOptions
    ends: frozenset[int]
    rows: dict[Answer, tuple[LogProbs, LogProbs]] = field(default_factory=dict)

    def answer(self, seed: int) -> Answer:
        """The answer to a seed."""
        sampler: Sampler | None = None
        told: Answer = ()
        while len(told) < TOKENS:
            mixture, proposed = self._rows(told)
            sampler = sampler or Sampler(self.options, len(mixture), seed)
            token = sampler.sample(mixture, proposed)
            if token in self.ends:
                break
            told = (*told, token)
        return told

    def _rows(self, told: Answer) -> tuple[LogProbs, LogProbs]:
        """The mixture behind an answer, and the row of the member that guesses."""
        if told not in self.rows:
            rows = [fresh_row([*PROMPT, *told], seed=seed, **TOY) for _, seed, _ in MEMBERS]
            mixture = Fuser(self.rule).fuse(rows, [weight for *_, weight in MEMBERS])
            self.rows[told] = mixture.row.copy(), rows[0]
        return self.rows[told]


def member_first(seed: int, rows: dict[Answer, list[LogProbs]], ends: frozenset[int]) -> Answer:
    """The answer to a seed whose tokens are each drawn from one member, from rows that are kept."""
    draws, told = MemberDraws(seed), Answer()
    sampler: Sampler | None = None
    while len(told) < TOKENS:
        if told not in rows:
            rows[told] = [fresh_row([*PROMPT, *told], seed=one, **TOY) for _, one, _ in MEMBERS]
        row = rows[told][draws.take([weight for *_, weight in MEMBERS])]
        sampler = sampler or Sampler(AS_IT_IS, len(row), seed)
        token = sampler.sample(row)
        if token in ends:
            break
        told = (*told, token)
    return told


class Loop:
    """Draws answers in the decode loop, by engines that are told what was chosen."""

    def __init__(
        self, rule: CombinationRule, options: SamplingOptions, *, lone: bool = False
    ) -> None:
        self.engines: list[InProcessEngine] = [
            scripted_engine(name, seed=seed, sessions=2, **TOY) for name, seed, _ in MEMBERS
        ]
        self.drafted = self.accepted = 0
        self.alone = 0
        self._rule, self._options, self._lone = rule, options, lone

    async def answer(self, seed: int, length: int) -> Answer:
        """The answer to a seed, of which so many tokens are guessed at a time.

        Where members are drawn they compute alone, but for a draft at a place that the seed says.
        """
        drafts = member_drafts("a", length)
        if self._lone:
            script = [LONE] * (seed % 4) + [Round(Guesser.MEMBER, length)]
            drafts = Drafts("a", ScriptedPace(script), member_seed=seed)
        weights = [weight for *_, weight in MEMBERS]
        ensemble = await unopened(
            TokenAlignment(self.engines[0].vocabulary), *zip(self.engines, weights, strict=True)
        )
        for member in ensemble.members:
            member.prompt = replace(member.prompt, tokens=PROMPT)
            member.predictor = ensemble.alignment.predictor(
                member.engine, TextPrompt(""), member.prompt, TOKENS
            )
        await ensemble.open()
        ensemble.start()
        params = params_of(
            self.engines[0],
            rule=self._rule,
            drafts=drafts,
            sampling=self._options,
            seed=seed,
            max_tokens=TOKENS,
        )
        try:
            told = await run_out(decode(ensemble, params))
        finally:
            ensemble.close()
        self.drafted += ensemble.drafted
        self.accepted += ensemble.accepted
        self.alone += sum(one.lone_tokens for one in ensemble.usage())
        return tuple(told.ids)


def quantile(freedom: int) -> float:
    """Which chi-squared is exceeded with the probability ``LEVEL`` (Wilson and Hilferty 1931)."""
    part = 2 / (9 * freedom)
    return float(freedom * (1 - part + NormalDist().inv_cdf(1 - LEVEL) * part**0.5) ** 3)


def beginnings(shares: Mapping[Answer, float], length: int) -> Counter[Answer]:
    """The same of the first tokens of answers."""
    found = Counter[Answer]()
    for answer, share in shares.items():
        found[answer[:length]] += share  # type: ignore[assignment]
    return found


def excess(counts: Mapping[Answer, int], expected: Mapping[Answer, float]) -> float:
    """Chi-squared as a multiple of what chance would exceed once.

    That of one to five first tokens, whichever is most: a fault of every step shows best
    in few cells.
    """
    parts = range(1, TOKENS + 1)
    return max(_excess(beginnings(counts, n), beginnings(expected, n)) for n in parts)


def _excess(counts: Mapping[Answer, float], expected: Mapping[Answer, float]) -> float:
    """Answers that are seldom seen are one cell."""
    total = sum(counts.values())
    usual = {answer: share * total for answer, share in expected.items() if share * total >= 5}
    cells = [(counts.get(answer, 0), mean) for answer, mean in usual.items()]
    rest = total - sum(usual.values())
    if rest >= 5:
        cells.append((total - sum(seen for seen, _ in cells), rest))
    if len(cells) < 2:
        return 0.0
    return sum((seen - mean) ** 2 / mean for seen, mean in cells) / quantile(len(cells) - 1)


def held(counts: Counter[Answer], expected: Mapping[Answer, float]) -> None:
    """That is what was drawn, and not something a little different."""
    assert sum(counts.values()) == DRAWS
    assert set(counts) <= set(expected)
    assert excess(counts, expected) < 1


@pytest.fixture(scope="module")
def ends() -> frozenset[int]:
    return frozenset(scripted_engine("a", **TOY).vocabulary.end_of_generation)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.value)
@pytest.mark.parametrize("way", WAYS)
async def test_the_first_five_tokens_are_distributed_as_enumerated(
    way: str, rule: CombinationRule, ends: frozenset[int]
) -> None:
    options = WAYS[way]
    kept, loop = Kept(rule, options, ends), Loop(rule, options)
    drawn = [kept.answer(seed) for seed in range(DRAWS)]
    held(Counter(drawn), enumerated(rule, options, ends))
    for length in (0, 3):
        assert [await loop.answer(seed, length) for seed in range(LOOPS)] == drawn[:LOOPS]
    assert 0 < loop.accepted < loop.drafted


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("rule", "way"),
    [
        (CombinationRule.LINEAR, "all at 0.7"),
        (CombinationRule.GEOMETRIC, "temperature 1.6"),
    ],
    ids=str,
)
async def test_so_are_those_of_the_loop_itself_with_three_guesses_at_a_time(
    rule: CombinationRule, way: str, ends: frozenset[int]
) -> None:
    loop = Loop(rule, WAYS[way])
    counts = Counter([await loop.answer(seed, 3) for seed in range(DRAWS)])
    held(counts, enumerated(rule, WAYS[way], ends))


@pytest.mark.parametrize("length", [0, 3])
async def test_some_answers_of_the_loop_are_distributed_as_enumerated(
    length: int, ends: frozenset[int]
) -> None:
    loop = Loop(CombinationRule.LINEAR, WAYS["all at 0.7"])
    counts = Counter([await loop.answer(seed, length) for seed in range(800)])
    assert excess(counts, enumerated(CombinationRule.LINEAR, WAYS["all at 0.7"], ends)) < 1


async def test_answers_drawn_from_one_member_each_are_distributed_as_those_of_the_mixture(
    ends: frozenset[int],
) -> None:
    rows: dict[Answer, list[LogProbs]] = {}
    drawn = [member_first(seed, rows, ends) for seed in range(2500)]
    expected = enumerated(CombinationRule.LINEAR, AS_IT_IS, ends)
    assert excess(Counter(drawn), expected) < 1
    loop = Loop(CombinationRule.LINEAR, AS_IT_IS, lone=True)
    assert [await loop.answer(seed, 2) for seed in range(40)] == drawn[:40]
    assert 0 < loop.accepted < loop.drafted
    assert loop.alone > 40


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("length", [0, 2])
async def test_so_are_those_of_the_loop_itself_with_one_member_for_each_token(
    length: int, ends: frozenset[int]
) -> None:
    loop = Loop(CombinationRule.LINEAR, AS_IT_IS, lone=True)
    counts = Counter([await loop.answer(seed, length) for seed in range(DRAWS)])
    held(counts, enumerated(CombinationRule.LINEAR, AS_IT_IS, ends))
    assert loop.alone > DRAWS


def test_another_rule_and_another_temperature_would_be_noticed(ends: frozenset[int]) -> None:
    options = WAYS["temperature 1.6"]
    kept = Kept(CombinationRule.LINEAR, options, ends)
    counts = Counter(kept.answer(seed) for seed in range(DRAWS // 4))
    assert excess(counts, enumerated(CombinationRule.LINEAR, options, ends)) < 1
    for other in (
        enumerated(CombinationRule.GEOMETRIC, options, ends),
        enumerated(CombinationRule.LINEAR, replace(options, temperature=1.3), ends),
    ):
        assert excess(counts, other) > 1.3
