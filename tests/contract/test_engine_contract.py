"""What every engine promises. Nothing here knows a token id: prompts come from ``encode``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import pytest
import pytest_asyncio

from contract.engines import CASES, EngineCase
from contract.texts import LITERAL_SPECIALS, TEXTS
from quorate.engines.contract import Engine, LogProbs, Session
from quorate.engines.generation import SampledToken
from quorate.ensemble.alignments.tokens import TokenAlignment
from quorate.ensemble.decode import decode
from quorate.ensemble.drafts.drafting import Drafts
from quorate.ensemble.ensemble import Ensemble
from quorate.ensemble.losses import Losses
from quorate.ensemble.member import Member, MemberPrompt
from quorate.ensemble.weighting import StaticWeights
from quorate.errors import (
    Internal,
    InvalidRequest,
    PromptTooLong,
    QuorateError,
    Unavailable,
    UnsupportedPlan,
)
from quorate.request import (
    ChatPrompt,
    FailurePolicy,
    Message,
    ResponseOptions,
    SamplingOptions,
    TextPrompt,
)
from quorate.sampling.peaks import FEW_ENTRIES
from quorate.sampling.sampler import Sampler
from support.distributions import maxima_of
from support.drafts import lookup_drafts, member_drafts
from support.ensembles import Told, params_of, run_out
from support.scripted_models import engine_sampling
from support.shared_engines import SharedEngines

_T = TypeVar("_T")

DEADLINE_SECONDS = 120.0
FOX = "The quick brown fox jumps"
SEA = "Once upon a time at sea"
RAIN = "It rains today and"
GREETING = "Say hi."


async def within_deadline(awaitable: Awaitable[_T]) -> _T:
    return await asyncio.wait_for(awaitable, DEADLINE_SECONDS)


@dataclass(frozen=True)
class Subject:
    """One started engine, and how closely its rows must agree."""

    engine: Engine
    tolerance: float

    async def encode(self, text: str) -> list[int]:
        return await within_deadline(self.engine.encode(TextPrompt(text)))

    async def encode_chat(self, text: str) -> list[int]:
        chat = ChatPrompt((Message("user", text),))
        return await within_deadline(self.engine.encode(chat))

    async def open(self, tokens: int = 48, branches: int = 0) -> Session:
        return await within_deadline(self.engine.open(tokens, branches))

    async def fill(self) -> list[Session]:
        """Takes every session of the engine."""
        return [await self.open() for _ in range(self.engine.facts.sessions)]

    async def forget(self) -> None:
        """Drives everything out of the prefix cache; no session may be open."""
        sessions = await self.fill()
        token = (await within_deadline(self.engine.encode_continuation("a")))[:1]
        for session in sessions:
            await feed(session, token)
        for session in sessions:
            session.close()

    async def fresh(self, tokens: list[int]) -> LogProbs:
        """The log-probs after ``tokens``, prefilled in full; no session may be open."""
        await self.forget()
        session = await self.open(len(tokens))
        row = await feed(session, tokens)
        assert session.cached_tokens == 0
        session.close()
        return row

    def assert_agree(self, left: LogProbs, right: LogProbs) -> None:
        if self.tolerance == 0:
            np.testing.assert_array_equal(left, right)
            return
        best = np.argsort(left)[-10:]
        np.testing.assert_allclose(left[best], right[best], rtol=0, atol=self.tolerance)


async def feed(session: Session, tokens: list[int]) -> LogProbs:
    """Feeds and returns a copy of the row."""
    return (await within_deadline(session.feed(tokens))).copy()


def as_parameter(case: EngineCase) -> object:
    """A shared engine belongs to one event loop, and so do the tests over it."""
    loop = (pytest.mark.asyncio(loop_scope="module"),) if case.shared else ()
    return pytest.param(case, id=case.name, marks=(*case.marks, *loop))


@pytest.fixture(params=map(as_parameter, CASES))
def case(request: pytest.FixtureRequest) -> EngineCase:
    chosen: EngineCase = request.param
    reason = chosen.missing()
    if reason is not None:
        pytest.skip(reason)
    return chosen


@pytest.fixture
def subject(case: EngineCase, request: pytest.FixtureRequest) -> Subject:
    of_case: Subject = request.getfixturevalue("shared_subject" if case.shared else "own_subject")
    return of_case


@pytest.fixture
async def own_subject(case: EngineCase) -> AsyncIterator[Subject]:
    engine = await case.start()
    try:
        yield Subject(engine, case.tolerance)
    finally:
        await engine.close()


@pytest_asyncio.fixture(loop_scope="module")
async def shared_subject(case: EngineCase, shared_engines: SharedEngines) -> AsyncIterator[Subject]:
    async with shared_engines.lent(case.name, case.start) as engine:
        yield Subject(engine, case.tolerance)
    if engine.closed:
        return
    # Every session can be had again, or else it is this test that fails; the next finds no prefix.
    async with shared_engines.lent(case.name, case.start) as engine:
        await Subject(engine, case.tolerance).forget()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_engines() -> AsyncIterator[SharedEngines]:
    engines = SharedEngines()
    try:
        yield engines
    finally:
        await engines.close()


def needs_rewind(subject: Subject) -> None:
    if not subject.engine.facts.capabilities.rewind:
        pytest.skip("this engine cannot rewind")


async def test_rows_are_normalised_float32_of_the_vocabularys_size(subject: Subject) -> None:
    session = await subject.open()
    view = await within_deadline(session.feed(await subject.encode(FOX)))
    assert view.dtype == np.float32
    assert view.shape == (len(subject.engine.vocabulary),)
    assert not view.flags.writeable
    assert np.exp(view.astype(np.float64)).sum() == pytest.approx(1, abs=1e-4)


async def test_facts_are_sensible(subject: Subject) -> None:
    facts = subject.engine.facts
    assert facts.description
    assert facts.sessions >= 2
    assert facts.context_length >= 96
    assert facts.kv_tokens >= 48 * facts.sessions


async def test_control_tokens_have_their_mass_but_for_those_that_no_model_may_say(
    subject: Subject,
) -> None:
    vocabulary = subject.engine.vocabulary
    session = await subject.open()
    row = await feed(session, await subject.encode(FOX))
    begins = {vocabulary.bos} - {None} - vocabulary.end_of_generation
    assert begins <= vocabulary.masked <= vocabulary.control
    assert np.isneginf(row[sorted(vocabulary.masked)]).all()
    assert vocabulary.sayable_control == (
        vocabulary.control - vocabulary.masked - vocabulary.end_of_generation
    )
    assert np.isfinite(row[sorted(vocabulary.sayable_control)]).all()
    assert 0.0 <= session.masked_mass < 0.5


async def test_the_work_of_a_feed_starts_at_the_call(subject: Subject) -> None:
    prompt = await subject.encode(FOX)
    session = await subject.open()
    future = asyncio.ensure_future(session.feed(prompt))
    assert (await asyncio.wait([future], timeout=DEADLINE_SECONDS))[0] == {future}
    assert session.busy_seconds > 0
    assert session.position == len(prompt)


async def test_positions_count_the_tokens_held(subject: Subject) -> None:
    session = await subject.open()
    prompt = await subject.encode(FOX)
    assert session.position == 0
    await feed(session, prompt)
    assert session.position == len(prompt)
    await feed(session, prompt[-1:])
    assert session.position == len(prompt) + 1


async def test_a_batch_gives_what_each_gives_alone(subject: Subject) -> None:
    prompts = [await subject.encode(text) for text in (FOX, SEA)]
    step = await within_deadline(subject.engine.encode_continuation(" the"))
    sessions = [await subject.open() for _ in prompts]
    first = await asyncio.gather(*map(feed, sessions, prompts))
    second = await asyncio.gather(*(feed(session, step[:1]) for session in sessions))
    for session in sessions:
        session.close()
    for prompt, after_prompt, after_step in zip(prompts, first, second, strict=True):
        subject.assert_agree(await subject.fresh(prompt), after_prompt)
        subject.assert_agree(await subject.fresh([*prompt, step[0]]), after_step)


async def test_a_feed_in_pieces_equals_one_feed(subject: Subject) -> None:
    prompt = await subject.encode(FOX)
    session = await subject.open()
    await feed(session, prompt[:2])
    await feed(session, prompt[2:3])
    row = await feed(session, prompt[3:])
    session.close()
    subject.assert_agree(await subject.fresh(prompt), row)


async def test_a_long_prompt_equals_its_tokens_one_by_one(subject: Subject) -> None:
    prompt = (await subject.encode(f"{FOX} {SEA} {RAIN} {FOX} {SEA}"))[:90]
    session = await subject.open(len(prompt))
    for token in prompt:
        row = await feed(session, [token])
    session.close()
    subject.assert_agree(await subject.fresh(prompt), row)


async def test_branches_equal_a_fresh_prefill(subject: Subject) -> None:
    prompt, other = await subject.encode(FOX), await subject.encode(SEA)
    root = await subject.open(branches=1)
    await feed(root, prompt)
    branch = root.branch()
    assert branch.position == root.position
    of_branch, of_root = await asyncio.gather(feed(branch, other[-2:]), feed(root, other[-1:]))
    assert branch.position == len(prompt) + 2
    again = await feed(branch, other[-1:])
    root.close()
    after_its_root = await feed(branch, other[-2:-1])
    branch.close()
    subject.assert_agree(await subject.fresh([*prompt, *other[-2:]]), of_branch)
    subject.assert_agree(await subject.fresh([*prompt, other[-1]]), of_root)
    tokens = [*prompt, *other[-2:], other[-1]]
    subject.assert_agree(await subject.fresh(tokens), again)
    subject.assert_agree(await subject.fresh([*tokens, other[-2]]), after_its_root)


async def test_a_root_goes_on_behind_a_branch_that_was_closed(subject: Subject) -> None:
    prompt, other = await subject.encode(FOX), await subject.encode(SEA)
    root = await subject.open(branches=1)
    await feed(root, prompt)
    branch = root.branch()
    of_branch, of_root = await asyncio.gather(feed(branch, other[-2:]), feed(root, other[-1:]))
    branch.close()
    again = await feed(root, other[-1:])
    root.close()
    subject.assert_agree(await subject.fresh([*prompt, *other[-2:]]), of_branch)
    subject.assert_agree(await subject.fresh([*prompt, other[-1]]), of_root)
    subject.assert_agree(await subject.fresh([*prompt, other[-1], other[-1]]), again)


async def test_a_branch_of_a_branch_equals_a_fresh_prefill(subject: Subject) -> None:
    prompt, other = await subject.encode(FOX), await subject.encode(SEA)
    root = await subject.open(branches=1)
    await feed(root, prompt)
    branch = root.branch()
    root.close()
    # Nothing was fed to the one in between.
    leaf = branch.branch()
    branch.close()
    row = await feed(leaf, other[-1:])
    last = leaf.branch()
    of_last = await feed(last, other[-2:-1])
    leaf.close()
    last.close()
    subject.assert_agree(await subject.fresh([*prompt, other[-1]]), row)
    subject.assert_agree(await subject.fresh([*prompt, other[-1], other[-2]]), of_last)


async def test_a_branch_that_was_rewound_before_its_first_feed(subject: Subject) -> None:
    needs_rewind(subject)
    prompt, other = await subject.encode(FOX), await subject.encode(SEA)
    root = await subject.open(branches=1)
    await feed(root, prompt)
    branch = root.branch()
    branch.rewind(2)
    row = await feed(branch, other[-1:])
    root.close()
    branch.close()
    subject.assert_agree(await subject.fresh([*prompt[:-2], other[-1]]), row)


async def test_prefix_sums_agree_with_the_row(subject: Subject) -> None:
    vocabulary = subject.engine.vocabulary
    order = vocabulary.byte_order
    prompt = await subject.encode(FOX)
    root = await subject.open(branches=1)
    await within_deadline(root.feed(prompt[:-1]))
    branch = root.branch()
    rows = await within_deadline(
        asyncio.gather(*(session.feed(prompt[-1:]) for session in (root, branch)))
    )
    for session, row in zip((root, branch), rows, strict=True):
        sums = session.prefix_sums
        assert sums.dtype == np.float64
        assert not sums.flags.writeable
        assert sums[0] == 0.0
        probabilities = np.exp(row.astype(np.float64))
        by_rank = np.diff(sums[: len(order) + 1])
        np.testing.assert_allclose(by_rank, probabilities[order.ids], rtol=0, atol=1e-9)
        rest = probabilities[order.ending].sum() + probabilities[order.control].sum()
        assert sums[len(order)] + rest == pytest.approx(1, abs=1e-4)


async def test_prefix_sums_are_for_fork_groups_alone(subject: Subject) -> None:
    session = await subject.open()
    await feed(session, await subject.encode(RAIN))
    with pytest.raises(QuorateError, match="no branches"):
        _ = session.prefix_sums


async def test_a_branch_without_a_reserved_slot_is_refused(subject: Subject) -> None:
    prompt = await subject.encode(RAIN)
    alone = await subject.open()
    await feed(alone, prompt)
    with pytest.raises(InvalidRequest, match="every place"):
        alone.branch()
    root = await subject.open(branches=1)
    await feed(root, prompt)
    branch = root.branch()
    for session in (root, branch):
        with pytest.raises(InvalidRequest, match="every place"):
            session.branch()
    branch.close()
    row = await feed(root.branch(), prompt[-1:])
    alone.close()
    root.close()
    assert np.isfinite(row.max())


async def test_the_slot_of_a_closed_root_serves_a_branch(subject: Subject) -> None:
    prompt = await subject.encode(RAIN)
    root = await subject.open(branches=1)
    await feed(root, prompt)
    branch = root.branch()
    root.close()
    second = branch.branch()
    rows = await asyncio.gather(feed(branch, prompt[-1:]), feed(second, prompt[-2:-1]))
    for session in (branch, second):
        session.close()
    for row, token in zip(rows, (prompt[-1], prompt[-2]), strict=True):
        subject.assert_agree(await subject.fresh([*prompt, token]), row)


async def test_more_branches_than_sessions_is_an_unsupported_plan(subject: Subject) -> None:
    sessions = subject.engine.facts.sessions
    await subject.fill()
    with pytest.raises(UnsupportedPlan):
        await within_deadline(subject.engine.open(8, sessions))


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
async def test_a_fork_group_is_gone_when_all_of_it_are_closed_in_any_order(
    subject: Subject, order: tuple[int, ...]
) -> None:
    prompt = await subject.encode(RAIN)
    branches = subject.engine.facts.sessions - 1
    root = await subject.open(branches=branches)
    await feed(root, prompt)
    group = [root, root.branch(), root.branch()]
    waiter = asyncio.create_task(subject.engine.open(48, branches))
    for member in order[:-1]:
        group[member].close()
        group[member].close()
    assert not (await asyncio.wait([waiter], timeout=0.02))[0]
    group[order[-1]].close()
    again = await within_deadline(waiter)
    await feed(again, prompt)
    for _ in range(branches):
        await feed(again.branch(), prompt[-1:])


async def test_a_fork_group_waits_until_enough_sessions_are_free(subject: Subject) -> None:
    sessions = await subject.fill()
    group = asyncio.create_task(subject.engine.open(8, 1))
    single = asyncio.create_task(subject.engine.open(8))
    await asyncio.sleep(0)
    sessions[0].close()
    assert not (await asyncio.wait([group, single], timeout=0.02))[0]
    sessions[1].close()
    root = await within_deadline(group)
    await feed(root, (await subject.encode("a"))[:1])
    await feed(root.branch(), (await subject.encode("a"))[:1])
    assert not single.done()
    sessions[2].close()
    await within_deadline(single)


async def test_each_row_of_a_block_is_that_of_a_fresh_prefill(subject: Subject) -> None:
    prompt, more = await subject.encode(FOX), await subject.encode(SEA)
    session = await subject.open()
    assert subject.engine.facts.block_rows >= 4
    await feed(session, prompt)
    view = await within_deadline(session.feed_block(more[:5], 4))
    assert (view.dtype, view.shape) == (np.float32, (4, len(subject.engine.vocabulary)))
    assert not view.flags.writeable
    rows, position = view.copy(), session.position
    again = await feed(session, more[5:6])
    session.close()
    assert position == len(prompt) + 5
    for row, end in zip([*rows, again], range(2, 7), strict=True):
        subject.assert_agree(await subject.fresh([*prompt, *more[:end]]), row)


async def test_a_prompt_may_be_a_block(subject: Subject) -> None:
    prompt = await subject.encode(FOX)
    session = await subject.open()
    await feed(session, prompt)
    session.close()
    session = await subject.open()
    rows = (await within_deadline(session.feed_block(prompt, len(prompt)))).copy()
    assert session.cached_tokens == 0
    session.close()
    for row, end in zip(rows, range(1, len(prompt) + 1), strict=True):
        subject.assert_agree(await subject.fresh(prompt[:end]), row)


async def test_blocks_have_their_prefix_sums_and_what_the_mask_took(subject: Subject) -> None:
    order = subject.engine.vocabulary.byte_order
    prompt = await subject.encode(FOX)
    session = await subject.open(branches=1)
    rows = (await within_deadline(session.feed_block(prompt, 3))).copy()
    sums = session.block_sums[:, : len(order) + 1]
    assert session.block_sums.dtype == np.float64
    np.testing.assert_allclose(sums[:, 0], 0, atol=0)
    spelled = np.exp(rows[:, order.ids].astype(np.float64))
    np.testing.assert_allclose(np.diff(sums, axis=1), spelled, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(session.prefix_sums, session.block_sums[-1])
    masked = session.block_masked
    assert masked.shape == (3,)
    assert ((masked >= 0) & (masked < 0.5)).all()
    assert session.masked_mass == masked[-1]
    of_block = [float(one) for one in masked]
    session.close()
    await subject.forget()
    session = await subject.open()
    await feed(session, prompt)
    assert session.masked_mass == pytest.approx(of_block[-1], abs=1e-2)
    for of_a_block in (lambda: session.block_masked, lambda: session.block_sums):
        with pytest.raises(Internal, match="no block"):
            of_a_block()


async def test_rows_without_prefix_sums_have_the_maxima_of_their_groups(subject: Subject) -> None:
    prompt = await subject.encode(FOX)
    session = await subject.open()
    row = await feed(session, prompt[:2])
    if session.maxima is None:
        assert len(row) <= FEW_ENTRIES
        return
    np.testing.assert_array_equal(session.maxima, maxima_of(row))
    assert not session.maxima.flags.writeable
    rows = await within_deadline(session.feed_block(prompt[2:6], 3))
    assert session.block_maxima is not None
    for one, maxima in zip(rows, session.block_maxima, strict=True):
        np.testing.assert_array_equal(maxima, maxima_of(one))
    np.testing.assert_array_equal(session.maxima, maxima_of(rows[-1]))
    session.close()
    branching = await subject.open(branches=1)
    await feed(branching, prompt)
    assert branching.maxima is None


async def test_blocks_of_several_sessions_give_what_each_gives_alone(subject: Subject) -> None:
    texts = [await subject.encode(text) for text in (FOX, SEA)]
    sessions = [await subject.open() for _ in texts]
    feeds = [one.feed_block(text, 4) for one, text in zip(sessions, texts, strict=True)]
    blocks = [(await within_deadline(rows)).copy() for rows in feeds]
    for session in sessions:
        session.close()
    for text, rows in zip(texts, blocks, strict=True):
        for row, end in zip(rows, range(len(text) - 3, len(text) + 1), strict=True):
            subject.assert_agree(await subject.fresh(text[:end]), row)


async def test_the_largest_block_is_given(subject: Subject) -> None:
    words = await subject.encode(f"{FOX} {SEA} {RAIN} {FOX} {SEA} {RAIN} {FOX}")
    most = min(subject.engine.facts.block_rows, 40)
    session = await subject.open(most)
    rows = (await within_deadline(session.feed_block(words[:most], most))).copy()
    session.close()
    for end in (1, most // 2, most):
        subject.assert_agree(await subject.fresh(words[:end]), rows[end - 1])


async def test_what_is_right_of_a_block_stays_and_the_rest_is_forgotten(subject: Subject) -> None:
    needs_rewind(subject)
    prompt, guess = await subject.encode(FOX), await subject.encode(f"{SEA} {RAIN}")
    session = await subject.open(80)
    held = list(prompt)
    await feed(session, held)
    for round_, right in enumerate((3, 0, 4, 1)):
        draft = guess[round_ : round_ + 4]
        rows = (await within_deadline(session.feed_block(draft, 4))).copy()
        session.rewind(4 - right)
        held += draft[:right]
        if right:
            kept = rows[right - 1]
        row = await feed(session, guess[:1])
        held.append(guess[0])
        assert session.position == len(held)
    session.close()
    subject.assert_agree(await subject.fresh(held), row)
    subject.assert_agree(await subject.fresh(held[:-1]), kept)


async def test_after_blocks_and_rewinds_the_prefix_cache_holds_what_is_true(
    subject: Subject,
) -> None:
    needs_rewind(subject)
    prompt, guess = await subject.encode(FOX), await subject.encode(SEA)
    await subject.forget()
    session = await subject.open()
    await within_deadline(session.feed_block([*prompt, *guess[:4]], 4))
    session.rewind(4)
    await feed(session, guess[4:6])
    session.close()
    tokens = [*prompt, *guess[4:6], guess[0]]
    session = await subject.open()
    row = await feed(session, tokens)
    assert session.cached_tokens <= len(prompt) + 2
    session.close()
    subject.assert_agree(await subject.fresh(tokens), row)
    session = await subject.open()
    row = await feed(session, [*prompt, *guess[:2]])
    session.close()
    subject.assert_agree(await subject.fresh([*prompt, *guess[:2]]), row)


async def test_branches_behind_a_block_equal_a_fresh_prefill(subject: Subject) -> None:
    prompt, other = await subject.encode(FOX), await subject.encode(SEA)
    root = await subject.open(branches=1)
    await within_deadline(root.feed_block(prompt, 2))
    branch = root.branch()
    feeds = [branch.feed_block(other[-3:], 3), root.feed_block(other[:2], 2)]
    of_branch, of_root = [(await within_deadline(rows)).copy() for rows in feeds]
    branch.close()
    root.close()
    for row, end in zip(of_branch, (-2, -1, len(other)), strict=True):
        tokens = [*prompt, *other[-3:][: 3 + end if end < 0 else 3]]
        subject.assert_agree(await subject.fresh(tokens), row)
    for row, count in zip(of_root, (1, 2), strict=True):
        subject.assert_agree(await subject.fresh([*prompt, *other[:count]]), row)


async def voted(subject: Subject, drafts: Drafts) -> tuple[Told, Ensemble[int]]:
    """A greedy vote of two members that read other prompts, both of this engine."""
    alignment = TokenAlignment(subject.engine.vocabulary)
    members = []
    for name, text in (("one", FOX), ("other", SEA)):
        prompt = MemberPrompt(await subject.encode(text), 80)
        predictor = alignment.predictor(subject.engine, ChatPrompt(()), prompt, 80)
        members.append(Member(name, subject.engine, prompt, predictor))
    weigher = StaticWeights([0.6, 0.4])
    ensemble = Ensemble(alignment, members, Losses(FailurePolicy.FAIL), weigher)
    await within_deadline(ensemble.open())
    ensemble.start()
    shown = ResponseOptions(top_logprobs=10)
    params = params_of(subject.engine, drafts=drafts, response=shown, max_tokens=20)
    try:
        return await within_deadline(run_out(decode(ensemble, params))), ensemble
    finally:
        ensemble.close()


async def test_a_vote_says_with_drafts_what_it_says_without(subject: Subject) -> None:
    plain, _ = await voted(subject, member_drafts("one", 0))
    for drafts in (member_drafts("one", 4), member_drafts("other", 3), lookup_drafts(4)):
        drafted, ensemble = await voted(subject, drafts)
        if not subject.engine.facts.capabilities.rewind:
            # What was guessed wrong could not be forgotten.
            assert ensemble.drafted == 0
        elif drafts.model:
            assert ensemble.drafted > 0
        for one, other in zip(plain.tokens, drafted.tokens, strict=False):
            if one.token_id != other.token_id:
                best = {each.token_id: each.logprob for each in one.top}
                assert best[other.token_id] >= one.logprob - 2 * subject.tolerance
                break
        else:
            assert len(plain.tokens) == len(drafted.tokens)
            assert plain.ended == drafted.ended


async def test_a_block_that_cannot_be_is_refused_and_harms_nothing(subject: Subject) -> None:
    prompt, size = await subject.encode(FOX), len(subject.engine.vocabulary)
    session = await subject.open(80)
    for rows in (0, -1, len(prompt) + 1):
        with pytest.raises(InvalidRequest, match="rows"):
            await session.feed_block(prompt, rows)
    with pytest.raises(InvalidRequest, match="rows"):
        await session.feed_block((prompt * 9)[:80], subject.engine.facts.block_rows + 1)
    for wrong in ([], [*prompt, size], prompt * 20):
        with pytest.raises(InvalidRequest):
            await session.feed_block(wrong, 1)
    rows = (await within_deadline(session.feed_block(prompt, 1))).copy()
    session.close()
    subject.assert_agree(await subject.fresh(prompt), rows[0])


async def test_closing_in_the_middle_of_a_block_frees_the_session(subject: Subject) -> None:
    prompt = await subject.encode(FOX)
    sessions = await subject.fill()
    waiting = asyncio.ensure_future(sessions[0].feed_block(prompt, 4))
    sessions[0].close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    session = await subject.open()
    rows = (await within_deadline(session.feed_block(prompt, 2))).copy()
    for one in [*sessions[1:], session]:
        one.close()
    subject.assert_agree(await subject.fresh(prompt), rows[1])


async def test_a_score_equals_the_log_probs_of_a_feed(subject: Subject) -> None:
    tokens = (await subject.encode(f"{FOX} {SEA} {RAIN} {FOX}"))[:44]
    session, other = await subject.open(), await subject.open()
    scoring = session.score(tokens)
    fed = [float((await feed(other, [token]))[after]) for token, after in pairwise(tokens)]
    scores = await within_deadline(scoring)
    assert len(scores) == len(tokens) - 1
    assert session.position == len(tokens)
    assert session.busy_seconds > 0
    np.testing.assert_allclose(scores, fed, rtol=0, atol=subject.tolerance)


async def test_the_score_of_one_token_is_empty(subject: Subject) -> None:
    tokens = await subject.encode(FOX)
    session = await subject.open()
    assert list(await within_deadline(session.score(tokens[:1]))) == []
    row = await feed(session, tokens[1:])
    session.close()
    subject.assert_agree(await subject.fresh(tokens), row)


async def test_texts_scored_at_once_get_what_each_gets_alone(subject: Subject) -> None:
    texts = [(await subject.encode(f"{text} {RAIN} {text}"))[:44] for text in (FOX, SEA)]
    sessions = [await subject.open() for _ in texts]
    decoding = await subject.open()
    scoring = [session.score(text) for session, text in zip(sessions, texts, strict=True)]
    row = await feed(decoding, await subject.encode(RAIN))
    together = [list(await within_deadline(scores)) for scores in scoring]
    for session in [*sessions, decoding]:
        session.close()
    for text, scores in zip(texts, together, strict=True):
        session = await subject.open()
        alone = await within_deadline(session.score(text))
        session.close()
        np.testing.assert_allclose(scores, alone, rtol=0, atol=subject.tolerance)
    subject.assert_agree(await subject.fresh(await subject.encode(RAIN)), row)


async def test_a_scored_session_goes_on_like_any_other(subject: Subject) -> None:
    tokens, other = await subject.encode(FOX), await subject.encode(SEA)
    root = await subject.open(branches=1)
    await within_deadline(root.score(tokens))
    branch = root.branch()
    rows = await asyncio.gather(feed(root, other[-1:]), feed(branch, other[-2:-1]))
    root.close()
    branch.close()
    for row, token in zip(rows, (other[-1], other[-2]), strict=True):
        subject.assert_agree(await subject.fresh([*tokens, token]), row)


async def test_a_score_neither_uses_nor_fills_the_prefix_cache(subject: Subject) -> None:
    prompt = await subject.encode(FOX)
    await subject.forget()
    session = await subject.open()
    first = list(await within_deadline(session.score(prompt)))
    assert session.cached_tokens == 0
    session.close()
    session = await subject.open()
    await feed(session, prompt)
    assert session.cached_tokens == 0
    session.close()
    session = await subject.open()
    again = await within_deadline(session.score(prompt))
    assert session.cached_tokens == 0
    np.testing.assert_allclose(again, first, rtol=0, atol=subject.tolerance)


async def test_what_cannot_be_scored_is_refused_and_harms_nothing(subject: Subject) -> None:
    prompt = await subject.encode(FOX)
    session = await subject.open(len(prompt) + 1)
    size = len(subject.engine.vocabulary)
    for wrong in ([], [*prompt, -1], [*prompt, size], [*prompt, *prompt]):
        with pytest.raises(InvalidRequest, match="tokens"):
            await session.score(wrong)
    row = await feed(session, prompt)
    with pytest.raises(InvalidRequest, match="empty session"):
        await session.score(prompt[:1])
    after = await feed(session, prompt[-1:])
    session.close()
    subject.assert_agree(row, await subject.fresh(prompt))
    subject.assert_agree(after, await subject.fresh([*prompt, prompt[-1]]))


async def test_a_branch_cannot_be_scored(subject: Subject) -> None:
    prompt = await subject.encode(RAIN)
    root = await subject.open(branches=1)
    await feed(root, prompt)
    with pytest.raises(InvalidRequest, match="empty session"):
        await root.branch().score(prompt)


async def test_closing_in_the_middle_of_a_score_frees_the_session(subject: Subject) -> None:
    prompt = (await subject.encode(f"{FOX} {SEA} {RAIN} {FOX}"))[:44]
    sessions = await subject.fill()
    waiter = asyncio.create_task(subject.engine.open(48))
    await asyncio.sleep(0)
    scoring = asyncio.ensure_future(sessions[0].score(prompt))
    await asyncio.sleep(0)
    sessions[0].close()
    admitted = await within_deadline(waiter)
    row = await feed(admitted, prompt)
    assert admitted.cached_tokens == 0
    with pytest.raises(asyncio.CancelledError):
        await scoring
    for session in [*sessions[1:], admitted]:
        session.close()
    subject.assert_agree(row, await subject.fresh(prompt))


async def test_after_a_cancelled_score_a_session_can_only_be_closed(subject: Subject) -> None:
    prompt = await subject.encode(FOX)
    session = await subject.open(branches=subject.engine.facts.sessions - 1)
    scoring = asyncio.ensure_future(session.score(prompt))
    scoring.cancel()
    for call in (session.feed, session.score):
        with pytest.raises(Internal):
            await call(prompt)
    with pytest.raises(Internal):
        session.branch()
    session.close()
    again = await subject.open(branches=subject.engine.facts.sessions - 1)
    assert len(await within_deadline(again.score(prompt))) == len(prompt) - 1


async def test_a_rewound_session_equals_a_fresh_prefill(subject: Subject) -> None:
    needs_rewind(subject)
    prompt, other = await subject.encode(FOX), await subject.encode(SEA)
    session = await subject.open()
    await feed(session, [*prompt, *other[-3:]])
    session.rewind(3)
    assert session.position == len(prompt)
    row = await feed(session, other[-2:-1])
    session.close()
    subject.assert_agree(await subject.fresh([*prompt, other[-2]]), row)


async def test_a_rewind_of_everything_starts_anew(subject: Subject) -> None:
    needs_rewind(subject)
    prompt = await subject.encode(FOX)
    session = await subject.open()
    await feed(session, await subject.encode(SEA))
    session.rewind(session.position)
    row = await feed(session, prompt)
    session.close()
    subject.assert_agree(await subject.fresh(prompt), row)


async def test_a_rewind_beyond_the_start_is_refused(subject: Subject) -> None:
    needs_rewind(subject)
    session = await subject.open()
    await feed(session, await subject.encode(RAIN))
    for count in (-1, session.position + 1):
        with pytest.raises(InvalidRequest):
            session.rewind(count)


async def test_what_an_engine_cannot_do_it_refuses(subject: Subject) -> None:
    capabilities = subject.engine.facts.capabilities
    session = await subject.open()
    await feed(session, await subject.encode(RAIN))
    if not capabilities.rewind:
        with pytest.raises(UnsupportedPlan):
            session.rewind(1)


async def test_a_repeated_prompt_is_found_in_the_prefix_cache(subject: Subject) -> None:
    prompt = await subject.encode(FOX)
    first = await subject.open()
    before = await feed(first, prompt)
    assert first.cached_tokens == 0
    # As a conversation does: a recurrent model reuses only what the new prompt holds as a whole.
    first.close()
    longer = [*prompt, prompt[-1]]
    second = await subject.open()
    after = await feed(second, longer)
    assert 0 < second.cached_tokens < len(longer)
    second.close()
    if subject.engine.facts.capabilities.rewind:
        third = await subject.open()
        subject.assert_agree(before, await feed(third, prompt))
        assert 0 < third.cached_tokens < len(prompt)
        third.close()
    subject.assert_agree(await subject.fresh(longer), after)


async def test_a_full_engine_admits_the_next_when_a_session_is_closed(subject: Subject) -> None:
    sessions = await subject.fill()
    waiter = asyncio.create_task(subject.engine.open(8))
    assert not (await asyncio.wait([waiter], timeout=0.05))[0]
    sessions[0].close()
    await feed(await within_deadline(waiter), await subject.encode("a"))


async def test_waiters_are_served_in_order(subject: Subject) -> None:
    sessions = await subject.fill()
    waiters = []
    for _ in range(3):
        waiters.append(asyncio.create_task(subject.engine.open(8)))
        await asyncio.sleep(0)
    served = []
    for expected, waiter in enumerate(waiters):
        sessions.pop().close()
        sessions.append(await within_deadline(waiter))
        served.append([task.done() for task in waiters].count(True))
        assert served[-1] == expected + 1


async def test_a_waiter_that_gives_up_leaves_the_queue(subject: Subject) -> None:
    sessions = await subject.fill()
    impatient = asyncio.create_task(subject.engine.open(8))
    patient = asyncio.create_task(subject.engine.open(8))
    await asyncio.sleep(0)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    sessions[0].close()
    await within_deadline(patient)


async def test_closing_in_mid_feed_frees_the_slot(subject: Subject) -> None:
    sessions = await subject.fill()
    prompt = await subject.encode(FOX)
    waiter = asyncio.create_task(subject.engine.open(48))
    await asyncio.sleep(0)
    feeding = asyncio.ensure_future(sessions[0].feed(prompt))
    sessions[0].close()
    admitted = await within_deadline(waiter)
    row = await feed(admitted, prompt)
    outcome = (
        await asyncio.wait_for(asyncio.gather(feeding, return_exceptions=True), DEADLINE_SECONDS)
    )[0]
    assert isinstance(outcome, QuorateError | asyncio.CancelledError)
    for session in [*sessions[1:], admitted]:
        session.close()
    subject.assert_agree(row, await subject.fresh(prompt))


async def test_cancelling_a_feed_frees_the_slot(subject: Subject) -> None:
    sessions = await subject.fill()
    prompt = await subject.encode(FOX)

    async def feed_and_close(session: Session) -> None:
        try:
            await session.feed(prompt)
        finally:
            session.close()

    feeding = asyncio.create_task(feed_and_close(sessions[0]))
    waiter = asyncio.create_task(subject.engine.open(48))
    await asyncio.sleep(0)
    feeding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await feeding
    await feed(await within_deadline(waiter), prompt)


async def test_others_go_on_while_one_is_closed_in_mid_feed(subject: Subject) -> None:
    prompt, other = await subject.encode(FOX), await subject.encode(SEA)
    leaving, staying = await subject.open(), await subject.open()
    gone = asyncio.ensure_future(leaving.feed(prompt))
    kept = staying.feed(other)
    leaving.close()
    row = (await within_deadline(kept)).copy()
    await asyncio.wait_for(asyncio.gather(gone, return_exceptions=True), DEADLINE_SECONDS)
    staying.close()
    subject.assert_agree(row, await subject.fresh(other))


async def test_what_can_never_fit_is_refused_at_once(subject: Subject) -> None:
    facts = subject.engine.facts
    await subject.fill()
    with pytest.raises(PromptTooLong):
        await within_deadline(subject.engine.open(min(facts.context_length, facts.kv_tokens) + 1))


async def test_more_than_was_reserved_is_refused_and_harms_nothing(subject: Subject) -> None:
    prompt = await subject.encode(FOX)
    session = await subject.open(len(prompt))
    with pytest.raises(InvalidRequest):
        await session.feed([*prompt, prompt[-1]])
    row = await feed(session, prompt)
    with pytest.raises(InvalidRequest):
        await session.feed(prompt[-1:])
    session.close()
    subject.assert_agree(row, await subject.fresh(prompt))


async def test_an_id_outside_the_vocabulary_is_refused_and_harms_nothing(subject: Subject) -> None:
    prompt = await subject.encode(FOX)
    session = await subject.open()
    for wrong in (-1, len(subject.engine.vocabulary)):
        with pytest.raises(InvalidRequest, match="tokens"):
            await session.feed([*prompt, wrong])
    with pytest.raises(InvalidRequest):
        await session.feed([])
    assert session.position == 0
    row = await feed(session, prompt)
    session.close()
    subject.assert_agree(row, await subject.fresh(prompt))


@pytest.mark.parametrize("text", LITERAL_SPECIALS)
async def test_control_tokens_written_in_user_text_stay_text(subject: Subject, text: str) -> None:
    vocabulary = subject.engine.vocabulary
    continued = await within_deadline(subject.engine.encode_continuation(text))
    assert not vocabulary.control.intersection(continued)
    tokens = await subject.encode(text)
    leading = 1 if tokens[0] == vocabulary.bos else 0
    assert not vocabulary.control.intersection(tokens[leading:])


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
async def test_text_survives_the_way_through_tokens(subject: Subject, text: str) -> None:
    vocabulary = subject.engine.vocabulary
    tokens = await subject.encode(text)
    data = b"".join(vocabulary.pieces[token] for token in tokens)
    # SentencePiece puts a dummy space before a prompt.
    assert data in (text.encode(), b" " + text.encode())
    continued = await within_deadline(subject.engine.encode_continuation(text))
    assert b"".join(vocabulary.pieces[token] for token in continued) == text.encode()


async def test_the_vocabulary_is_consistent(subject: Subject) -> None:
    vocabulary = subject.engine.vocabulary
    assert vocabulary.end_of_generation
    assert vocabulary.end_of_generation <= vocabulary.control
    assert all(vocabulary.pieces[token] == b"" for token in vocabulary.control)
    assert vocabulary.bos is None or vocabulary.bos in vocabulary.control


async def test_closing_a_session_twice_frees_one_slot(subject: Subject) -> None:
    sessions = await subject.fill()
    sessions[0].close()
    sessions[0].close()
    await subject.open()
    waiter = asyncio.create_task(subject.engine.open(8))
    assert not (await asyncio.wait([waiter], timeout=0.05))[0]
    sessions[1].close()
    await within_deadline(waiter)


MAX_TOKENS = 8


def needs_generate(subject: Subject) -> None:
    if not subject.engine.facts.capabilities.generate:
        pytest.skip("this engine cannot sample tokens by itself")


async def read_all(stream: AsyncIterator[Sequence[SampledToken]]) -> list[SampledToken]:
    sampled: list[SampledToken] = []
    async for some in stream:
        assert some
        sampled += some
    return sampled


async def generate(session: Session, tokens: list[int], **changes: Any) -> list[SampledToken]:
    """Everything that is sampled for a session behind ``tokens``."""
    stream = session.generate(tokens, engine_sampling(**{"max_tokens": MAX_TOKENS, **changes}))
    return await within_deadline(read_all(stream))


async def generate_alone(subject: Subject, tokens: list[int], **changes: Any) -> list[SampledToken]:
    session = await subject.open(len(tokens) + MAX_TOKENS)
    sampled = await generate(session, tokens, **changes)
    session.close()
    return sampled


async def rows_along(
    subject: Subject, prompt: list[int], sampled: list[SampledToken]
) -> list[LogProbs]:
    """The rows that feeding the same tokens one by one gives; no session may be open."""
    session = await subject.open(len(prompt) + len(sampled))
    rows = [await feed(session, prompt)]
    for one in sampled[:-1]:
        rows.append(await feed(session, [one.token]))
    session.close()
    return rows


async def assert_greedy(subject: Subject, prompt: list[int], sampled: list[SampledToken]) -> None:
    """Every token is the best of its row, and its log-prob is the row's."""
    assert sampled
    for one, row in zip(sampled, await rows_along(subject, prompt, sampled), strict=True):
        assert row[one.token] >= row.max() - subject.tolerance
        assert one.logprob == pytest.approx(float(row[one.token]), abs=subject.tolerance)


