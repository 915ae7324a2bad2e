"""Vocabularies that are compared before anybody asks."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from quorate.app import comparing
from quorate.engines.near_equal import disagreement
from quorate.engines.vocabulary import Vocabulary
from support.whole_service import scripted, whole_service


async def test_models_that_arrive_are_compared_once_and_beside_the_loop(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []
    done = asyncio.Event()
    loop = asyncio.get_running_loop()

    def watched(pair: tuple[Vocabulary, Vocabulary]) -> str:
        assert threading.current_thread() is not threading.main_thread()
        asked.append(tuple(one.fingerprint for one in pair))
        if len(asked) == 2:
            loop.call_soon_threadsafe(done.set)
        return disagreement(pair)

    monkeypatch.setattr(comparing, "disagreement", watched)
    models = [scripted("a"), scripted("b", vocabulary="words"), scripted("c")]
    async with whole_service(tmp_path, *models):
        async with asyncio.timeout(30):
            await done.wait()
    # Two of the three are equal, which their fingerprints tell.
    assert sorted(asked) == sorted({asked[0], asked[0][::-1]})
