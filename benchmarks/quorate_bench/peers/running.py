"""Quorate and programs of others, as a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from quorate_bench.bench import begin
from quorate_bench.cases import Case, Setting
from quorate_bench.peers.sides import Given
from quorate_bench.planning import ModelFacts
from quorate_bench.records import RecordFile
from quorate_bench.running import Progress, Quantise
from quorate_bench.serving import Served
from quorate_bench.side_by_side.contract import Side
from quorate_bench.side_by_side.rounds import Group, Rounds

ABOUT = "peers"
"""What the sweep of such a run says it is about."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What is measured of every program.

    Attributes:
        concurrency: Answers at once.
        prompt_tokens: Length of each prompt, roughly.
        answer_tokens: Most tokens of each answer.
        repetitions: How often.
        minutes: After which nothing more is begun; what is missing is left out, and said.
    """

    concurrency: tuple[int, ...] = (1, 4)
    prompt_tokens: int = 64
    answer_tokens: int = 48
    repetitions: int = 5
    minutes: float = 15.0


class Peers:
    """Programs side by side on this machine, with what was recorded of them so far.

    Args:
        given: Models, cores, and where programs are.
        sides: The programs.
        measure: What is measured of each.
        models: Facts of the models, by the names of ``given``.
        hashes: SHA-256 of their files, by the same names.
        path: Where records are kept.
        commit: That the program was built from; "" where it is not known.

    Raises:
        SettingsError: The records that are there are of another sweep, machine or version.
    """

    def __init__(
        self,
        given: Given,
        sides: Sequence[Side],
        measure: Measure,
        models: Mapping[str, ModelFacts],
        hashes: Mapping[str, str],
        path: Path,
        commit: str,
    ) -> None:
        self._given = given
        self.sides = tuple(sides)
        self._measure = measure
        self._path = path
        begun = begin(path, _told(given, sides, measure), models, hashes, commit)
        self.records, self.resumed = begun.records, begun.resumed

    async def run(self, quantise: Quantise, progress: Progress) -> None:
        """Measures what the records lack.

        Raises:
            CannotRun: Quorate itself cannot serve the models.
        """
        kinds = dict.fromkeys(side.quantisation for side in self.sides)
        groups = [self._group(kind, 1 / len(kinds), quantise) for kind in kinds]
        with RecordFile(self._path, self.records.run) as file:
            measure = self._measure
            rounds = Rounds(
                groups, measure.repetitions, measure.minutes, self.records, file, progress
            )
            await rounds.to_its_end()

    def _group(self, quantisation: str, share: float, quantise: Quantise) -> Group:
        setting = Setting(len(self._given.cores), self._given.context, quantisation)
        measure = self._measure
        sides = tuple(side for side in self.sides if side.quantisation == quantisation)
        cases = tuple(
            Case(side.name, setting, streams, measure.prompt_tokens, measure.answer_tokens)
            for streams in measure.concurrency
            for side in sides
        )
        return Group(setting, partial(self._served, quantisation, quantise), sides, cases, share)

    def _served(self, quantisation: str, quantise: Quantise) -> dict[str, Served]:
        context, streams = self._given.context, self._given.streams
        options = {"context_length": context, "cells": context * streams}
        return {
            name: Served(quantise(path, quantisation) if quantisation else path, options=options)
            for name, path in self._given.members.items()
        }


def _told(given: Given, sides: Sequence[Side], measure: Measure) -> dict[str, Any]:
    """The sweep as records have it."""
    return {
        "name": ABOUT,
        "about": ABOUT,
        "models": {name: path.name for name, path in given.members.items()},
        "plans": [{"name": name} for name in dict.fromkeys(side.name for side in sides)],
        "sides": [side.told() for side in sides],
        "axes": {
            "cores": [len(given.cores)],
            "concurrency": list(measure.concurrency),
            "prompt_tokens": [measure.prompt_tokens],
            "answer_tokens": [measure.answer_tokens],
            "context_length": [given.context],
            "quantisations": list(dict.fromkeys(side.quantisation for side in sides)),
        },
        "measure": {"repetitions": measure.repetitions},
    }
