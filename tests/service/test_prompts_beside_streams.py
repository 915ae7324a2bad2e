"""Awkward prompts beside streams that decode: nobody waits for them longer than a few steps.

How long a step takes is measured in the same run. Whatever else this machine does shows as a gap
too, so that the best of some tries counts: what held up the streams would do so in each of them.
With ``-s`` a table is printed.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import grpc
import pytest

from quorate.client import Client
from quorate.v1 import inference_pb2, plan_pb2
from support.command_line import serving
from support.gguf_files import smollm2
from support.gguf_variants import with_pre_tokenizer
from support.stranger import Stranger, stranger

pytestmark = [pytest.mark.slow, pytest.mark.demo_model, pytest.mark.timeout(300)]

DEADLINE_SECONDS = 240.0
MANY_CORES = 8
STREAMS, STEPS_BEFORE, STEPS_AFTER, TRIES = 4, 8, 4, 3
MOST_STEPS = 3.0
MOST_SECONDS = 2.0
"""For a refusal. What is answered is read, and that takes what it takes."""
MOST_TIMES_ALONE = 8.0
"""For an answer, by what it takes while nobody decodes: half of the time is the streams', and what
is read beside them is read in shorter calls."""
PLAN = plan_pb2.Plan(single=plan_pb2.SinglePlan(model="m"))
END_TOKENS = (0, 2)
REFUSED, SERVED = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OK
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
options = {{ context_length = {context}, cells = {cells}, sessions = 8 }}
"""


@dataclass(frozen=True)
class Kind:
    """A model that is asked.

    Attributes:
        pre_tokenizer: Under whose name; "" for the file as it ships.
        served: Offenders that it has room for, and answers.
        left_out: Those that it would read for minutes.
    """

    name: str
    pre_tokenizer: str
    context: int
    cells: int
    served: frozenset[str]
    left_out: frozenset[str] = frozenset()


KINDS = [
    # It splits with the C++ library's regular expressions. Every offender is longer than the
    # context, and refused: what is measured is what that takes.
    Kind("short", "gpt-4o", 512, 4_096, frozenset()),
    Kind(
        "long",
        "",
        8_192,
        16_384,
        frozenset({"spaces", "a chat of 60 turns", "a chat of 300 turns"}),
        frozenset({"a chat of 300 turns"}),
    ),
]


@dataclass(frozen=True)
class Bench:
    """A server with a model."""

    kind: Kind
    address: str


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def bench(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    """SmolLM2, with a context that is short or all that it was trained for."""
    kind: Kind = request.param
    folder: Path = tmp_path_factory.mktemp("server")
    model = smollm2()
    if kind.pre_tokenizer:
        model = with_pre_tokenizer(model, folder, kind.pre_tokenizer)
    config = CONFIG.format(model=model, context=kind.context, cells=kind.cells)
    with serving(folder, config) as running:
        print(f"\n{kind.context} tokens of context: offender, status, s, longest gap in steps")
        yield Bench(kind, running.address)


@dataclass
class Victim:
    """A stream that is read while something else is asked.

    Attributes:
        times: When each of its events came.
    """

    times: list[float] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self, client: Client, seed: int, tokens: int) -> None:
        bias = dict.fromkeys(END_TOKENS, -100.0)
        options = {"model": "m", "max_tokens": tokens, "temperature": 1.0, "logit_bias": bias}
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


def chat_of_turns(turns: int, number: int) -> bytes:
    """A chat that no cache knows yet."""
    roles = itertools.cycle(("user", "assistant"))
    return chat(*[(next(roles), f"Message {number} {turn}: go on.") for turn in range(turns + 1)])


# By the number of the try: what is answered has to be read each time.
OFFENDERS: dict[str, Callable[[int], bytes]] = {
    "line ends": lambda _: text("\r\n" * 60_000),
    "spaces": lambda number: text(f"{number}x" + " " * 39_000),
    "marks": lambda _: text("=!" * 60_000),
    "a million messages": lambda _: chat(*[("user", "")] * 1_000_000),
    "a long role": lambda _: chat(("u" * 1_000_000, "x")),
    "a chat of 60 turns": partial(chat_of_turns, 60),
    "a chat of 300 turns": partial(chat_of_turns, 300),
}


@dataclass(frozen=True)
class Try:
    """What came of an offender.

    Attributes:
        seconds: From its first byte to its status.
        step: What a step of the streams took just before, in seconds.
        gap: The longest that any stream waited from the offender's first byte on, in steps.
    """

    status: grpc.StatusCode
    seconds: float
    step: float
    gap: float


async def tried(sender: Stranger, request: bytes, victims: list[Victim]) -> Try:
    """Sends an offender beside the streams."""
    started = time.perf_counter()
    for victim in victims:
        await victim.steps(STEPS_BEFORE)
    step = statistics.median(victims[0].gaps(started))
    begun: list[float] = []
    status, seconds = await sender.ask(request, lambda: begun.append(time.perf_counter()))
    for victim in victims:
        await victim.steps(STEPS_AFTER)
    gap = max(gap for victim in victims for gap in victim.gaps(begun[0]))
    return Try(status, seconds, step, gap / step)


@pytest.mark.parametrize("name", OFFENDERS)
async def test_no_stream_waits_for_an_awkward_prompt(
    bench: Bench, name: str, tmp_path: Path
) -> None:
    if name in bench.kind.left_out and len(os.sched_getaffinity(0)) < MANY_CORES:
        pytest.skip("4,881 tokens beside four streams: a minute and more on few cores")
    async with stranger(bench.address, tmp_path) as sender:
        await tried_often(bench, name, sender)


async def tried_often(bench: Bench, name: str, sender: Stranger) -> None:
    """Tries an offender until nobody waits for it."""
    kind = bench.kind
    wanted, most_seconds = REFUSED, MOST_SECONDS
    # Made beforehand: a million messages take a second, for which nobody would read the streams.
    requests = [OFFENDERS[name](number) for number in range(TRIES)]
    if name in kind.served:
        wanted, alone = await sender.ask(OFFENDERS[name](TRIES))
        assert wanted is SERVED
        most_seconds = MOST_TIMES_ALONE * alone
        print(f"{name:20} {wanted.name:16} {alone:6.3f} s, alone")

    def good(one: Try) -> bool:
        """Nobody waited long, neither the streams nor the offender."""
        return one.gap <= MOST_STEPS and one.seconds <= most_seconds

    async with Client(bench.address) as client, asyncio.timeout(DEADLINE_SECONDS):
        victims = [Victim() for _ in range(STREAMS)]
        tasks = [
            asyncio.create_task(victim.read(client, seed, min(kind.context, 2_000) - 12))
            for seed, victim in enumerate(victims)
        ]
        tries: list[Try] = []
        while len(tries) < TRIES and not any(good(one) for one in tries):
            tries.append(await tried(sender, requests[len(tries)], victims))
            one = tries[-1]
            print(
                f"{name:20} {one.status.name:16} {one.seconds:6.3f} s, "
                f"step {one.step * 1e3:5.1f} ms, longest gap {one.gap:4.1f} steps"
            )
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert {one.status for one in tries} == {wanted}
    assert any(good(one) for one in tries), tries
    assert all(isinstance(end, asyncio.CancelledError) for end in ends)