async def test_a_generation_equals_feeding_the_best_token_every_time(subject: Subject) -> None:
    needs_generate(subject)
    prompt = await subject.encode(FOX)
    sampled = await generate_alone(subject, prompt)
    assert len(sampled) == MAX_TOKENS
    await assert_greedy(subject, prompt, sampled)


async def test_generations_at_once_equal_one_at_a_time(subject: Subject) -> None:
    needs_generate(subject)
    prompts = [await subject.encode(text) for text in (FOX, SEA, RAIN)]
    prompts = prompts[: subject.engine.facts.sessions]
    sessions = [await subject.open() for _ in prompts]
    together = await asyncio.gather(*map(generate, sessions, prompts))
    for session in sessions:
        session.close()
    for prompt, sampled in zip(prompts, together, strict=True):
        await assert_greedy(subject, prompt, sampled)


async def test_a_generation_behind_a_long_prompt(subject: Subject) -> None:
    needs_generate(subject)
    room = subject.engine.facts.context_length - MAX_TOKENS
    prompt = (await subject.encode(f"{FOX} {SEA} {RAIN} {FOX} {SEA}"))[: min(88, room)]
    await assert_greedy(subject, prompt, await generate_alone(subject, prompt))


async def test_a_generation_goes_on_behind_what_was_fed(subject: Subject) -> None:
    needs_generate(subject)
    prompt = await subject.encode(FOX)
    session = await subject.open()
    await feed(session, prompt[:3])
    sampled = await generate(session, prompt[3:])
    session.close()
    await assert_greedy(subject, prompt, sampled)


