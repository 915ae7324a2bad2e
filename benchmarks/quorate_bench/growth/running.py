"""How the time of a step grows, as a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quorate_bench.bench import begin
from quorate_bench.growth.plans import (
    Axes,
    Given,
    copies,
    copy_cases,
    copy_options,
    copy_setting,
    copy_sides,
    network_names,
    told,
    vocabulary_cases,
    vocabulary_setting,
    vocabulary_sides,
)
from quorate_bench.machine import read_bandwidth
from quorate_bench.records import RecordFile
from quorate_bench.running import Progress
from quorate_bench.serving import Served
from quorate_bench.side_by_side.contract import Side
from quorate_bench.side_by_side.rounds import Group, Rounds

# Less is over too soon to be timed, and more is held by no cache either.
_LEAST_BYTES, _MOST_BYTES = 1 << 20, 1 << 29
_VOCABULARY_SHARE = 0.3


class Growth:
    """Steps of ever more of everything on this machine, with what was recorded of them so far.

    Args:
        given: What is measured with.
        axes: How far.
        sha256: Of the model's file; "" without one.
        path: Where records are kept.
        commit: That the program was built from; "" where it is not known.

    Raises:
        SettingsError: The records that are there are of another sweep, machine or version.
    """

    def __init__(self, given: Given, axes: Axes, sha256: str, path: Path, commit: str) -> None:
        self.given = given
        self.axes = axes
        self._path = path
        models, hashes = {given.name: given.facts}, {given.name: sha256}
        begun = begin(path, told(given, axes), models, hashes, commit)
        self.records, self.resumed = begun.records, begun.resumed

    async def run(self, progress: Progress) -> None:
        """Measures what the records lack.

        Raises:
            CannotRun: The models cannot be served.
        """
        with RecordFile(self._path, self.records.run) as file:
            axes = self.axes
            rounds = Rounds(
                self._groups(), axes.repetitions, axes.minutes, self.records, file, progress
            )
            await rounds.to_its_end()

    def _groups(self) -> list[Group]:
        given, axes = self.given, self.axes
        found = []
        small = "vocabulary" in axes.only and bool(given.vocabularies)
        if sides := tuple(copy_sides(given, axes)):
            share = 1 - _VOCABULARY_SHARE * small
            cases = tuple(copy_cases(given, axes))
            found.append(
                Group(copy_setting(given, axes), self._copies, sides, cases, share, self._speeds)
            )
        if small:
            found.append(
                Group(
                    vocabulary_setting(given, axes), self._networks,
                    tuple(vocabulary_sides(given)), tuple(vocabulary_cases(given, axes)),
                    _VOCABULARY_SHARE if found else 1.0, self._speeds,
                )
            )  # fmt: skip
        return found

    def _copies(self) -> dict[str, Served]:
        given, axes = self.given, self.axes
        fit = max((len(s.models) for s in copy_sides(given, axes) if not s.missing), default=1)
        model = Served(
            given.model.path,
            given.model.engine,
            {**given.model.options, **copy_options(given, axes)},
        )
        return dict.fromkeys(copies(given, axes)[:fit], model)

    def _networks(self) -> dict[str, Served]:
        options = {"context_length": vocabulary_setting(self.given, self.axes).context_length}
        return {
            name: Served(path, options=options)
            for one in self.given.vocabularies
            for path in [one.model()]
            for name in network_names(one)
        }

    def _speeds(self, sides: Mapping[str, Side], models: Mapping[str, Served]) -> dict[str, Any]:
        """Bytes per second at which this machine reads what a step of each plan reads.

        What a cache holds is read faster than memory.
        """
        cores = self.given.cores
        sizes = {
            name: sum(models[model].file_bytes() for model in side.models if model in models)
            for name, side in sides.items()
        }
        speeds = {
            size: read_bandwidth(cores, min(_MOST_BYTES, max(_LEAST_BYTES, size)))
            for size in set(sizes.values())
        }
        return {"read_bytes_per_second": {name: speeds[size] for name, size in sizes.items()}}
