"""Members with near-equal vocabularies vote token by token over the union."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from quorate.engines.scripted.tokenizer import EOS, IM_START, NAMES
from quorate.ensemble.alignments.near_tokens import NearTokenAlignment, NearTokenPredictor
from quorate.ensemble.alignments.tokens import TokenAlignment
from quorate.ensemble.decode import decode, score
from quorate.ensemble.ensemble import Ensemble
from quorate.ensemble.fusion import fuse
from quorate.ensemble.rules import GEOMETRIC_FLOOR
from quorate.errors import InvalidRequest
from quorate.request import (
    CombinationRule,
    FailurePolicy,
    FinishReason,
    ResponseOptions,
    SamplingOptions,
)
from support.ensembles import GREEDY, Told, die_and_return, params_of, run_out, unopened
from support.in_process import InProcessEngine
from support.scripted_models import fresh_row, scripted_engine

PIECES = ["a", "b", "c", "t", "h", "e", " "]
LONGER = [*PIECES, "cab"]
CAB = 5 + len(PIECES)


def engine(name: str, pieces: Sequence[str] = PIECES, **options: Any) -> InProcessEngine:
    return scripted_engine(name, pieces=list(pieces), **options)


async def opened(*engines: InProcessEngine) -> Ensemble[int]:
    alignment = NearTokenAlignment([one.vocabulary for one in engines])
    ensemble = await unopened(alignment, *((one, 1 / len(engines)) for one in engines))
    await ensemble.open()
    return ensemble


async def started(*engines: InProcessEngine) -> Ensemble[int]:
    ensemble = await opened(*engines)
    ensemble.start()
    return ensemble


async def answer(*engines: InProcessEngine, **changes: Any) -> Told:
    ensemble = await started(*engines)
    kill = changes.pop("kill", None)
    union = replace_vocabulary(engines[0], ensemble)
    try:
        return await run_out(decode(ensemble, params_of(union, **changes)), kill)
    finally:
        ensemble.close()


def replace_vocabulary(one: InProcessEngine, ensemble: Ensemble[int]) -> Any:
    """What ``params_of`` sizes its sampler by."""
    return type("Sized", (), {"vocabulary": ensemble.alignment.vocabulary})()


async def mixture(rule: CombinationRule) -> tuple[np.ndarray, np.ndarray]:
    """The mixture of a member with a longer vocabulary and one without, and the former's row."""
    longer, plain = engine("longer", LONGER, seed=1), engine("plain", seed=2)
    ensemble = await started(longer, plain)
    rows = await ensemble.distributions()
    own = rows[0].copy()
    compared = ensemble.alignment.compare(ensemble.members, rows)
    mixed = fuse(rule, compared, ensemble.weights).copy()
    ensemble.close()
    return mixed, own


async def test_a_member_gives_a_token_that_it_lacks_nothing() -> None:
    mixed, own = await mixture(CombinationRule.LINEAR)
    assert mixed[CAB] == pytest.approx(own[CAB] - math.log(2), abs=1e-6)
    assert np.exp(mixed.astype(np.float64)).sum() == pytest.approx(1.0, abs=1e-6)


async def test_a_member_holds_the_floor_against_a_token_that_it_lacks() -> None:
    mixed, own = await mixture(CombinationRule.GEOMETRIC)
    # Before the mixture is normalised again, which every token feels alike.
    compared = mixed[CAB] - mixed[5]
    prompt = [0, *await engine("x").encode_continuation("the cat ")]
    rows = [fresh_row(prompt, pieces=LONGER, seed=1), fresh_row(prompt, pieces=PIECES, seed=2)]
    expected = (rows[0][CAB] + GEOMETRIC_FLOOR) / 2 - (rows[0][5] + rows[1][5]) / 2
    assert own[CAB] == rows[0][CAB]
    assert compared == pytest.approx(float(expected), abs=1e-4)


async def test_a_member_cannot_vote_for_what_it_lacks() -> None:
    longer = engine("longer", LONGER, seed=1, say="cab")
    plain = engine("plain", seed=2, say="a")
    told = await answer(
        longer, plain, rule=CombinationRule.MAJORITY, response=ResponseOptions(member_votes=True)
    )
    first = told.tokens[0]
    assert (first.piece, first.tied) == (b"cab", True)
    assert [vote.piece for vote in first.votes] == [b"cab", b"a"]
    assert first.votes[1].chosen_logprob == -math.inf


async def test_a_token_that_a_member_lacks_is_fed_as_its_text() -> None:
    longer = engine("longer", LONGER, seed=1, say="cab the ", confidence=0.999)
    ensemble = await started(longer, engine("plain", seed=2))
    union = replace_vocabulary(longer, ensemble)
    steps = decode(ensemble, params_of(union, max_tokens=5))
    texts = [step.text async for step in steps if hasattr(step, "text")]
    lacking = ensemble.members[1].predictor
    assert isinstance(lacking, NearTokenPredictor)
    assert texts[0] == "cab"
    assert [*lacking.tokens(CAB)] == [7, 5, 6]
    assert lacking.length >= 3
    ensemble.close()