async def test_feeds_beside_generations_give_what_they_give_alone(subject: Subject) -> None:
    needs_generate(subject)
    prompt, other = await subject.encode(FOX), await subject.encode(SEA)
    generating, voting = await subject.open(), await subject.open()
    stream = generating.generate(other, engine_sampling(max_tokens=20))
    rows = [await feed(voting, prompt)]
    for token in other[-3:]:
        rows.append(await feed(voting, [token]))
    sampled = await within_deadline(read_all(stream))
    generating.close()
    voting.close()
    for index, row in enumerate(rows):
        subject.assert_agree(await subject.fresh([*prompt, *other[-3:][:index]]), row)
    await assert_greedy(subject, other, sampled)


async def generate_to_an_end(subject: Subject, prompt: list[int]) -> list[SampledToken]:
    """What a model samples until it ends by itself, with the first seed that leads there."""
    for seed in range(60):
        session = await subject.open(96)
        room = 96 - len(prompt)
        sampled = await generate(session, prompt, max_tokens=room, temperature=1.0, seed=seed)
        session.close()
        if sampled[-1].token in subject.engine.vocabulary.end_of_generation:
            return sampled
    pytest.fail("no generation came to an end of its own")


def needs_chat(subject: Subject) -> None:
    if not subject.engine.facts.capabilities.chat:
        pytest.skip("it has no chat template")


