"""Ratings: whose answers they are about, how far they move what is expected, and what is kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.dispatch import ratings as module
from quorate.dispatch.ratings import Ratings
from quorate.dispatch.settings import CallerLimits
from quorate.errors import CannotRun, LimitReached, NotFound
from quorate.ledger.ratings import Rating
from quorate.request import AnswersPlan, AutoPlan, Plan, WeightedModel
from quorate.routing.quality import MOST_MOVED, MOST_RATINGS, QualityTable, Tally
from quorate.routing.settings import RoutingSettings
from support.dispatching import DispatcherHarness, answer, ask, only, running_dispatcher, steps

SCORES = st.lists(st.tuples(st.integers(0, 30), st.floats(0, 1)), max_size=80)
SURE = {"say": "maybe", "confidence": 0.98}


def told(scores: list[tuple[int, float]]) -> Ratings:
    known = Ratings()
    for number, (request, score) in enumerate(scores):
        known.restore(
            [Rating("alice", f"{request}", "single:a", ("a",), "sums", score, float(number))]
        )
    return known


@given(SCORES, st.floats(0, 1), st.floats(0, 50))
def test_no_ratings_move_a_quality_beyond_its_bounds(
    scores: list[tuple[int, float]], share: float, cases: float
) -> None:
    measured = {("single:a", "sums"): Tally(share * cases, cases)}
    before = QualityTable(measured).expected("single:a", ["a"], "sums")
    rated = told(scores).of("alice")
    after = QualityTable(measured, rated=rated).expected("single:a", ["a"], "sums")
    assert 0 <= after <= 1 and abs(after - before) <= MOST_MOVED + 1e-12
    for tally in rated.values():
        assert 0 <= tally.right <= tally.cases <= MOST_RATINGS


def test_praise_raises_and_blame_lowers_what_is_expected_for_that_key_and_task_alone() -> None:
    for score, direction in ((1.0, 1), (0.0, -1)):
        known = told([(number, score) for number in range(40)])
        table = QualityTable(rated=known.of("alice"))
        moved = table.expected("single:a", ["a"], "sums") - 0.5
        assert direction * moved == pytest.approx(MOST_MOVED)
        assert table.expected("single:a", ["a"], "code") == 0.5
        assert table.expected("single:b", ["b"], "sums") == 0.5
        assert not known.of("bob") and not known.of("")


async def test_the_last_word_on_an_answer_counts() -> None:
    async with running_dispatcher({"a": SURE}) as stage:
        [first, second] = [await _answered(stage, only("a"), name) for name in ("one", "two")]
        for score in (0.0, 1.0, 0.25):
            rated = await stage.dispatcher.feedback.rate("", first, score)
        assert stage.recorder.ratings.of("") == {("single:a", ""): Tally(0.25, 1.0)}
        assert rated.vote == "single:a" and rated.before is not None and rated.after is not None
        await stage.dispatcher.feedback.rate("", second, 1.0)
        assert stage.recorder.ratings.of("") == {("single:a", ""): Tally(1.25, 2.0)}


async def test_an_answer_is_that_of_the_vote_which_gave_it() -> None:
    models = {"a": SURE, "unsure": {"say": "no", "confidence": 0.1}, "b": SURE}
    async with running_dispatcher(models) as stage:
        kept = await _answered(stage, steps("a", "b"), "kept")
        escalated = await _answered(stage, steps("unsure", "b"), "escalated")
        both = AnswersPlan((WeightedModel("a"), WeightedModel("b")))
        agreed = await _answered(stage, both, "agreed")
        votes = [
            (await stage.dispatcher.feedback.rate("", one, 1.0)).vote for one in (kept, escalated)
        ]
        assert votes == ["single:a", "single:b"]
        rated = await stage.dispatcher.feedback.rate("", agreed, 1.0)
        assert rated.vote == "answers:a+b:1:majority:exact:static"


async def test_of_a_cascade_the_stage_is_rated_whose_answer_was_kept() -> None:
    models = {
        "a": {"say": "maybe", "confidence": 0.5},
        "b": {"say": "maybe", "confidence": 0.2},
        "c": SURE,
    }
    async with running_dispatcher(models) as stage:
        stage.cast.engines["c"].lose("killed by SIGKILL")
        kept = await _answered(stage, steps("a", "b", "c", confidence=0.9), "kept")
        assert (await stage.dispatcher.feedback.rate("", kept, 0.0)).vote == "single:a"


@pytest.mark.parametrize("whole", [False, True])
async def test_a_vote_that_lost_a_member_is_not_blamed(whole: bool) -> None:
    both = (WeightedModel("a"), WeightedModel("b"))
    asked = AnswersPlan(both) if whole else Plan(both)
    async with running_dispatcher({"a": SURE, "b": SURE}) as stage:
        stage.cast.engines["b"].lose("killed by SIGKILL")
        rated = await stage.dispatcher.feedback.rate("", await _answered(stage, asked, "x"), 0.0)
        assert (rated.vote, rated.before, rated.after) == ("", None, None)
        assert not stage.recorder.ratings.of("")


async def test_a_rating_counts_as_a_request_and_the_same_one_is_not_written_again() -> None:
    callers = {"alice": CallerLimits(requests_per_minute=4)}
    async with running_dispatcher({"a": SURE}, callers=callers) as stage:
        await answer(stage, only("a"), request_id="x", key="alice")
        for _ in range(3):
            await stage.dispatcher.feedback.rate("alice", "x", 1.0)
        with pytest.raises(LimitReached, match="requests_per_minute of key alice"):
            await stage.dispatcher.feedback.rate("alice", "x", 1.0)


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from([0.0, 0.5, 1.0])), max_size=90))
def test_after_a_restart_the_same_is_expected(scores: list[tuple[int, float]]) -> None:
    live = told(scores)
    rows: dict[int, Rating] = {}
    for number, (request, score) in enumerate(scores):
        rows.pop(request, None)
        rows[request] = Rating(
            "alice", f"{request}", "single:a", ("a",), "sums", score, float(number)
        )
    again = Ratings()
    again.restore(rows.values())
    assert again.of("alice") == live.of("alice")


async def test_what_is_no_answer_of_the_caller_cannot_be_rated() -> None:
    async with running_dispatcher({"a": SURE}) as stage:
        mine = await _answered(stage, only("a"), "mine")
        with pytest.raises(NotFound, match="the last 512 of a key"):
            await stage.dispatcher.feedback.rate("bob", mine, 1.0)
        with pytest.raises(NotFound):
            await stage.dispatcher.feedback.rate("", "nobody's", 1.0)
        events = stage.dispatcher.generate(ask(only("a"), request_id="left"))
        await anext(events)
        await events.aclose()
        with pytest.raises(NotFound):
            await stage.dispatcher.feedback.rate("", "left", 1.0)


async def test_what_is_rated_higher_is_chosen_where_the_choice_is_open() -> None:
    twins = {"a": SURE, "b": SURE}
    settings = RoutingSettings(exploration=0.0, candidates=("a", "b"))
    async with running_dispatcher(twins, routing=settings) as stage:
        chosen = [(await _chosen(stage), await _answered(stage, only(one), one)) for one in "ab"]
        other = "b" if chosen[0][0] == "a" else "a"
        for number in range(12):
            await stage.dispatcher.feedback.rate(
                "", await _answered(stage, only(other), f"{number}"), 1.0
            )
        assert await _chosen(stage) == other


async def test_where_ratings_are_switched_off_none_is_taken_and_none_counts() -> None:
    settings = RoutingSettings(exploration=0.0, feedback=False)
    async with running_dispatcher({"a": SURE}, routing=settings) as stage:
        stage.recorder.ratings.restore([Rating("", "x", "single:a", ("a",), "", 0.0, 1.0)])
        mine = await _answered(stage, only("a"), "mine")
        with pytest.raises(CannotRun, match=r"feedback in \[routing\]"):
            await stage.dispatcher.feedback.rate("", mine, 1.0)
        [candidate] = stage.dispatcher.explain(ask(AutoPlan())).route.candidates
        assert candidate.quality == 0.5


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ANSWERS", 3)
    monkeypatch.setattr(module, "_MOST_KEYS", 2)
    monkeypatch.setattr(module, "_MOST_VOTES", 2)
    known = Ratings()
    for key in ("alice", "bob", "carol"):
        known.restore(
            Rating(key, f"{n}", f"single:{n}", (f"{n}",), "", 1.0, float(n)) for n in range(5)
        )
    assert not known.of("alice")
    assert list(known.of("carol")) == [("single:3", ""), ("single:4", "")]
    assert known.find("carol", "2").vote == "single:2"
    with pytest.raises(NotFound):
        known.find("carol", "1")


async def _answered(stage: DispatcherHarness, plan: object, request_id: str) -> str:
    await answer(stage, plan, request_id=request_id)
    return request_id


async def _chosen(stage: DispatcherHarness) -> str:
    return stage.dispatcher.explain(ask(AutoPlan())).models[0]
