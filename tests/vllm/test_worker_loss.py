"""Killing vLLM in the middle of a stream."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quorate.client import Client
from quorate.fleet.status import ModelState
from quorate.v1 import inference_pb2
from support.gguf_files import smollm2
from support.hosted_engines import alive, family
from support.streams import Stream
from support.whole_service import checkpoint, engine_of, gguf, kill_worker, reaches, whole_service

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]

SIZES = {"sessions": 4, "context_length": 256, "cells": 1024}
QUESTION = [("user", "Tell me a long story about the sea.")]


def pair(client: Client, max_tokens: int) -> Stream:
    return Stream(
        client,
        None,
        messages=QUESTION,
        models=["large", "small"],
        temperature=0.0,
        max_tokens=max_tokens,
        votes=True,
    )


async def test_the_others_go_on_and_it_comes_back(tmp_path: Path, smollm2_checkpoint: Path) -> None:
    models = [checkpoint("large", smollm2_checkpoint, **SIZES), gguf("small", smollm2(), **SIZES)]
    shared_before = set(os.listdir("/dev/shm"))
    async with whole_service(tmp_path, *models) as (service, client):
        pid = engine_of(service, "large").worker_pid
        assert pid is not None
        processes = family(pid)
        stream = pair(client, 40)
        await stream.until(lambda so_far: len(so_far.tokens) >= 5)
        kill_worker(service, "large")
        await stream.end()
        (notice,) = stream.notices
        assert notice.kind == inference_pb2.NOTICE_KIND_MEMBER_DROPPED
        assert notice.model == "large"
        assert "SIGKILL" in notice.message
        assert [(vote.model, vote.weight) for vote in stream.tokens[-1].votes] == [("small", 1.0)]
        await reaches(service, "large", ModelState.READY)
        assert not any(map(alive, processes))
        again = pair(client, 5)
        await again.end()
        assert not again.notices
        assert [vote.model for vote in again.tokens[-1].votes] == ["large", "small"]
        last = engine_of(service, "large").worker_pid
        assert last is not None
        processes = family(last)
    assert not any(map(alive, processes))
    assert set(os.listdir("/dev/shm")) <= shared_before


async def test_alone_it_is_replayed_to_the_same_text(
    tmp_path: Path, smollm2_checkpoint: Path
) -> None:
    model = checkpoint("large", smollm2_checkpoint, **SIZES, dtype="float32")
    async with whole_service(tmp_path, model) as (service, client):
        options = {"messages": QUESTION, "model": "large", "temperature": 0.0, "max_tokens": 60}
        whole = Stream(client, None, **options)
        await whole.end()
        assert not whole.notices
        stream = Stream(client, None, **options)
        await stream.until(lambda so_far: len(so_far.tokens) >= 5)
        kill_worker(service, "large")
        await stream.end()
    (notice,) = stream.notices
    assert notice.kind == inference_pb2.NOTICE_KIND_MEMBER_REPLAYED
    assert stream.text == whole.text
    assert len(whole.tokens) == 60
