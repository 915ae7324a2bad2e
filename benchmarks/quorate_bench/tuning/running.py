"""Measures what the search asks for, repetition by repetition, and records it at once."""

from __future__ import annotations

import random
import time
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from quorate.client import Client, ServiceError
from quorate.errors import CannotRun
from quorate_bench.cases import Case, Setting
from quorate_bench.measuring import Disturbed, measure, timed_answer
from quorate_bench.noise import Load, LoadWatch
from quorate_bench.quality import measure_quality
from quorate_bench.records import RecordFile
from quorate_bench.running import Progress, bytes_per_token, ready_again
from quorate_bench.serving import configured_server
from quorate_bench.sweep import BenchPlan, Quality
from quorate_bench.texts import prompt
from quorate_bench.tuning.configuration import Configuration, plan_with, server_part
from quorate_bench.tuning.facts import TunedCase
from quorate_bench.tuning.records import TuneRecords, block_record
from quorate_bench.tuning.search import AS_IT_IS, Block, Limits, Outcome, Step, advance
from quorate_bench.tuning.servers import MOST_SERVERS, Running, Servers
from quorate_bench.tuning.space import Space
from quorate_bench.tuning.variants import Variant

_TRIES = 3
_START_SECONDS = 600.0
_WARM_TOKENS = 8
_BITS_BYTES = 800
# Prompts whose numbers differ by this have the same sentences behind another beginning.
_SAME_SENTENCES = 48

GOALS = ("time", "energy")