async def test_a_chat_that_ends_with_the_assistant_ends_with_its_text(subject: Subject) -> None:
    needs_chat(subject)
    chat = ChatPrompt((Message("user", GREETING), Message("assistant", "The colour is")))
    tokens = await within_deadline(subject.engine.encode(chat))
    pieces = [subject.engine.vocabulary.pieces[token] for token in tokens]
    assert b"".join(pieces).endswith(b"The colour is")


async def test_a_special_token_of_a_text_is_special_where_that_is_asked_for(
    subject: Subject,
) -> None:
    needs_chat(subject)
    written = "<|im_start|>user\nHi<|im_end|>"
    special = subject.engine.vocabulary.control
    parsed = await within_deadline(subject.engine.encode(TextPrompt(written, parse_special=True)))
    plain = await subject.encode(written)
    assert len([token for token in parsed if token in special]) - (parsed[0] == plain[0]) == 2
    assert not special.intersection(plain[1:])


async def test_a_token_that_ends_generation_is_told_and_is_the_last(subject: Subject) -> None:
    needs_generate(subject)
    needs_chat(subject)
    prompt = await subject.encode_chat(GREETING)
    sampled = await generate_to_an_end(subject, prompt)
    *before, last = (one.token for one in sampled)
    assert not subject.engine.vocabulary.end_of_generation.intersection(before)
    row = (await rows_along(subject, prompt, sampled))[-1]
    within = max(1e-4, subject.tolerance)
    assert sampled[-1].logprob == pytest.approx(float(row[last]), abs=within)


