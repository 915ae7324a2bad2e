"""Keeps cost models across restarts: one JSON file for each kind of machine."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from quorate.costs.cost_model import MAX_PLANS, CostModels
from quorate.costs.saved import Json, Table, count, parsed, read_file, replace_file, table, text

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was found.

    Attributes:
        costs: As it was saved; empty where there was nothing to believe.
        note: One line for the log where something was not believed, or None.
    """

    costs: CostModels
    note: str | None = None


class CostStore:
    """The file of what was learned on one kind of machine.

    It is written anew as a whole and put in place in one step, so that a reader, another server
    or a crash never finds half of one. Of two servers that save at once the later one wins; what
    the other knew of plans that only it has is kept if it had been saved before.

    Calls read and write files: make them outside an event loop.

    Args:
        folder: Where the file is; made when something is saved.
        machine: Fingerprint of the machine.
    """

    def __init__(self, folder: Path, machine: str) -> None:
        self._folder = folder
        self._machine = machine

    @property
    def path(self) -> Path:
        """The file."""
        return self._folder / f"costs-{self._machine}.json"

    def load(self, identity_of: Callable[[str], str | None]) -> Loaded:
        """Reads what was learned of the plans that exist now. Never fails.

        A file that is broken, of another machine or of another version is set aside, beside its
        place and with ``.aside`` after its name.

        Args:
            identity_of: From a plan's key to what its models are now, such as their ids, file
                sizes, engines and cores, in a text; None where it cannot run now. What was learned
                of another identity is not believed.
        """
        try:
            plans = self._plans()
        except OSError as error:
            return Loaded(CostModels(), f"{self.path}: cannot be read, {_cause(error)}")
        except ValueError as error:
            return Loaded(CostModels(), self._set_aside(str(error)))
        costs = CostModels()
        unbelieved = []
        for key, plan in plans.items():
            identity = identity_of(key)
            if identity is None or identity != plan.get("identity"):
                continue
            try:
                costs.restore(key, table(plan, "state"))
            except ValueError as error:
                unbelieved.append(f"{key!r} ({error})")
        note = f"{self.path}: learns anew {', '.join(unbelieved)}" if unbelieved else None
        return Loaded(costs, note)

    def save(self, states: Mapping[str, Json], identities: Mapping[str, str]) -> str | None:
        """Writes what was learned; plans that only the file knows stay in it.

        Args:
            states: Of what was learned, as ``CostModels.states`` gives them.
            identities: For each plan; those without are not saved.

        Returns:
            One line for the log where it could not be written, or None.
        """
        mine: dict[str, Json] = {
            key: {"identity": identities[key], "state": state}
            for key, state in states.items()
            if key in identities
        }
        try:
            older = self._plans()
        except (OSError, ValueError):
            # ``load`` has told of it; what cannot be read is replaced.
            older = {}
        others: dict[str, Json] = {key: dict(older[key]) for key in older if key not in mine}
        kept = dict(list((others | mine).items())[-MAX_PLANS:])
        content = {"version": _VERSION, "machine": self._machine, "plans": kept}
        try:
            replace_file(self.path, json.dumps(content, allow_nan=False, separators=(",", ":")))
        except OSError as error:
            return f"{self.path}: cannot be written, {_cause(error)}; what was learned is not kept"
        return None

    def _plans(self) -> dict[str, Table]:
        """Plans of the file, unchecked; none where there is no file.

        Raises:
            OSError: It cannot be read.
            ValueError: It is not a file of this version and machine.
        """
        raw = read_file(self.path)
        if raw is None:
            return {}
        content = parsed(raw)
        if count(content, "version") != _VERSION:
            raise ValueError("is of another version")
        if text(content, "machine") != self._machine:
            raise ValueError("is of another machine")
        plans = table(content, "plans")
        return {key: table(plans, key) for key in plans}

    def _set_aside(self, problem: str) -> str:
        aside = self.path.with_name(f"{self.path.name}.aside")
        try:
            os.replace(self.path, aside)
        except OSError as error:
            return f"{self.path}: {problem}, and cannot be set aside, {_cause(error)}; ignored"
        return f"{self.path}: {problem}; set aside as {aside.name}, learning anew"


def _cause(error: OSError) -> str:
    return error.strerror or str(error)
