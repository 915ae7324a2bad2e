"""A tuning from a configuration to its outcome, begun or gone on with."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from quorate.errors import SettingsError
from quorate_bench.bench import known_versions, refuse_other_machine
from quorate_bench.machine import MachineFacts, measured_machine
from quorate_bench.noise import verdict
from quorate_bench.records import RecordFile
from quorate_bench.running import Progress
from quorate_bench.tuning.configuration import Configuration
from quorate_bench.tuning.records import SCHEMA, TuneRecords, read_tune_records
from quorate_bench.tuning.running import TuneRun
from quorate_bench.tuning.search import AS_IT_IS, PROPOSAL, Limits, Outcome
from quorate_bench.tuning.space import Space


class Tuning:
    """A search on this machine, with what was recorded of it so far.

    Args:
        space: What is tried.
        configuration: As the user has it.
        limits: How long it may be.
        goal: ``time`` or ``energy``.
        hashes: SHA-256 of the models' files, by id.
        path: Where records are kept.
        commit: That the program was built from; "" where it is not known.

    Raises:
        SettingsError: The records that are there are of something else.
    """

    def __init__(
        self,
        space: Space,
        configuration: Configuration,
        limits: Limits,
        goal: str,
        hashes: Mapping[str, str],
        path: Path,
        commit: str,
    ) -> None:
        self.goal = goal
        self.configuration = configuration
        self.path = path
        self._limits = limits
        self.resumed = path.exists() and path.stat().st_size > 0
        if self.resumed:
            self.records = read_tune_records(path)
            machine = _machine(self.records, path)
            refuse_other_machine(machine, path)
            # What fits is decided once, or the search would not come by the same way.
            available = float(self.records.run["available_bytes"])
            space = replace(space, subject=replace(space.subject, available_bytes=available))
        else:
            machine = measured_machine()
        self.space = space
        header = self._header(machine, hashes, commit)
        if self.resumed:
            _refuse_other(self.records.run, header, path)
        else:
            self.records = TuneRecords(header)

    async def run(self, progress: Progress) -> Outcome:
        """Measures what the records lack.

        Raises:
            CannotRun: The configuration as it is cannot be measured.
        """
        with RecordFile(self.path, self.records.run) as file:
            run = TuneRun(
                self.space, self.configuration, self._limits, self.goal, self.records, file,
                progress,
            )  # fmt: skip
            return await run.to_its_end()

    def noise(self) -> str:
        """What speaks against what was measured; "" where nothing does."""
        blocks = [one for one in self.records.blocks if one.race == PROPOSAL]
        values: dict[str, list[float]] = {}
        for block in blocks or self.records.blocks:
            for case, value in block.values.get(AS_IT_IS, {}).items():
                values.setdefault(case, []).append(value)
        return verdict(self.records.loads, list(values.values()))

    def _header(
        self, machine: MachineFacts, hashes: Mapping[str, str], commit: str
    ) -> dict[str, Any]:
        subject = self.space.subject
        models = [model.id for model in subject.models]
        served = self.configuration.served(AS_IT_IS, tuple(models))
        plans = [{"name": plan.name, **plan.options} for plan in subject.plans]
        told = {
            "kind": "tune",
            "schema": SCHEMA,
            "at": time.time(),
            "machine": asdict(machine),
            "versions": known_versions(),
            "commit": commit,
            "models": {name: hashes.get(name, "") for name in models},
            "configuration": hashlib.sha256(served.encode()).hexdigest(),
            "plans": plans,
            "workload": asdict(subject.workload),
            "goal": self.goal,
            "settings": [one.name for one in self.space.dimensions],
            "other_answers": subject.other_answers,
            "available_bytes": subject.available_bytes,
        }
        # Tuples and lists are the same in JSON.
        found: dict[str, Any] = json.loads(json.dumps(told))
        return found


def _machine(records: TuneRecords, path: Path) -> MachineFacts:
    try:
        return MachineFacts.of(records.run["machine"])
    except (KeyError, TypeError) as error:
        raise SettingsError(f"{path}: line 1: tells of no machine; see docs/tune.md") from error


def _refuse_other(old: Mapping[str, Any], new: Mapping[str, Any], path: Path) -> None:
    for name, what in (
        ("configuration", "another configuration"),
        ("plans", "other plans"),
        ("workload", "other prompts, answers or callers"),
        ("goal", "another goal"),
        ("settings", "other settings to try"),
        ("other_answers", "other settings to try"),
        ("models", "other models"),
        ("versions", "other versions"),
        ("commit", "another commit"),
    ):
        if old.get(name) != new[name]:
            advice = "give another --output, or --restart"
            raise SettingsError(f"{path}: holds records of {what}; {advice}")