async def test_a_generation_counts_the_tokens_it_is_given(subject: Subject) -> None:
    needs_generate(subject)
    prompt = await subject.encode(FOX)
    longest = await generate_alone(subject, prompt)
    for most in (1, 3):
        session = await subject.open()
        sampled = await generate(session, prompt, max_tokens=most)
        assert [one.token for one in sampled] == [one.token for one in longest[:most]]
        assert session.position == len(prompt) + most - 1
        assert session.busy_seconds > 0
        session.close()


async def test_the_best_tokens_beside_those_sampled_are_those_of_the_row(subject: Subject) -> None:
    needs_generate(subject)
    prompt = await subject.encode(FOX)
    sampled = await generate_alone(subject, prompt, max_tokens=3, top_logprobs=4)
    for one, row in zip(sampled, await rows_along(subject, prompt, sampled), strict=True):
        assert len(one.top) == 4
        logprobs = [logprob for _, logprob in one.top]
        assert logprobs == sorted(logprobs, reverse=True)
        best = np.sort(row)[::-1][:4]
        np.testing.assert_allclose(logprobs, best, rtol=0, atol=subject.tolerance)
        for token, logprob in one.top:
            assert logprob == pytest.approx(float(row[token]), abs=subject.tolerance)


async def test_a_seed_samples_the_same_tokens_again(subject: Subject) -> None:
    needs_generate(subject)
    prompt = await subject.encode(FOX)
    answers = []
    for seed in (1, 1, 2, 3):
        await subject.forget()
        sampled = await generate_alone(subject, prompt, temperature=1.0, seed=seed)
        answers.append([one.token for one in sampled])
    assert answers[0] == answers[1]
    assert len({tuple(answer) for answer in answers}) > 1


