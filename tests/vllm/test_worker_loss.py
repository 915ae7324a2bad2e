"""Killing vLLM in the middle of its answers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quorate.fleet.status import ModelState
from quorate.v1 import inference_pb2
from support.gguf_files import smollm2
from support.hosted_engines import alive, family
from support.streams import Stream
from support.whole_service import checkpoint, engine_of, gguf, kill_worker, reaches, whole_service

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]

SIZES = {"sessions": 4, "context_length": 256, "cells": 1024}
ASKED = {"messages": [("user", "Tell me a long story about the sea.")], "temperature": 0.0}
ALONE = {**ASKED, "model": "large", "max_tokens": 60}
PAIR = {**ASKED, "models": ["large", "small"], "votes": True}


async def test_votes_go_on_without_it_and_lone_answers_are_replayed_once_it_is_back(
    tmp_path: Path, smollm2_checkpoint: Path
) -> None:
    # float32: in 16 bits a batch of another size may turn a near tie.
    large = checkpoint("large", smollm2_checkpoint, **SIZES, dtype="float32")
    shared_before = set(os.listdir("/dev/shm"))
    async with whole_service(tmp_path, large, gguf("small", smollm2(), **SIZES)) as started:
        service, client = started
        whole = Stream(client, None, **ALONE)
        await whole.end()
        assert not whole.notices
        assert len(whole.tokens) == 60
        pid = engine_of(service, "large").worker_pid
        assert pid is not None
        processes = family(pid)
        vote, alone = Stream(client, None, **PAIR, max_tokens=120), Stream(client, None, **ALONE)
        for stream in (vote, alone):
            await stream.until(lambda so_far: len(so_far.tokens) >= 5)
        kill_worker(service, "large")

        await vote.end()
        (notice,) = vote.notices
        assert notice.kind == inference_pb2.NOTICE_KIND_MEMBER_DROPPED
        assert notice.model == "large"
        assert "SIGKILL" in notice.message
        shown = [(one.model, one.weight) for one in vote.tokens[-1].votes]
        assert shown == [("small", 1.0)]

        await alone.end()
        (notice,) = alone.notices
        assert notice.kind == inference_pb2.NOTICE_KIND_MEMBER_REPLAYED
        assert alone.text == whole.text

        await reaches(service, "large", ModelState.READY)
        assert not any(map(alive, processes))
        again = Stream(client, None, **PAIR, max_tokens=5)
        await again.end()
        assert not again.notices
        assert [one.model for one in again.tokens[-1].votes] == ["large", "small"]
        last = engine_of(service, "large").worker_pid
        assert last is not None
        processes = family(last)
    assert not any(map(alive, processes))
    assert set(os.listdir("/dev/shm")) <= shared_before
