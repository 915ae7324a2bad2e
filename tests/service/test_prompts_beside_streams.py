"""Awkward prompts beside streams that decode: nobody waits for them longer than a few steps."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from quorate.client import Client
from support.command_line import Serving, serving
from support.gguf_files import smollm2
from support.gguf_variants import with_pre_tokenizer
from quorate.v1 import inference_pb2, plan_pb2

pytestmark = pytest.mark.real_model

DEADLINE_SECONDS = 60.0
STREAMS, STEPS_BEFORE, STEPS_AFTER = 4, 12, 12
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
options = {{ context_length = 4096, cells = 16384, sessions = 8 }}
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
        async for _ in client.generate(
            "Once upon a time", model="m", max_tokens=2000, temperature=1.0, seed=seed, logit_bias=bias
        ):
            self.times.append(time.perf_counter())
            self.news.set()

    async def steps(self, count: int) -> None:
        """Waits until so many events came."""
        while len(self.times) < count:
            self.news.clear()
            await self.news.wait()

    def gaps(self, since: float) -> list[float]:
        """Times between events from the last one before a moment on."""
        first = max(index for index, at in enumerate(self.times) if at <= since)
        return [after - before for before, after in itertools.pairwise(self.times[first:])]


def chat(*messages: tuple[str, str]) -> bytes:
    """A request as it stands on the wire, so that this process spends nothing while it is sent."""
    request = inference_pb2.GenerateRequest(plan=plan_pb2.Plan(single=plan_pb2.SinglePlan(model="m")))
    for role, content in messages:
        request.chat.messages.add(role=role, content=content)
    request.stopping.max_tokens = 1
    return request.SerializeToString()


def text(prompt: str) -> bytes:
    request = inference_pb2.GenerateRequest(
        prompt=prompt, plan=plan_pb2.Plan(single=plan_pb2.SinglePlan(model="m"))
    )
    request.stopping.max_tokens = 1
    return request.SerializeToString()


TURNS = [("user" if n % 2 == 0 else "assistant", f"Message {n}: tell me more.") for n in range(301)]
OFFENDERS = {
    "line ends": (text("\r\n" * 60_000), grpc.StatusCode.INVALID_ARGUMENT),
    "line feeds": (text("x" + "\n" * 120_000), grpc.StatusCode.INVALID_ARGUMENT),
    "spaces": (text("x" + " " * 39_000), grpc.StatusCode.OK),
    "letters": (text("a" * 190_000), grpc.StatusCode.INVALID_ARGUMENT),
    "marks": (text("=!" * 60_000), grpc.StatusCode.INVALID_ARGUMENT),
    "a million messages": (chat(*[("user", "")] * 1_000_000), grpc.StatusCode.INVALID_ARGUMENT),
    "many messages": (chat(*[("u", "")] * 12_000), grpc.StatusCode.INVALID_ARGUMENT),
    "a long role": (chat(("u" * 1_000_000, "x")), grpc.StatusCode.INVALID_ARGUMENT),
    "a chat of 300 turns": (chat(*TURNS), None),
    "prose": (text("The sun, the moon and the stars. " * 30_000), grpc.StatusCode.INVALID_ARGUMENT),
}


async def asked(target: str, request: bytes) -> tuple[grpc.StatusCode, float]:
    """The status of a request, and the seconds it took."""
    async with grpc.aio.insecure_channel(
        target, options=[("grpc.max_send_message_length", -1)]
    ) as channel:
        began = time.perf_counter()
        call = channel.unary_stream(GENERATE)(request)
        try:
            async for _ in call:
                pass
        except grpc.aio.AioRpcError:
            pass
        return await call.code(), time.perf_counter() - began


@pytest.mark.parametrize("name", OFFENDERS)
async def test_no_stream_waits_for_an_awkward_prompt(server: Serving, name: str) -> None:
    request, expected = OFFENDERS[name]
    async with Client(server.address) as client, asyncio.timeout(DEADLINE_SECONDS):
        victims = [Victim() for _ in range(STREAMS)]
        tasks = [
            asyncio.create_task(victim.read(client, seed)) for seed, victim in enumerate(victims)
        ]
        for victim in victims:
            await victim.steps(STEPS_BEFORE)
        began = time.perf_counter()
        status, _ = await asked(server.address, request)
        for victim in victims:
            await victim.steps(len(victim.times) + STEPS_AFTER)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if expected is not None:
        assert status is expected
    for victim in victims:
        before = statistics.median(victim.gaps(victim.times[2])[: STEPS_BEFORE - 3])
        print(name, f"{before * 1e3:.1f} ms a step, longest gap {max(victim.gaps(began)) / before:.1f} steps")
