"""A run from its sweep to its records, begun or gone on with."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from quorate.costs.machine import this_machine
from quorate.errors import SettingsError
from quorate_bench.machine import MachineFacts, available_bytes, measured_machine
from quorate_bench.planning import ModelFacts, Planned, planned
from quorate_bench.records import SCHEMA, RecordFile, Records, read_records
from quorate_bench.running import Progress, Quantise, Run
from quorate_bench.sweep import Sweep

_PACKAGES = ("quorate", "llama-cpp-python", "vllm", "numpy", "grpcio")


class Bench:
    """A sweep on this machine, with what was recorded of it so far.

    Args:
        sweep: What shall be measured.
        models: Facts of its models, by its names.
        hashes: SHA-256 of their files, by its names.
        path: Where records are kept.
        commit: That the program was built from; "" where it is not known.

    Raises:
        SettingsError: The records that are there are of another sweep, machine or version.
    """

    def __init__(
        self,
        sweep: Sweep,
        models: Mapping[str, ModelFacts],
        hashes: Mapping[str, str],
        path: Path,
        commit: str,
    ) -> None:
        self._sweep = sweep
        self._models = models
        self._path = path
        begun = begin(path, sweep.told(), models, hashes, commit)
        self.records, self.machine, self.resumed = begun.records, begun.machine, begun.resumed
        self.planned: Planned = planned(sweep, self.machine, models, available_bytes())

    async def run(self, quantise: Quantise, progress: Progress) -> None:
        """Measures what the records lack.

        Raises:
            CannotRun: The models cannot be served.
        """
        with RecordFile(self._path, self.records.run) as file:
            run = Run(
                self._sweep, self.machine, self._models, self.planned, self.records, file,
                quantise, progress,
            )  # fmt: skip
            await run.to_its_end()


@dataclass(frozen=True, slots=True)
class Begun:
    """Records of a run, new ones or those that are gone on with.

    Attributes:
        machine: That they are of.
        resumed: Whether they were there before.
    """

    records: Records
    machine: MachineFacts
    resumed: bool


def begin(
    path: Path,
    sweep: Mapping[str, Any],
    models: Mapping[str, ModelFacts],
    hashes: Mapping[str, str],
    commit: str,
) -> Begun:
    """Reads the records that are there, or measures the machine for new ones.

    Args:
        path: Where records are kept.
        sweep: What is measured, as JSON has it.
        models: Facts of the models, by name.
        hashes: SHA-256 of their files, by name.
        commit: That the program was built from; "" where it is not known.

    Raises:
        SettingsError: The records that are there are of another sweep, machine or version.
    """
    resumed = path.exists() and path.stat().st_size > 0
    if resumed:
        records = read_records(path)
        machine = MachineFacts.of(records.run["machine"])
        refuse_other_machine(machine, path)
    else:
        machine = measured_machine()
    header = {
        "kind": "run",
        "schema": SCHEMA,
        "at": time.time(),
        "machine": asdict(machine),
        "versions": known_versions(),
        "commit": commit,
        "models": {name: {"sha256": hashes[name], **asdict(one)} for name, one in models.items()},
        "sweep": dict(sweep),
    }
    if resumed:
        _refuse_other(records.run, header, path)
    else:
        records = Records(header)
    return Begun(records, machine, resumed)


def known_versions() -> dict[str, str]:
    """Versions of the packages that decide how fast models are, as far as they are installed."""
    return {name: found for name in _PACKAGES if (found := _version(name))}


def _refuse_other(old: Mapping[str, Any], new: Mapping[str, Any], path: Path) -> None:
    """Records of two machines or versions in one file would be compared as if they were one.

    Raises:
        SettingsError: What differs, and what to do.
    """
    for name, what in (
        ("sweep", "of another sweep"),
        ("models", "of other models"),
        ("versions", "of other versions"),
        ("commit", "of another commit"),
    ):
        # Tuples and lists are the same in JSON.
        if old.get(name) != json.loads(json.dumps(new[name])):
            advice = "give another --output, or --restart"
            raise SettingsError(f"{path}: holds records {what}; {advice}")


def refuse_other_machine(recorded: MachineFacts, path: Path) -> None:
    """Checks that records are of this machine.

    Raises:
        SettingsError: They are of another.
    """
    here = this_machine()
    if (recorded.cpu, recorded.cores, recorded.gpus) != (here.cpu, here.cores, here.gpus):
        raise SettingsError(
            f"{path}: holds records of another machine, {recorded.cpu} with {recorded.cores} "
            "cores; give another --output, or --restart"
        )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