@pytest.mark.parametrize(
    "how",
    [
        {"temperature": 0.0},
        {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05},
        {"temperature": 1.5},
        {"temperature": 1.0, "top_k": 5, "repetition_penalty": 1.3, "presence_penalty": 0.5},
        {"temperature": 1.0, "top_p": 0.9, "frequency_penalty": 0.7, "logit_bias": {65: 2.0}},
    ],
    ids=["greedy", "truncated", "whole", "penalties", "bias"],
)
async def test_our_sampler_draws_in_the_engine_what_it_draws_from_rows(
    subject: Subject, how: dict[str, Any]
) -> None:
    needs_generate(subject)
    if subject.engine.facts.capabilities.own_sampler:
        pytest.skip("this engine has a sampler of its own")
    prompt = await subject.encode(FOX)
    sampler = Sampler(
        SamplingOptions(**{"top_k": 0, "top_p": 1.0, "min_p": 0.0, **how}),
        len(subject.engine.vocabulary),
        seed=11,
        prompt=prompt,
    )
    await subject.forget()
    session = await subject.open(len(prompt) + MAX_TOKENS)
    expected, fed = [], prompt
    while len(expected) < MAX_TOKENS:
        row = await feed(session, fed)
        token = sampler.sample(row)
        expected.append((token, float(row[token]), session.masked_mass))
        if token in subject.engine.vocabulary.end_of_generation:
            break
        fed = [token]
    session.close()
    await subject.forget()
    biased = {**how, "logit_bias": [*how.get("logit_bias", {}).items()], "seed": 11}
    sampled = await generate_alone(subject, prompt, **biased)
    # Bit for bit: the same calls of the model, and the same arithmetic behind them.
    assert [(one.token, one.logprob, one.masked_mass) for one in sampled] == expected