@dataclass(slots=True)
class TuneRun:
    """A search on this machine.

    Args:
        space: What is tried.
        configuration: As the user has it.
        limits: How long it may be.
        goal: ``time`` or ``energy``.
        done: What earlier records hold.
        file: Where new ones go.
        progress: Hears how far it is.
    """

    space: Space
    configuration: Configuration
    limits: Limits
    goal: str
    done: TuneRecords
    file: RecordFile
    progress: Progress
    _cases: dict[str, TunedCase] = field(init=False)
    _sizes: dict[str, float] = field(default_factory=dict)
    _loads: list[Load] = field(default_factory=list)
    _asked: int = 0
    _measured: int = 0
    _left: int = 0

    def __post_init__(self) -> None:
        self._cases = {case.name: case for case in self.space.subject.cases()}

    async def to_its_end(self) -> Outcome:
        """Measures until the search is over.

        Raises:
            CannotRun: The configuration as it is cannot be measured.
        """
        async with self._servers() as servers:
            while isinstance(step := advance(self.space, self.done.blocks, self.limits), Step):
                await self._repeat(servers, step)
            if step.verification is not None and step.verification.holds:
                await self._compare_quality(servers, step.best)
        return step

    def _servers(self) -> Servers:
        subject = self.space.subject
        models = tuple(model.id for model in subject.models)

        def start(variant: Variant) -> Any:
            text = self.configuration.served(variant, models)
            return configured_server(text, len(models), subject.machine_cores, _START_SECONDS)

        def loading() -> None:
            self._tell(f"loading {', '.join(models)}", self._left)

        return Servers(
            start, self.space.memory_bytes, subject.available_bytes,
            1 if subject.one_server else MOST_SERVERS, self.space.pins, loading,
        )  # fmt: skip

    async def _repeat(self, servers: Servers, step: Step) -> None:
        """Measures every variant once, in another order each time."""
        began = time.monotonic()
        order = list(step.variants)
        random.Random(f"{step.race} {step.repetition}").shuffle(order)
        values: dict[Variant, Mapping[str, float]] = {}
        problems: dict[Variant, str] = {}
        self._loads = []
        for index, variant in enumerate(order):
            left = step.left + (len(order) - index) * len(step.cases)
            try:
                values[variant] = {
                    name: await self._value(servers, variant, self._cases[name], step, left - at)
                    for at, name in enumerate(step.cases)
                }
            except CannotRun as error:
                if variant == AS_IT_IS or variant == step.base:
                    raise
                problems[variant] = error.problem
        block = Block(step.race, step.base, values, problems, time.monotonic() - began)
        record = block_record(block, self._loads, time.time())
        self.file.write(record)
        self.done.add(record)

    async def _value(
        self, servers: Servers, variant: Variant, case: TunedCase, step: Step, left: int
    ) -> float:
        """What one case takes: seconds until all of its answers are there, or joules.

        Raises:
            CannotRun: It cannot be measured, after some tries.
        """
        problem = ""
        # Also while a server is started for it.
        self._left = left
        for _ in range(_TRIES):
            running, moved = await servers.use(server_part(variant))
            self._tell(f"{step.race}: {case.name}", left)
            try:
                return await self._once(running, variant, case, step.repetition, moved=moved)
            except (Disturbed, ServiceError) as error:
                problem = str(error)
            try:
                await ready_again(running.client, case.plan.models)
            except (CannotRun, ServiceError):
                # It is begun anew with the next try.
                await servers.end(server_part(variant))
        raise CannotRun("tune", f"{case.name} cannot be measured: {problem}")

    async def _once(
        self,
        running: Running,
        variant: Variant,
        case: TunedCase,
        repetition: int,
        *,
        moved: bool,
    ) -> float:
        plan = plan_with(case.plan, variant)
        client, work = running.client, self.space.subject.workload
        size = await self._size(client, case.plan.models[0])
        kind = Case(case.plan.name, Setting(0, 0, ""), case.concurrency, work.prompt_tokens,
                    work.answer_tokens)  # fmt: skip
        known: Hashable = case.name, variant
        if known not in running.warm:
            # Who drafts how far, and who has which cores, is learned with the first answers.
            await measure(client, kind, plan, self._prompts(repetition, case, size))
            running.warm.add(known)
        elif moved:
            await timed_answer(client, self._prompts(repetition, case, size)[0], plan, _WARM_TOKENS)
        server = running.server
        watch = LoadWatch(lambda: time.process_time() + server.cpu_seconds())
        found = await measure(client, kind, plan, self._prompts(repetition, case, size))
        if load := watch.load():
            self._loads.append(load)
        self._measured += 1
        if self.goal == "energy":
            return joules_of(found, kind)
        return seconds_of(found, kind)

    def _prompts(self, repetition: int, case: TunedCase, size: float) -> list[str]:
        """Texts that are the same for all variants but for their beginning, which no cache has."""
        tokens = self.space.subject.workload.prompt_tokens
        found = []
        for index in range(case.concurrency):
            self._asked += 1
            sentences = (repetition + 7 * index) % _SAME_SENTENCES
            found.append(prompt(tokens, size, sentences + _SAME_SENTENCES * self._asked))
        return found

    async def _size(self, client: Client, model: str) -> float:
        if model not in self._sizes:
            self._sizes[model] = await bytes_per_token(client, model)
        return self._sizes[model]

    async def _compare_quality(self, servers: Servers, best: Variant) -> None:
        """Bits per byte as it is and with the proposal, where that may change answers."""
        if not self.space.subject.other_answers:
            return
        for proposal, variant in ((False, AS_IT_IS), (True, best)):
            if proposal in self.done.qualities:
                continue
            running, _ = await servers.use(server_part(variant))
            bits = {}
            for plan in self.space.subject.plans:
                self._tell(f"how well {plan.name} predicts", 1)
                asked = BenchPlan(plan.name, _scorable(plan_with(plan, variant)), plan.models)
                found = await measure_quality(running.client, asked, Quality(), _BITS_BYTES)
                if found["bits_per_byte"] is not None:
                    bits[plan.name] = found["bits_per_byte"]
            record = {"kind": "quality", "proposal": proposal, "bits_per_byte": bits}
            self.file.write(record)
            self.done.add(record)

    def _tell(self, what: str, left: int) -> None:
        self._left = left
        spent = sum(block.seconds for block in self.done.blocks)
        counted = sum(len(v) for block in self.done.blocks for v in block.values.values())
        allowed = max(0.0, self.limits.seconds - spent)
        seconds = min(left * spent / counted, allowed) if counted else allowed
        done = max(counted, self._measured)
        self.progress(done, done + left, seconds, what)


def seconds_of(found: Mapping[str, Any], case: Case) -> float:
    """Seconds until all answers are there, as if each had been as long as it may be.

    Args:
        found: A measurement, see ``measure``.
        case: Of which.
    """
    if found["tokens"] >= case.concurrency * case.answer_tokens:
        return float(found["seconds"])
    # The longest wait for a first token, and the rest of an answer behind it.
    first_ms, token_ms = float(max(found["first_ms"])), fmean(found["gaps_ms"])
    return 1e-3 * (first_ms + (case.answer_tokens - 1) * token_ms)


def joules_of(found: Mapping[str, Any], case: Case) -> float:
    """Joules of an answer, as if it had been as long as it may be.

    Args:
        found: A measurement, see ``measure``.
        case: Of which.

    Raises:
        CannotRun: Nobody knows them here.
    """
    if not found["joules"]:
        raise CannotRun("tune", "the energy of answers is not known here; tune for time")
    return case.answer_tokens * float(found["joules"]) / float(found["tokens"])


def _scorable(options: Mapping[str, Any]) -> dict[str, Any]:
    """What is asked for by its name keeps one of several answers, and gives no distribution."""
    return {"stages": []} if "profile" in options else dict(options)