async def test_a_member_reads_what_it_lacks_as_if_it_had_said_it() -> None:
    longer = engine("longer", LONGER, seed=1)
    ensemble = await started(longer, engine("plain", seed=2))
    await ensemble.distributions()
    await ensemble.tell(CAB)
    rows = await ensemble.distributions()
    prompt = await longer.encode_continuation("the cat ")
    np.testing.assert_array_equal(rows[0], fresh_row([0, *prompt, CAB], pieces=LONGER, seed=1))
    np.testing.assert_array_equal(rows[1], fresh_row([0, *prompt, 7, 5, 6], pieces=PIECES, seed=2))
    ensemble.close()


def renamed(one: InProcessEngine, name: str) -> InProcessEngine:
    """A member for which another control token stands where ``<|im_start|>`` does."""
    names = {**dict(enumerate(NAMES)), IM_START: name}
    one.vocabulary = replace(one.vocabulary, names=names)
    return one


async def test_a_control_token_that_a_member_lacks_leaves_no_trace_in_it() -> None:
    box = {"say": "<|im_start|>a<|im_end|>b", "marks": True, "confidence": 0.999}
    boxed, other = engine("boxed", seed=1, **box), renamed(engine("other", seed=2), "<|other|>")
    ensemble = await started(boxed, other)
    before = (await ensemble.distributions())[1].copy()
    await ensemble.tell(IM_START)
    rows = await ensemble.distributions()
    np.testing.assert_array_equal(rows[1], before)
    assert [member.predictor.length for member in ensemble.members] == [1, 0]
    ensemble.close()
    told = await answer(boxed, other, max_tokens=8)
    assert [token.control for token in told.tokens[:3]] == [True, False, True]
    assert told.text == "ab"
    assert told.ended is FinishReason.END_OF_GENERATION


async def test_members_that_differ_in_nothing_but_their_tails_say_what_one_says_alone() -> None:
    twin = engine("twin", LONGER, seed=3)
    same = renamed(engine("same", LONGER, seed=3), "<|renamed|>")
    alone = await unopened(TokenAlignment(twin.vocabulary), (twin, 1.0))
    await alone.open()
    alone.start()
    expected = await run_out(decode(alone, params_of(twin)))
    alone.close()
    for rule in CombinationRule:
        told = await answer(twin, same, rule=rule)
        assert told.ids == expected.ids
        assert told.logprob == pytest.approx(expected.logprob, abs=1e-4) or (
            rule is CombinationRule.MAJORITY
        )


async def test_a_text_is_scored_in_tokens_that_every_member_has() -> None:
    longer, plain = engine("longer", LONGER, seed=1), engine("plain", seed=2)
    ensemble = await opened(longer, plain)
    tokens = await longer.encode_continuation("acab")
    assert tokens == [5, CAB]
    symbols = ensemble.alignment.symbols("acab", tokens, longer.vocabulary)
    assert [*symbols] == [5, 7, 5, 6]
    scored = await score(ensemble, CombinationRule.LINEAR, symbols)
    ensemble.close()
    assert all(math.isfinite(member.logprob) for member in ensemble.members)
    assert b"".join(token.piece for token in scored) == b"acab"


async def test_a_bias_by_id_means_the_end_where_the_id_is_one() -> None:
    alignment = NearTokenAlignment([engine("a", LONGER).vocabulary, engine("b").vocabulary])
    (end,) = alignment.vocabulary.end_of_generation
    biased = alignment.biased(SamplingOptions(logit_bias={EOS: -5.0, CAB: 1.0}))
    assert biased.logit_bias == {end: -5.0, CAB: 1.0}
    with pytest.raises(InvalidRequest, match=r"no such token; the vocabulary's ids are 0 to 12"):
        alignment.biased(SamplingOptions(logit_bias={13: 1.0}))


async def test_a_member_that_dies_behind_a_token_that_it_lacks_is_fed_again() -> None:
    longer = engine("longer", LONGER, seed=1, say="cab the ", confidence=0.999)
    undisturbed = await answer(longer, engine("plain", seed=2), sampling=GREEDY)
    longer = engine("longer", LONGER, seed=1, say="cab the ", confidence=0.999)
    plain = engine("plain", seed=2)
    ensemble = await started(longer, plain)
    ensemble.losses.policy = FailurePolicy.REPLAY
    union = replace_vocabulary(longer, ensemble)
    told = await run_out(decode(ensemble, params_of(union)), {2: lambda: die_and_return(plain)})
    ensemble.close()
    assert told.ids == undisturbed.ids
    assert len(told.notices) == 1


async def test_an_answer_ends_where_the_context_of_a_member_that_lacks_much_is_full() -> None:
    longer = engine("longer", LONGER, seed=1, say="cab" * 40, confidence=0.999)
    alignment = NearTokenAlignment([longer.vocabulary, engine("plain").vocabulary])
    short = engine("plain", seed=2, context_length=48)
    ensemble = await unopened(alignment, (longer, 0.5), (short, 0.5), kv_tokens=30)
    await ensemble.open()
    ensemble.start()
    union = replace_vocabulary(longer, ensemble)
    told = await run_out(decode(ensemble, params_of(union, max_tokens=100)))
    ensemble.close()
    assert told.ended is FinishReason.CONTEXT_FULL