async def test_a_sampler_of_an_engines_own_refuses_bias_and_penalties(subject: Subject) -> None:
    if not subject.engine.facts.capabilities.own_sampler:
        pytest.skip("our sampler draws for this engine")
    session = await subject.open()
    for wrong in ({"presence_penalty": 0.5}, {"logit_bias": [(7, 1.0)]}):
        with pytest.raises(UnsupportedPlan, match="neither bias nor penalties"):
            await generate(session, [7], **wrong)
    assert np.isfinite((await feed(session, [7])).max())
    session.close()


async def test_what_no_model_may_say_is_never_sampled(subject: Subject) -> None:
    needs_generate(subject)
    needs_chat(subject)
    vocabulary = subject.engine.vocabulary
    marks = vocabulary.control - vocabulary.end_of_generation
    # Where the next turn of a chat would begin, a model expects a control token.
    chat = await subject.encode_chat(GREETING)
    turn = max(index for index, token in enumerate(chat) if token in marks)
    for seed in range(5):
        sampled = await generate_alone(subject, chat[:turn], temperature=2.0, seed=seed)
        assert not vocabulary.masked.intersection(one.token for one in sampled)


async def test_closing_in_mid_generation_frees_the_slot(subject: Subject) -> None:
    needs_generate(subject)
    prompt = await subject.encode(FOX)
    sessions = await subject.fill()
    room = 48 - len(prompt)
    stream = sessions[0].generate(prompt, engine_sampling(max_tokens=room))
    assert await within_deadline(anext(stream))
    waiter = asyncio.create_task(subject.engine.open(48))
    await asyncio.sleep(0)
    sessions[0].close()
    admitted = await within_deadline(waiter)
    row = await feed(admitted, prompt)
    with pytest.raises(StopAsyncIteration):
        await within_deadline(anext(stream))
    for session in [*sessions[1:], admitted]:
        session.close()
    subject.assert_agree(row, await subject.fresh(prompt))


