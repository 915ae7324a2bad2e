"""One run: servers one after the other, repetitions interleaved, every result recorded at once.

A run that ended too early goes on from its records: what they hold is not measured again.
"""

from __future__ import annotations

import random
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from quorate.client import Client, ServiceError
from quorate.errors import CannotRun, ModelUnusable
from quorate_bench.cases import Case, Setting, by_setting, case_of
from quorate_bench.machine import MachineFacts
from quorate_bench.measuring import Disturbed, measure, measurement, timed_answer
from quorate_bench.noise import LoadWatch
from quorate_bench.planning import LeftOut, ModelFacts, Planned, case_seconds, remaining_seconds
from quorate_bench.quality import measure_quality
from quorate_bench.records import RecordFile, Records
from quorate_bench.serving import BenchServer, Served, bench_server
from quorate_bench.sweep import BenchPlan, Sweep
from quorate_bench.texts import prompt, sample

_TRIES = 3
_START_SECONDS = 600.0
_WARM_TOKENS = 8
_SLACK = 1.25
# Other texts have more tokens a byte than the sample.
_TEXT_SHARE = 0.6

Progress = Callable[[int, int, float, str], None]
"""Called with what is done, all there is, seconds that are left, and what is measured."""

Quantise = Callable[[Path, str], Path]
"""Makes a model of another type, or finds one that was made before."""


