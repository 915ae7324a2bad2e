"""A service inside the benchmark's own process, asked without a wire."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

from streams import tokens_per_second

from quorate.app.service import Service, running
from quorate.fleet.status import ModelState
from quorate.request import (
    Delta,
    Plan,
    Request,
    ResponseOptions,
    SamplingOptions,
    StoppingOptions,
    TextPrompt,
    WeightedModel,
)
from quorate.settings import parse_settings
from quorate_registry import Registry


class LocalService:
    """Its dispatcher, driven by the caller.

    Args:
        runner: Runs its event loop.
        service: With every model ready.
    """

    def __init__(self, runner: asyncio.Runner, service: Service) -> None:
        self._runner = runner
        self._service = service

    def throughput(self, prompt: str, model: str, tokens: int, streams: int) -> float:
        """Tokens per second of several voted streams; see ``streams.tokens_per_second``."""

        async def run() -> list[list[float]]:
            return await asyncio.gather(
                *(self._token_times(prompt, model, tokens) for _ in range(streams))
            )

        return tokens_per_second(self._runner.run(run()))

    async def _token_times(self, prompt: str, model: str, tokens: int) -> list[float]:
        request = Request(
            prompt=TextPrompt(prompt),
            plan=Plan((WeightedModel(model),)),
            sampling=SamplingOptions(temperature=0.0),
            stopping=StoppingOptions(max_tokens=tokens),
            # Shown votes make it a vote: without them one member would draw by itself.
            response=ResponseOptions(member_votes=True),
        )
        times: list[float] = []
        async for event in self._service.dispatcher.generate(request):
            if isinstance(event, Delta):
                times += [time.perf_counter()] * len(event.tokens)
        if len(times) < tokens:
            raise RuntimeError(f"the answer ended after {len(times)} tokens; take another prompt")
        return times


@contextmanager
def local_service(config: dict[str, Any], cores: Sequence[int]) -> Iterator[LocalService]:
    """Runs a service on some cores until its models are ready."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        stack = AsyncExitStack()
        settings = parse_settings(config, Path(folder))
        service = runner.run(stack.enter_async_context(running(settings, Registry(Path(folder)))))
        try:
            runner.run(_all_ready(service))
            yield LocalService(runner, service)
        finally:
            runner.run(stack.aclose())
            os.sched_setaffinity(0, before)


async def _all_ready(service: Service) -> None:
    waiting = {status.id for status in service.fleet.list()}
    async for status in service.fleet.watch():
        if status.state is ModelState.FAILED:
            raise RuntimeError(f"{status.id}: {status.message}")
        if status.state is ModelState.READY:
            waiting.discard(status.id)
        if not waiting:
            return
