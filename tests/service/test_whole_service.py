"""The main job, end to end: worker processes, dispatcher, gRPC server, Python client."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import pytest

from quorate.fleet.status import ModelState
from quorate.v1 import inference_pb2, plan_pb2
from support.gguf_files import STORIES_GREEDY, smollm2, stories260k, write_broken
from support.hosted_engines import open_descriptors
from support.streams import Stream, refused
from support.whole_service import (
    engine_of,
    gguf,
    kill_worker,
    reaches,
    scripted,
    whole_service,
)

SAY = "the quick brown fox jumps over the lazy dog and runs away"
SLOW = {"say": SAY, "step_delay_ms": 20.0}
MESSAGES = [("user", "What is the capital of France?")]

pytestmark = pytest.mark.usefixtures("nothing_is_left")


async def test_stories260k_reproduces_its_published_text(tmp_path: Path) -> None:
    model = gguf("stories", stories260k())
    async with whole_service(tmp_path, model) as (_, client):
        text = await client.complete(
            "Once upon a time", model="stories", temperature=0.0, max_tokens=200
        )
    assert ("Once upon a time" + text).startswith(STORIES_GREEDY)


async def test_a_model_voting_with_its_twin_says_what_it_says_alone(tmp_path: Path) -> None:
    models = [gguf(name, stories260k()) for name in ("a", "b")]
    async with whole_service(tmp_path, *models) as (_, client):
        options = {"temperature": 0.0, "max_tokens": 60}
        alone = await client.complete("Once upon a time", model="a", **options)
        for rule in ("linear", "geometric", "majority"):
            together = await client.complete(
                "Once upon a time", models={"a": 0.3, "b": 0.7}, rule=rule, **options
            )
            assert together == alone


async def test_two_real_models_vote_and_show_their_votes(tmp_path: Path) -> None:
    models = [gguf(name, smollm2(), context_length=512, sessions=2) for name in ("a", "b")]
    async with whole_service(tmp_path, *models) as (_, client):
        stream = await Stream(
            client,
            None,
            messages=MESSAGES,
            models={"a": 1.0, "b": 3.0},
            temperature=0.0,
            max_tokens=12,
            votes=True,
            top_logprobs=2,
        ).whole()
    assert len(stream.text) > 10
    assert [(m.model, m.weight) for m in stream.decision.members] == [("a", 0.25), ("b", 0.75)]
    for token in stream.tokens:
        assert [vote.model for vote in token.votes] == ["a", "b"]
        mixture = sum(vote.weight * math.exp(vote.chosen_logprob) for vote in token.votes)
        assert math.log(mixture) == pytest.approx(token.logprob, abs=1e-4)
        assert len(token.top) == 2
    assert [model.model for model in stream.usage.models] == ["a", "b"]
    assert stream.usage.generated_tokens == len(stream.tokens)
    for model in stream.usage.models:
        assert model.energy.joules > 0
        assert not model.HasField("usd")


async def test_a_streamed_answer_scores_what_its_stream_said(tmp_path: Path) -> None:
    models = [scripted("a", seed=1), scripted("b", seed=2)]
    async with whole_service(tmp_path, *models) as (_, client):
        stream = await Stream(
            client, "the cat ", models=["a", "b"], temperature=0.0, max_tokens=8, seed=1
        ).whole()
        pieces = b"".join(token.piece for token in stream.tokens).decode()
        score = await client.score("the cat ", pieces, models=["a", "b"])
    assert score.bytes == len(pieces.encode())
    if [t.piece for t in score.tokens] == [t.piece for t in stream.tokens]:
        said = sum(token.logprob for token in stream.tokens)
        assert score.logprob == pytest.approx(said, abs=1e-6)


async def test_a_member_killed_in_mid_stream_is_dropped_and_comes_back(tmp_path: Path) -> None:
    models = [scripted("a", **SLOW, seed=1), scripted("b", **SLOW, seed=2)]
    async with whole_service(tmp_path, *models) as (service, client):
        stream = Stream(client, "", messages=None, models=["a", "b"], temperature=0.0, votes=True)
        await stream.until(lambda heard: len(heard.tokens) >= 5)
        kill_worker(service, "a")
        await stream.whole()
        assert stream.text == SAY
        (notice,) = stream.notices
        assert notice.kind == inference_pb2.NOTICE_KIND_MEMBER_DROPPED
        assert notice.model == "a"
        assert "SIGKILL" in notice.message
        assert [(v.model, v.weight) for v in stream.tokens[-1].votes] == [("b", 1.0)]
        await reaches(service, "a", ModelState.READY)
        again = await Stream(client, "", models=["a", "b"], temperature=0.0, votes=True).whole()
        assert again.text == SAY
        assert not again.notices
        assert [v.model for v in again.tokens[-1].votes] == ["a", "b"]


async def test_the_fail_policy_ends_the_stream_with_unavailable(tmp_path: Path) -> None:
    models = [scripted("a", **SLOW), scripted("b", **SLOW)]
    async with whole_service(tmp_path, *models) as (service, client):
        stream = Stream(client, "", models=["a", "b"], temperature=0.0, failure_policy="fail")
        await stream.until(lambda heard: len(heard.tokens) >= 5)
        kill_worker(service, "b")
        await stream.end()
    assert stream.error is not None
    assert stream.error.status == "UNAVAILABLE"
    assert stream.error.retry_after_seconds is not None
    assert "b" in stream.error.message


async def test_a_real_member_killed_in_mid_stream_is_replayed_to_the_same_text(
    tmp_path: Path,
) -> None:
    async with whole_service(tmp_path, gguf("stories", stories260k())) as (service, client):
        stream = Stream(
            client, "Once upon a time", model="stories", temperature=0.0, max_tokens=200
        )
        await stream.until(lambda heard: len(heard.tokens) >= 20)
        kill_worker(service, "stories")
        await stream.whole()
    assert len(stream.notices) == 1
    assert ("Once upon a time" + stream.text).startswith(STORIES_GREEDY)


async def test_a_broken_file_fails_alone_and_the_others_serve(tmp_path: Path) -> None:
    broken = write_broken("cut_in_the_tensors", tmp_path, stories260k())
    models = [scripted("good", say=SAY), gguf("bad", broken)]
    async with whole_service(tmp_path, *models, wait=False) as (service, client):
        await reaches(service, "bad", ModelState.FAILED)
        await reaches(service, "good", ModelState.READY)
        assert await client.complete("", model="good", temperature=0.0) == SAY
        refusal = await refused(client.complete("", model="bad"))
        assert refusal.status == "FAILED_PRECONDITION"
        assert broken.name in refusal.message
        (bad,) = [m for m in await client.models() if m.id == "bad"]
        assert bad.message and "\n" not in bad.message


async def test_a_client_that_leaves_frees_its_session_for_the_next(tmp_path: Path) -> None:
    one_session = scripted("a", **SLOW, sessions=1)
    async with whole_service(tmp_path, one_session) as (service, client):
        first = Stream(client, "", model="a", temperature=0.0)
        await first.until(lambda heard: len(heard.tokens) >= 2)
        waiting = asyncio.create_task(client.complete("", model="a", temperature=0.0))
        first.task.cancel()
        assert await waiting == SAY
        assert service.dispatcher.running == 0


async def test_a_deadline_frees_the_session(tmp_path: Path) -> None:
    one_session = scripted("a", say=SAY, step_delay_ms=50.0, sessions=1)
    async with whole_service(tmp_path, one_session) as (_, client):
        refusal = await refused(client.complete("", model="a", temperature=0.0, timeout=0.3))
        assert refusal.status == "DEADLINE_EXCEEDED"
        again = await client.complete("", model="a", temperature=0.0, max_tokens=3)
        assert again and SAY.startswith(again)


async def test_models_come_and_go_while_others_answer(tmp_path: Path) -> None:
    models = [scripted("a", **SLOW), {**scripted("b", say=SAY), "load": False}]
    async with whole_service(tmp_path, *models, wait=False) as (service, client):
        await reaches(service, "a", ModelState.READY)
        stream = Stream(client, "", model="a", temperature=0.0)
        await stream.until(lambda heard: len(heard.tokens) >= 2)
        assert (await client.load("b")).vocabulary_size > 0
        assert await client.complete("", model="b", temperature=0.0) == SAY
        pid = engine_of(service, "b").worker_pid
        await client.unload("b")
        assert not Path(f"/proc/{pid}").exists()
        refusal = await refused(client.complete("", model="b"))
        assert refusal.status == "FAILED_PRECONDITION"
        await stream.whole()
        assert stream.text == SAY


async def test_many_loads_and_unloads_leave_no_descriptor(tmp_path: Path) -> None:
    models = [scripted("a", say=SAY)]
    async with whole_service(tmp_path, *models) as (_, client):
        await client.unload("a")
        before = open_descriptors()
        for _ in range(5):
            await client.load("a")
            await client.unload("a")
        assert open_descriptors() == before


async def test_members_with_other_vocabularies_are_refused_where_a_shared_one_is_asked_for(
    tmp_path: Path,
) -> None:
    models = [scripted("a"), scripted("b", vocabulary="words")]
    async with whole_service(tmp_path, *models) as (_, client):
        refusal = await refused(client.complete("", models=["a", "b"], alignment="same_vocabulary"))
    assert refusal.status == "FAILED_PRECONDITION"
    assert "a, b: their vocabularies differ" in refusal.message


@pytest.mark.parametrize(
    ("members", "policy", "kind"),
    [
        (["b"], None, inference_pb2.NOTICE_KIND_MEMBER_REPLAYED),
        (["a", "b"], "continue", inference_pb2.NOTICE_KIND_MEMBER_DROPPED),
        (["a", "b"], "replay", inference_pb2.NOTICE_KIND_MEMBER_REPLAYED),
    ],
    ids=["alone", "continue on bytes", "replay on bytes"],
)
async def test_a_member_killed_in_mid_stream_follows_the_policy(
    tmp_path: Path, members: list[str], policy: str | None, kind: int
) -> None:
    models = [scripted("a", **SLOW, seed=1), scripted("b", **SLOW, seed=2, vocabulary="words")]
    plan = {"models": members, "temperature": 0.0, "failure_policy": policy}
    async with whole_service(tmp_path, *models) as (service, client):
        stream = Stream(client, "", votes=len(members) > 1, **plan)
        await stream.until(lambda heard: len(heard.tokens) >= 3)
        kill_worker(service, "b")
        await stream.whole()
    assert stream.text == SAY
    (notice,) = stream.notices
    assert (notice.kind, notice.model) == (kind, "b")
    if len(members) > 1:
        left = ["a"] if policy == "continue" else members
        assert [vote.model for vote in stream.tokens[-1].votes] == left


async def test_two_real_models_with_different_tokenizers_vote_on_bytes(tmp_path: Path) -> None:
    models = [gguf("smol", smollm2(), context_length=512), gguf("stories", stories260k())]
    plan = {"models": ["smol", "stories"], "temperature": 0.0}
    async with whole_service(tmp_path, *models) as (service, client):
        whole = await Stream(client, "Once upon a time", max_tokens=60, votes=True, **plan).whole()
        killed = Stream(client, "Once upon a time", max_tokens=60, failure_policy="replay", **plan)
        await killed.until(lambda heard: len(heard.tokens) >= 8)
        before = killed.text
        kill_worker(service, "stories")
        await killed.whole()
        score = await client.score("Once upon a time", whole.text, models=plan["models"])
    assert whole.decision.alignment == plan_pb2.ALIGNMENT_BYTE_EXACT
    assert whole.decision.weighting == plan_pb2.WEIGHTING_BAYESIAN
    # What comes after the kill is fed in other batches, which 4-bit weights do not forgive.
    assert before and whole.text.startswith(before)
    assert killed.text.startswith(before) and len(killed.text) > len(before)
    assert len(killed.notices) == 1
    assert score.bytes == len(whole.text.encode())
    said = sum(token.logprob for token in whole.tokens)
    # Batches of other shapes move what 4-bit weights say of a likely token.
    assert score.logprob == pytest.approx(said, rel=0.03)
    assert {member.model for member in score.members} == {"smol", "stories"}


async def test_crossing_ensembles_on_single_sessions_never_wait_for_each_other(
    tmp_path: Path,
) -> None:
    models = [scripted(name, say=SAY, sessions=1) for name in ("a", "b")]
    async with whole_service(tmp_path, *models) as (_, client):
        pairs = [["a", "b"], ["b", "a"]] * 10
        async with asyncio.timeout(60):
            answers = await asyncio.gather(
                *(client.complete("", models=pair, temperature=0.0) for pair in pairs)
            )
    assert answers == [SAY] * 20