@dataclass(slots=True)
class Run:
    """A run of a sweep.

    Args:
        sweep: What is measured.
        machine: This one.
        models: Facts by the sweep's names.
        planned: What of it.
        done: What earlier records hold.
        file: Where new ones go.
        quantise: Makes models of another type.
        progress: Hears how far it is.
    """

    sweep: Sweep
    machine: MachineFacts
    models: Mapping[str, ModelFacts]
    planned: Planned
    done: Records
    file: RecordFile
    quantise: Quantise
    progress: Progress
    _plans: dict[str, BenchPlan] = field(init=False)
    _measured: set[tuple[Case, int]] = field(init=False)
    _spent: float = 0.0
    _expected: float = 0.0
    _began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._plans = {plan.name: plan for plan in self.sweep.plans}
        self._measured = measured_cases(self.done)

    async def to_its_end(self) -> None:
        """Measures what is left.

        Where the models cannot be served at a further setting, such as a longer context, its cases
        are left out.

        Raises:
            CannotRun: The models of the base setting cannot be served, or records not be written.
        """
        base = self.planned.cases[0].setting if self.planned.cases else None
        for left_out in self.planned.left_out:
            self._leave_out(left_out)
        for setting, cases in by_setting(self.planned.cases).items():
            left = [
                (case, repetition)
                for repetition in range(self.sweep.measure.repetitions)
                for case in _shuffled(cases, repetition)
                if (case, repetition) not in self._measured
            ]
            missing = self._missing_qualities(setting)
            if not left and not missing:
                continue
            try:
                await self._serve(setting, left, missing)
            except (CannotRun, ModelUnusable) as error:
                if setting == base or self.file.failed:
                    raise
                for case in cases:
                    self._leave_out(LeftOut(case, str(error)))
        self.write({"kind": "end", "at": time.time()})

    async def _serve(
        self, setting: Setting, left: Sequence[tuple[Case, int]], missing: Sequence[BenchPlan]
    ) -> None:
        paths = {
            name: self.quantise(path, setting.quantisation) if setting.quantisation else path
            for name, path in self.sweep.models.items()
        }
        self._tell(f"loading {', '.join(paths)}")
        models = {
            name: Served(
                path, options={"context_length": self.models[name].context(setting.context_length)}
            )
            for name, path in paths.items()
        }
        served = bench_server(models, setting.cores, _START_SECONDS)
        async with served as server, Client(server.address) as client:
            memory = server.memory_bytes()
            self.write(
                {
                    "kind": "server",
                    "cores": setting.cores,
                    "context_length": setting.context_length,
                    "quantisation": setting.quantisation,
                    "load_seconds": {k: round(v, 3) for k, v in server.load_seconds.items()},
                    "memory_bytes": memory,
                    "file_bytes": {name: path.stat().st_size for name, path in paths.items()},
                }
            )
            sizes = {name: await bytes_per_token(client, name) for name in self.sweep.models}
            await self._warm(client, left)
            # How fast and how good every plan is tells more than a second repetition of one does.
            base = self.planned.cases[0]
            first = [one for one in left if (replace(one[0], plan=base.plan), one[1]) == (base, 0)]
            await self._repeat(client, server, first, sizes)
            await self._judge(client, setting, missing, sizes)
            rest = [one for one in left if one not in first]
            await self._repeat(client, server, rest, sizes)

    async def _repeat(
        self,
        client: Client,
        server: BenchServer,
        left: Sequence[tuple[Case, int]],
        sizes: Mapping[str, float],
    ) -> None:
        for case, repetition in left:
            if self._too_late():
                self._leave_out(LeftOut(case, f"no time for repetition {repetition + 1}"))
                continue
            await self._measure(client, server, case, repetition, sizes)

    async def _judge(
        self,
        client: Client,
        setting: Setting,
        plans: Sequence[BenchPlan],
        sizes: Mapping[str, float],
    ) -> None:
        held = [model.context_length * sizes[model.id] for model in await client.models()]
        for plan in plans:
            if self._too_late():
                return
            self._tell(f"how well {plan.name} predicts")
            most_bytes = int(_TEXT_SHARE * min(held))
            found = await measure_quality(client, plan, self.sweep.quality, most_bytes)
            self.write({"kind": "quality", "plan": plan.name,
                        "quantisation": setting.quantisation, **found})  # fmt: skip

    async def _measure(
        self,
        client: Client,
        server: BenchServer,
        case: Case,
        repetition: int,
        sizes: Mapping[str, float],
    ) -> None:
        plan = self._plans[case.plan]
        size = sizes[plan.models[0]]
        self._tell(f"{case.plan}, {case.concurrency} at once")
        began = time.monotonic()
        problem = ""
        for attempt in range(_TRIES):
            # Prompts that no earlier answer began with, so that no cache has them.
            first = ((repetition * _TRIES + attempt) * 1009 + _number(case)) % 1_000_000
            prompts = [prompt(case.prompt_tokens, size, first + k) for k in range(case.concurrency)]
            watch = LoadWatch(lambda: time.process_time() + server.cpu_seconds())
            try:
                found = await measure(client, case, plan.options, prompts)
            except (Disturbed, ServiceError) as error:
                problem = str(error)
                await ready_again(client, plan.models)
                continue
            load = watch.load()
            self.write(measurement(case, repetition, found, load))
            self._measured.add((case, repetition))
            self._spent += time.monotonic() - began
            self._expected += case_seconds(case, plan, self.models, self.machine)
            return
        self._leave_out(LeftOut(case, problem))

    async def _warm(self, client: Client, left: Sequence[tuple[Case, int]]) -> None:
        """First answers wait for pages and threads that later ones find."""
        for name in dict.fromkeys(case.plan for case, _ in left):
            self._tell(f"warming up {name}")
            try:
                await timed_answer(client, sample(), self._plans[name].options, _WARM_TOKENS)
            except (Disturbed, ServiceError):
                # Why it cannot answer is recorded where it is measured.
                continue

    def _missing_qualities(self, setting: Setting) -> list[BenchPlan]:
        """Plans that are measured and not judged yet; neither cores nor context matter to that."""
        first = next(one.setting for one in self.planned.cases
                     if one.setting.quantisation == setting.quantisation)  # fmt: skip
        if setting != first:
            return []
        kind = setting.quantisation
        known = {one["plan"] for one in self.done.qualities if one["quantisation"] == kind}
        named = {one.plan for one in self.planned.cases if one.setting.quantisation == kind}
        return [plan for plan in self.sweep.plans if plan.name in named - known]

    def _too_late(self) -> bool:
        """Whether what is allowed is over; estimates that were wrong must not end a run early."""
        return self._allowed_seconds <= 0

    @property
    def _allowed_seconds(self) -> float:
        allowed = _SLACK * 60 * self.sweep.measure.minutes
        return allowed - (time.monotonic() - self._began)

    def _tell(self, what: str) -> None:
        repetitions = self.sweep.measure.repetitions
        wanted = [(case, k) for case in self.planned.cases for k in range(repetitions)]
        left = [case for case, k in wanted if (case, k) not in self._measured]
        factor = self._spent / self._expected if self._expected else 1.0
        seconds = remaining_seconds(left, self._plans, self.models, self.machine, factor)
        seconds = min(seconds, max(0.0, self._allowed_seconds))
        self.progress(len(wanted) - len(left), len(wanted), seconds, what)

    def _leave_out(self, left_out: LeftOut) -> None:
        record = {"kind": "left_out", **left_out.case.told(), "reason": left_out.reason}
        if record not in self.done.left_out:
            self.write(record)

    def write(self, record: dict[str, Any]) -> None:
        """Keeps a record, on the disk and here."""
        self.file.write(record)
        self.done.add(record)


def measured_cases(records: Records) -> set[tuple[Case, int]]:
    """What records hold, with the repetition."""
    return {(case_of(one), int(one["repetition"])) for one in records.measurements}


async def bytes_per_token(client: Client, model: str) -> float:
    """How long a token of a model's tokenizer is, in our texts.

    Raises:
        ServiceError: The server does not say.
    """
    text = sample()
    found = await client.tokenize(model, text)
    return len(text.encode()) / max(1, len(found.tokens))


async def ready_again(client: Client, models: Sequence[str]) -> None:
    """Waits for models whose workers died.

    Raises:
        CannotRun: One does not come back.
    """
    for model in models:
        try:
            await client.load(model)
        except ServiceError as error:
            raise CannotRun(model, f"does not come back: {error}") from error


def _shuffled(cases: Sequence[Case], repetition: int) -> list[Case]:
    """Another order in each repetition, so that no case always follows the same one."""
    found = list(cases)
    random.Random(repetition).shuffle(found)
    return found


def _number(case: Case) -> int:
    return zlib.crc32(repr(case).encode())
