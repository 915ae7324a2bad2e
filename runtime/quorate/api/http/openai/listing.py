"""``/v1/models``: whatever can be named as the model of a request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from quorate.access.limits import MAX_NAME_BYTES
from quorate.api.http.call import Call
from quorate.api.http.extension import NAME
from quorate.api.http.names import AUTO
from quorate.dispatch import Dispatcher
from quorate.errors import NotFound
from quorate.fleet.fleet import Fleet
from quorate.fleet.status import ModelStatus
from quorate.foreign_text import one_line
from quorate.request import plan_models

_OWNER = "quorate"


class Listing:
    """Lists models, profiles, and the choice of the router.

    Args:
        dispatcher: Knows the profiles.
        fleet: Knows the models.
    """

    def __init__(self, dispatcher: Dispatcher, fleet: Fleet) -> None:
        self._dispatcher = dispatcher
        self._fleet = fleet

    async def all(self, call: Call) -> None:
        """``GET /v1/models``."""
        await call.answer(200, {"object": "list", "data": list(self._entries())})

    async def one(self, call: Call) -> None:
        """``GET /v1/models/{model}``."""
        name = str(call.path_parameters["model"])[:MAX_NAME_BYTES]
        entries = {entry["id"]: entry for entry in self._entries()}
        if name not in entries:
            raise NotFound("model", name, entries)
        await call.answer(200, entries[name])

    def _entries(self) -> Iterator[dict[str, Any]]:
        """Each once; of a profile and a model of one name it is the profile that answers."""
        down = self._dispatcher.profiles_down()
        default = self._dispatcher.default_profile
        for name, plan in self._dispatcher.profiles.items():
            told: dict[str, Any] = {"kind": "profile", "members": list(plan_models(plan))}
            if name == default:
                told["default"] = True
            if problem := down.get(name, ""):
                told["problem"] = one_line(problem)
            yield _entry(name, told)
        for status in self._fleet.list():
            if status.id not in self._dispatcher.profiles:
                yield _entry(status.id, _told_of(status))
        yield _entry(AUTO, {"kind": "auto"})


def _entry(name: str, told: dict[str, Any]) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": _OWNER, NAME: told}


def _told_of(status: ModelStatus) -> dict[str, Any]:
    told: dict[str, Any] = {
        "kind": "model",
        "state": status.state.value,
        "chat": status.chat,
        "context_length": status.context_length,
    }
    if status.message:
        told["problem"] = one_line(status.message)
    return told