async def test_cancelling_the_reader_of_a_generation_frees_the_slot(subject: Subject) -> None:
    needs_generate(subject)
    prompt = await subject.encode(FOX)
    sessions = await subject.fill()
    begun = asyncio.Event()

    async def read_and_close(session: Session) -> None:
        try:
            async for _ in session.generate(prompt, engine_sampling(max_tokens=20)):
                begun.set()
                await asyncio.Event().wait()
        finally:
            session.close()

    reading = asyncio.create_task(read_and_close(sessions[0]))
    waiter = asyncio.create_task(subject.engine.open(48))
    await within_deadline(begun.wait())
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    sampled = await generate(await within_deadline(waiter), prompt)
    assert len(sampled) == MAX_TOKENS


async def test_nobody_waits_for_a_reader_who_does_not_read(subject: Subject) -> None:
    needs_generate(subject)
    prompt, other = await subject.encode(FOX), await subject.encode(SEA)
    slow, fast = await subject.open(), await subject.open()
    unread = slow.generate(prompt, engine_sampling(max_tokens=20))
    at_once = await generate(fast, other, max_tokens=20)
    late = await within_deadline(read_all(unread))
    slow.close()
    fast.close()
    await assert_greedy(subject, other, at_once)
    await assert_greedy(subject, prompt, late)


async def test_after_a_generation_a_session_can_only_be_closed(subject: Subject) -> None:
    needs_generate(subject)
    prompt = await subject.encode(FOX)
    session = await subject.open(branches=1)
    await generate(session, prompt, max_tokens=2)
    for call in (session.feed, session.score):
        with pytest.raises(Internal):
            await call(prompt[:1])
    with pytest.raises(Internal):
        await generate(session, prompt[:1])
    with pytest.raises(Internal):
        session.branch()
    with pytest.raises(Internal):
        session.rewind(1)
    session.close()
    session.close()
    again = await subject.open(branches=subject.engine.facts.sessions - 1)
    assert len(await generate(again, prompt)) == MAX_TOKENS


async def test_what_a_generation_cannot_serve_is_refused_and_harms_nothing(
    subject: Subject,
) -> None:
    needs_generate(subject)
    prompt, size = await subject.encode(FOX), len(subject.engine.vocabulary)
    session = await subject.open(len(prompt) + MAX_TOKENS)
    for wrong in ([], [*prompt, -1], [*prompt, size], [*prompt, *prompt, *prompt, *prompt]):
        with pytest.raises(InvalidRequest, match="tokens"):
            await generate(session, wrong)
    for most in (0, MAX_TOKENS + 1):
        with pytest.raises(InvalidRequest, match="max_tokens"):
            await generate(session, prompt, max_tokens=most)
    sampled = await generate(session, prompt)
    session.close()
    await assert_greedy(subject, prompt, sampled)


async def test_an_engine_that_cannot_sample_tokens_refuses_to(subject: Subject) -> None:
    if subject.engine.facts.capabilities.generate:
        pytest.skip("this engine samples tokens by itself")
    prompt = await subject.encode(RAIN)
    session = await subject.open()
    with pytest.raises(UnsupportedPlan):
        await generate(session, prompt)
    row = await feed(session, prompt)
    session.close()
    subject.assert_agree(row, await subject.fresh(prompt))


async def test_closing_the_engine_ends_everything(subject: Subject) -> None:
    """The last test: whoever comes after it waits for an engine that starts."""
    prompt = await subject.encode(FOX)
    sessions = await subject.fill()
    generated: list[SampledToken] = []
    stream = None
    if subject.engine.facts.capabilities.generate:
        stream = sessions[-1].generate(prompt, engine_sampling(max_tokens=20))
        generated += await within_deadline(anext(stream))
    waiter = asyncio.create_task(subject.engine.open(8))
    await asyncio.sleep(0)
    await within_deadline(subject.engine.close())
    await within_deadline(subject.engine.close())
    with pytest.raises(Unavailable):
        await within_deadline(waiter)
    with pytest.raises(Unavailable):
        await subject.engine.open(8)
    with pytest.raises(Unavailable):
        await subject.engine.wait_ready()
    with pytest.raises(QuorateError):
        await sessions[0].feed([0])
    if stream is not None:
        try:
            generated += await within_deadline(read_all(stream))
        except QuorateError:
            pass
        else:
            # It was faster than the end of the engine.
            assert len(generated) == 20
    for session in sessions:
        session.close()
