"""Rounds: all that belongs together is loaded at once, and answers in turn.

So a machine whose speed drifts favours nobody. Whoever is not asked idles. What earlier records
hold is not measured again.
"""

from __future__ import annotations

import os
import random
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

from quorate.client import Client, ServiceError
from quorate.errors import CannotRun
from quorate_bench.cases import Case, Setting
from quorate_bench.measuring import Disturbed, measurement, told
from quorate_bench.noise import LoadWatch
from quorate_bench.processes import tree_cpu_seconds
from quorate_bench.records import RecordFile, Records
from quorate_bench.running import Progress, bytes_per_token, measured_cases, ready_again
from quorate_bench.serving import BenchServer, Served, bench_server
from quorate_bench.side_by_side.contract import Peer, Prompt, Side
from quorate_bench.side_by_side.own import own_plan
from quorate_bench.texts import prompt

_START_SECONDS = 600.0
_WARM_TOKENS = 8
_TRIES = 3


Facts = Callable[[Mapping[str, Side], Mapping[str, Served]], Mapping[str, Any]]


def _nothing(sides: Mapping[str, Side], models: Mapping[str, Served]) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class Group:
    """What is measured in turn: a server of ours, and programs of others beside it.

    Attributes:
        setting: Of the server.
        models: Makes what it serves, by name, when the group begins.
        sides: Who answers.
        cases: What each is asked; by plan, which is the name of a side.
        share: Of the time that the run may take.
        facts: What else the record of the server says, from the sides that take part and what is
            served.
    """

    setting: Setting
    models: Callable[[], Mapping[str, Served]]
    sides: tuple[Side, ...]
    cases: tuple[Case, ...]
    share: float
    facts: Facts = _nothing


