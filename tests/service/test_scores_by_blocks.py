"""Scores whose workers compute blocks: whoever dies or leaves in the middle of one."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from quorate.client import Client
from quorate.engines.spec import EngineSpec
from quorate.fleet.status import ModelState
from quorate.v1 import inference_pb2
from support.kill_matrix import DEADLINE_SECONDS, SAY, victims
from support.streams import refused

ALIGNMENTS = ("same_vocabulary", "byte_exact")
BLOCKS = SAY * 3
# Of a worker that is asked for a block: the prompt takes one step, and the text more than one.
STEP_MS = 500.0

pytestmark = pytest.mark.usefixtures("nothing_is_left")


async def scored(client: Client, alignment: str, policy: str) -> inference_pb2.ScoreResponse:
    return await client.score(
        "x",
        BLOCKS,
        models=["a", "b"],
        alignment=alignment,
        weighting="static",
        failure_policy=policy,
        timeout=DEADLINE_SECONDS,
    )


@pytest.mark.parametrize("alignment", ALIGNMENTS)
async def test_a_worker_killed_in_mid_block_is_replayed_or_done_without(
    tmp_path: Path, alignment: str
) -> None:
    async with victims(tmp_path) as there:
        whole = await scored(there.client, alignment, "replay")
        for policy in ("replay", "continue"):
            pid = there.pid("a")
            there.dies_at("decode", "a", signal.SIGKILL)
            score = await scored(there.client, alignment, policy)
            await there.reaches("a", ModelState.READY)
            assert there.pid("a") != pid, "nobody died"
            alone = {member.model: member.logprob for member in score.members}
            if policy == "replay":
                assert score.logprob == pytest.approx(whole.logprob, abs=1e-4)
                assert [*alone] == ["a", "b"]
            else:
                # It is lost with the first block, so that the other one alone has scored all.
                assert [*alone] == ["b"]
                assert score.logprob == pytest.approx(alone["b"], abs=1e-4)
    per_token = [member.forwards / member.tokens for member in whole.members]
    assert all(forwards < 4 for forwards in per_token)


@pytest.mark.parametrize("alignment", ALIGNMENTS)
async def test_who_leaves_in_mid_block_leaves_nothing_behind(
    tmp_path: Path, alignment: str
) -> None:
    slow = [
        EngineSpec(name, "scripted", options={"say": SAY, "step_delay_ms": STEP_MS, "seed": seed})
        for seed, name in enumerate("ab")
    ]
    asked = {"models": ["a", "b"], "alignment": alignment, "weighting": "static"}
    async with victims(tmp_path, *slow) as there:
        refusal = await refused(
            there.client.score("x", BLOCKS, **asked, timeout=1.5 * STEP_MS / 1e3)
        )
        assert refusal.status == "DEADLINE_EXCEEDED"
        async with asyncio.timeout(DEADLINE_SECONDS):
            while there.dispatcher.running:
                await asyncio.sleep(0)
        for model in "ab":
            with there.fleet.muster([model]) as (engines, _):
                engine = engines[model]
                # As many as there are, at once.
                session = await asyncio.wait_for(
                    engine.open(engine.facts.context_length, engine.facts.sessions - 1),
                    DEADLINE_SECONDS,
                )
                session.close()
