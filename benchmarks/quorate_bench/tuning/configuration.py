"""The user's configuration: with changes, as a server of our own takes it, and as text. Pure."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.items import AoT, Table

from quorate.errors import CannotRun
from quorate_bench.sweep import BenchPlan, is_one_vote
from quorate_bench.tuning.variants import QUANTISATION, Key, Variant

# What decides how fast models are. Of the rest some would be in the way, as keys and budgets, and
# some is not for a server of our own, as its address and its ledger.
_KEPT = ("fleet", "energy")
_LIMITS = ("max_running", "max_waiting")
_OF_PROFILES = "profiles"


@dataclass(frozen=True, slots=True)
class Configuration:
    """A configuration file that was read and found right.

    Attributes:
        text: As it stands in the file.
        tables: What it holds, as plain values.
        ids: Of the models, in the order of the file.
        files: Path of each model that has files.
        engines: The engine of each model.
        quantised: Makes the file of another type of a model, or finds it.
    """

    text: str
    tables: Mapping[str, Any]
    ids: tuple[str, ...]
    files: Mapping[str, Path]
    engines: Mapping[str, str]
    quantised: Callable[[Path, str], Path]

    def changed(self, variant: Variant) -> dict[str, Any]:
        """The tables with a variant's changes.

        Raises:
            CannotRun: A model of another type cannot be made.
        """
        tables = copy.deepcopy(dict(self.tables))
        for key, value in self._written(variant):
            _set(tables, self._place(key), value)
        return tables

    def served(self, variant: Variant, models: tuple[str, ...]) -> str:
        """What a server of our own is told, which serves these models and nobody else.

        Raises:
            CannotRun: A model of another type cannot be made.
        """
        tables = self.changed(variant)
        told: dict[str, Any] = {name: tables[name] for name in _KEPT if name in tables}
        server = tables.get("server", {})
        told["server"] = {name: server[name] for name in _LIMITS if name in server}
        told["server"]["listen"] = "127.0.0.1:0"
        told["routing"] = {"probe": False}
        told["ledger"] = {"path": "off"}
        told["models"] = [
            self._served_model(table, name)
            for table, name in zip(tables["models"], self.ids, strict=True)
            if name in models
        ]
        named = {name: table for name, table in tables.get(_OF_PROFILES, {}).items()
                 if not is_one_vote(table) and _named(table) <= set(models)}  # fmt: skip
        if named:
            told[_OF_PROFILES] = named
        return tomlkit.dumps(told)

    def written(self, variant: Variant) -> str:
        """The file with a variant's changes, and everything else as it stands, comments included.

        Raises:
            CannotRun: It comes out wrong, since the file is written in a way that is not known.
        """
        document = tomlkit.parse(self.text)
        for key, value in self._written(variant):
            _set(document, self._place(key), value)
        text = tomlkit.dumps(document)
        if tomllib.loads(text) != self.changed(variant):
            raise CannotRun("tune", "the configuration cannot be written; change it by hand")
        return text

    def patch(self, variant: Variant) -> str:
        """The changes alone, to be put into the file."""
        models: dict[str, dict[str, Any]] = {}
        rest: dict[str, Any] = {}
        for key, value in self._written(variant):
            if key[0] == "models":
                _set(models.setdefault(key[1], {}), key[2:], value)
            else:
                _set(rest, key, value)
        parts = [_of_model(name, table) for name, table in models.items()]
        if rest:
            parts.append(tomlkit.dumps(rest))
        return "\n".join(parts)

    def _served_model(self, table: Mapping[str, Any], name: str) -> dict[str, Any]:
        told = {**table, "id": name, "engine": self.engines[name], "load": True}
        if name in self.files and "model" in told:
            same = told["model"] == self._table(name).get("model")
            # Another one was made by us, and its path counts from nowhere.
            told["model"] = str(self.files[name].absolute()) if same else told["model"]
        return told

    def _written(self, variant: Variant) -> Iterator[tuple[Key, Any]]:
        """The changes by keys that a configuration has."""
        for key, value in variant.changes:
            if key[-1] != QUANTISATION:
                yield key, value
                continue
            name = key[1]
            # Its name must not change with its file.
            yield (*key[:2], "id"), name
            yield (*key[:2], "model"), str(self.quantised(self.files[name], value).absolute())

    def _place(self, key: Key) -> tuple[str | int, ...]:
        """Where a key is in the tables, whose models are a list."""
        if key[0] != "models":
            return key
        return "models", self.ids.index(key[1]), *key[2:]

    def _table(self, name: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.tables["models"][self.ids.index(name)]
        return found


def plan_with(plan: BenchPlan, variant: Variant) -> dict[str, Any]:
    """Arguments of the client for a plan, as a variant has it."""
    options = dict(plan.options)
    for key, value in variant.changes:
        if key[:2] == (_OF_PROFILES, plan.name):
            options[key[2]] = value
    return options


def server_part(variant: Variant) -> Variant:
    """What a server has to be started anew for: a plan's own options come with each request."""
    return Variant(tuple(one for one in variant.changes if one[0][0] != _OF_PROFILES))


def plan_of_profile(name: str, table: Mapping[str, Any]) -> BenchPlan:
    """How a client asks for a profile, so that its options can be varied from request to request.

    What keeps one of several answers is asked for by its name.
    """
    if not is_one_vote(table):
        return BenchPlan(name, {"profile": name}, tuple(sorted(_named(table))))
    options = {key: value for key, value in table.items() if key not in ("members", "on_failure")}
    members = dict(_weighted(one) for one in table["members"])
    policy = table.get("on_failure", "auto")
    if policy != "auto":
        options["failure_policy"] = policy
    return BenchPlan(name, {"models": members, **options}, tuple(members))


def _of_model(name: str, table: dict[str, Any]) -> str:
    """What one of ``[[models]]`` gets, as it stands in a file."""
    options = table.pop("options", {})
    told = f"# in [[models]], {name}:\n{tomlkit.dumps(table)}"
    return told + (f"[models.options]\n{tomlkit.dumps(options)}" if options else "")


def _weighted(member: Any) -> tuple[str, float | None]:
    if isinstance(member, str):
        return member, None
    weight = member.get("weight")
    return str(member["model"]), None if weight is None else float(weight)


def _named(table: Mapping[str, Any]) -> set[str]:
    """Models of a profile."""
    votes = table.get("stages", [table])
    key = "answers" if "answers" in table else "members"
    return {_weighted(one)[0] for vote in votes for one in vote[key]}


def _set(container: Any, place: tuple[str | int, ...], value: Any) -> None:
    """Sets a value deep in tables, making those that are missing."""
    for part in place[:-1]:
        if isinstance(part, str) and part not in container:
            inside = isinstance(container, Table) and not isinstance(container, AoT)
            # In a list of tables a further one would stand behind the next entry.
            container[part] = tomlkit.inline_table() if inside else {}
        container = container[part]
    container[place[-1]] = value
