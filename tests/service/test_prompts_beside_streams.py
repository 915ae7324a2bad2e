"""Awkward prompts beside streams that decode: nobody waits for them longer than a few steps.

How long a step takes is measured in the same run. Whatever else this machine does shows as a gap
too, so that the best of some tries counts: what held up the streams would do so in each of them.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from quorate.client import Client
from quorate.v1 import inference_pb2, plan_pb2
from support.command_line import Serving, serving
from support.gguf_files import smollm2
from support.gguf_variants import with_pre_tokenizer

pytestmark = pytest.mark.real_model

DEADLINE_SECONDS = 110.0
STREAMS, STEPS_BEFORE, STEPS_AFTER, TRIES = 4, 8, 4, 3
MOST_STEPS = 3.0
PLAN = plan_pb2.Plan(single=plan_pb2.SinglePlan(model="m"))
GENERATE = "/quorate.v1.InferenceService/Generate"
END_TOKENS = (0, 2)
CONFIG = """
[server]
listen = "127.0.0.1:0"

[ledger]
path = "off"

[routing]
probe = false

[[models]]
id = "m"
model = "{model}"
options = {{ context_length = 512, cells = 4096, sessions = 8 }}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """SmolLM2 under a pre-tokenizer that splits with the C++ library's regular expressions."""
    folder: Path = tmp_path_factory.mktemp("server")
    model = with_pre_tokenizer(smollm2(), folder, "gpt-4o")
    with serving(folder, CONFIG.format(model=model)) as running:
        yield running


@dataclass
class Victim:
    """A stream that is read while something else is asked.

    Attributes:
        times: When each of its events came.
    """

    times: list[float] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self, client: Client, seed: int) -> None:
        bias = dict.fromkeys(END_TOKENS, -100.0)
        options = {"model": "m", "max_tokens": 500, "temperature": 1.0, "logit_bias": bias}
        async for _ in client.generate("Once upon a time", seed=seed, **options):
            self.times.append(time.perf_counter())
            self.news.set()

    async def steps(self, count: int) -> None:
        """Waits until so many more events came."""
        wanted = len(self.times) + count
        while len(self.times) < wanted:
            self.news.clear()
            await self.news.wait()

    def gaps(self, since: float) -> list[float]:
        """Times between events from the last one before a moment on."""
        first = max(index for index, at in enumerate(self.times) if index == 0 or at <= since)
        return [after - before for before, after in itertools.pairwise(self.times[first:])]


def chat(*messages: tuple[str, str]) -> bytes:
    """A request as it stands on the wire, so that this process spends nothing while it is sent."""
    request = inference_pb2.GenerateRequest(plan=PLAN)
    for role, content in messages:
        request.chat.messages.add(role=role, content=content)
    request.stopping.max_tokens = 1
    return request.SerializeToString()


def text(prompt: str) -> bytes:
    """The same of a text."""
    request = inference_pb2.GenerateRequest(prompt=prompt, plan=PLAN)
    request.stopping.max_tokens = 1
    return request.SerializeToString()


TURNS = [("user" if n % 2 == 0 else "assistant", f"Message {n}: go on.") for n in range(301)]
# All of them are longer than the context, and refused: what is measured is what that takes.
OFFENDERS = {
    "line ends": text("\r\n" * 60_000),
    "spaces": text("x" + " " * 39_000),
    "marks": text("=!" * 60_000),
    "a million messages": chat(*[("user", "")] * 1_000_000),
    "a long role": chat(("u" * 1_000_000, "x")),
    "a chat of 300 turns": chat(*TURNS),
}


async def status_of(target: str, request: bytes) -> grpc.StatusCode:
    """How a request ends."""
    options = [("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(target, options=options) as channel:
        call = channel.unary_stream(GENERATE)(request)
        with suppress(grpc.aio.AioRpcError):
            async for _ in call:
                pass
        code: grpc.StatusCode = await call.code()
        return code


async def longest_gap(
    target: str, request: bytes, victims: list[Victim]
) -> tuple[grpc.StatusCode, float]:
    """How a request ends, and the longest that any stream waited from its beginning on."""
    began = time.perf_counter()
    status = await status_of(target, request)
    for victim in victims:
        await victim.steps(STEPS_AFTER)
    return status, max(gap for victim in victims for gap in victim.gaps(began))


@pytest.mark.parametrize("name", OFFENDERS)
async def test_no_stream_waits_for_an_awkward_prompt(server: Serving, name: str) -> None:
    async with Client(server.address) as client, asyncio.timeout(DEADLINE_SECONDS):
        victims = [Victim() for _ in range(STREAMS)]
        tasks = [
            asyncio.create_task(victim.read(client, seed)) for seed, victim in enumerate(victims)
        ]
        waited = []
        for _ in range(TRIES):
            started = time.perf_counter()
            for victim in victims:
                await victim.steps(STEPS_BEFORE)
            step = statistics.median(victims[0].gaps(started))
            status, gap = await longest_gap(server.address, OFFENDERS[name], victims)
            assert status is grpc.StatusCode.INVALID_ARGUMENT
            waited.append(gap / step)
            if waited[-1] <= MOST_STEPS:
                break
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert min(waited) <= MOST_STEPS, f"steps that the longest gap took, by try: {waited}"
    assert all(isinstance(end, asyncio.CancelledError) for end in ends)