@dataclass(slots=True)
class Rounds:
    """A run over groups.

    Args:
        groups: One after the other.
        repetitions: Of every case.
        minutes: What all of it may take; what is missing then is left out, and said.
        done: What earlier records hold.
        file: Where new ones go.
        progress: Hears how far it is.
    """

    groups: Sequence[Group]
    repetitions: int
    minutes: float
    done: Records
    file: RecordFile
    progress: Progress
    _measured: set[tuple[Case, int]] = field(init=False)
    _spent: float = 0.0
    _counted: int = 0

    def __post_init__(self) -> None:
        self._measured = measured_cases(self.done)

    async def to_its_end(self) -> None:
        """Measures what is left.

        Raises:
            CannotRun: Quorate itself cannot serve the models.
        """
        for group in self.groups:
            for side in group.sides:
                if side.missing:
                    self._leave_out(group, side, side.missing)
        for group in self.groups:
            if any(self._left(group, _names(group), k) for k in range(self.repetitions)):
                await self._serve(group)
        self.write({"kind": "end", "at": time.time()})

    async def _serve(self, group: Group) -> None:
        deadline = time.monotonic() + 60 * self.minutes * group.share
        self._tell("loading models")
        models = group.models()
        more = group.facts(_names(group), models)
        server_of = bench_server(models, group.setting.cores, _START_SECONDS)
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(server_of)
            client = await stack.enter_async_context(Client(server.address))
            self.write({**_server_record(group.setting, server, models), **more})
            prompts = Prompts(client, next(iter(models)))
            started = await self._start_all(group, server, prompts, stack)
            for repetition in range(self.repetitions):
                await self._round(group, started, repetition, prompts, deadline)

    async def _start_all(
        self, group: Group, server: BenchServer, prompts: Prompts, stack: AsyncExitStack
    ) -> dict[str, Peer]:
        """Those that come up and answer, by name; first answers wait for pages and threads."""
        started: dict[str, Peer] = {}
        for side in _names(group).values():
            self._tell(f"starting {side.name}")
            try:
                peer = await stack.enter_async_context(_start(side, server))
                await peer.answers([await prompts.of(side, _WARM_TOKENS, 0)], _WARM_TOKENS)
            except (CannotRun, Disturbed, OSError) as error:
                self._leave_out(group, side, str(error))
                continue
            started[side.name] = peer
        return started

    async def _round(
        self,
        group: Group,
        started: Mapping[str, Peer],
        repetition: int,
        prompts: Prompts,
        deadline: float,
    ) -> None:
        sides = _names(group)
        cases = self._left(group, started, repetition)
        # Another order each time, so that nobody always follows the same one.
        random.Random(repetition).shuffle(cases)
        for case in cases:
            if time.monotonic() > deadline:
                self._leave_out_case(case, f"no time: {self.minutes:g} minutes are allowed for all")
                continue
            self._tell(f"{case.plan}, {case.concurrency} at once")
            began = time.monotonic()
            await self._measure(started[case.plan], sides[case.plan], case, repetition, prompts)
            self._spent += time.monotonic() - began
            self._counted += 1

    async def _measure(
        self, peer: Peer, side: Side, case: Case, repetition: int, prompts: Prompts
    ) -> None:
        problem = ""
        for attempt in range(_TRIES):
            # Prompts that no earlier answer began with, so that no cache has them.
            first = zlib.crc32(f"{case!r} {repetition} {attempt}".encode()) % 1_000_000
            asked = [
                await prompts.of(side, case.prompt_tokens, first + k)
                for k in range(case.concurrency)
            ]
            watch = LoadWatch(lambda: tree_cpu_seconds(os.getpid()))
            began = time.perf_counter()
            try:
                found = told(await peer.answers(asked, case.answer_tokens), began)
            except Disturbed as error:
                problem = str(error)
                await ready_again(prompts.client, side.models)
                continue
            self.write(measurement(case, repetition, found, watch.load()))
            self._measured.add((case, repetition))
            return
        self._leave_out_case(case, problem)

    def _left(self, group: Group, names: Mapping[str, Any], repetition: int) -> list[Case]:
        return [
            case
            for case in group.cases
            if case.plan in names and (case, repetition) not in self._measured
        ]

    def _tell(self, what: str) -> None:
        total = self.repetitions * sum(
            case.plan in _names(group) for group in self.groups for case in group.cases
        )
        each = self._spent / self._counted if self._counted else 0.0
        self.progress(len(self._measured), total, each * max(0, total - len(self._measured)), what)

    def _leave_out(self, group: Group, side: Side, reason: str) -> None:
        for case in group.cases:
            if case.plan == side.name:
                self._leave_out_case(case, reason)

    def _leave_out_case(self, case: Case, reason: str) -> None:
        record = {"kind": "left_out", **case.told(), "reason": reason}
        if record not in self.done.left_out:
            self.write(record)

    def write(self, record: dict[str, Any]) -> None:
        """Keeps a record, on the disk and here."""
        self.file.write(record)
        self.done.add(record)


class Prompts:
    """Prompts as texts and as ids, each told apart by its number.

    Args:
        client: Of a server that has the models.
        first: Whose ids programs of others are told.
    """

    def __init__(self, client: Client, first: str) -> None:
        self.client = client
        self._first = first
        self._sizes: dict[str, float] = {}

    async def of(self, side: Side, tokens: int, number: int) -> Prompt:
        """A prompt of about so many tokens.

        Raises:
            Disturbed: The model cannot say its tokens.
        """
        model = side.models[0] if side.models else self._first
        try:
            if model not in self._sizes:
                self._sizes[model] = await bytes_per_token(self.client, model)
            text = prompt(tokens, self._sizes[model], number)
            found = await self.client.tokenize(model, text)
        except ServiceError as error:
            raise Disturbed(str(error)) from error
        return Prompt(text, tuple(found.tokens))


def _names(group: Group) -> dict[str, Side]:
    """Sides that can take part."""
    return {side.name: side for side in group.sides if not side.missing}


def _start(side: Side, server: BenchServer) -> AbstractAsyncContextManager[Peer]:
    if side.plan is not None:
        return own_plan(server.address, side.plan)
    assert side.start is not None
    return side.start()


def _server_record(
    setting: Setting, server: BenchServer, models: Mapping[str, Served]
) -> dict[str, Any]:
    return {
        "kind": "server",
        **asdict(setting),
        "load_seconds": {name: round(value, 3) for name, value in server.load_seconds.items()},
        "memory_bytes": server.memory_bytes(),
        "file_bytes": {name: model.file_bytes() for name, model in models.items()},
    }
