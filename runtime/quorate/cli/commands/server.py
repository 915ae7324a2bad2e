"""``quorate ps``, ``load``, ``unload`` and ``status``: what an operator asks of a server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from quorate.cli.parameter_groups import grouped
from quorate.cli.parameters import JsonLines
from quorate.cli.target import ServerTarget

if TYPE_CHECKING:
    from quorate.cli.views.models_of_server import WaitingView
    from quorate.client import Client
    from quorate.v1 import models_pb2

_Answer = TypeVar("_Answer")

ServerModel = Annotated[
    str, typer.Argument(metavar="MODEL", help="Id of a model of the server, or of its registry.")
]


@grouped
def ps(
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="List the models that are not loaded, too.")
    ] = False,
    as_json: JsonLines = False,
    target: ServerTarget,
) -> None:
    """List the models that a server has loaded, is loading or lost, and what they take.

    Without --target the server of this machine is asked at its default address.
    """
    from quorate.cli.views.models_of_server import print_models
    from quorate.v1 import models_pb2

    models = _asked(target, lambda client: client.models())
    unloaded = models_pb2.MODEL_STATE_UNLOADED
    shown = [model for model in models if everything or model.state != unloaded]
    print_models(shown, hidden=len(models) - len(shown), as_json=as_json)


@grouped
def load(*, model: ServerModel, as_json: JsonLines = False, target: ServerTarget) -> None:
    """Load a model on a server, and wait until it is ready.

    Loading goes on when this command is interrupted.
    """
    _change(target, model, "load", lambda client: client.load(model), as_json=as_json)


@grouped
def unload(
    *,
    model: ServerModel,
    deadline: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=86_400.0,
            metavar="SECONDS",
            help="How long its requests are waited for; unload_seconds of the server by default.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="End the requests that are left by then.")
    ] = False,
    as_json: JsonLines = False,
    target: ServerTarget,
) -> None:
    """Unload a model on a server once the requests that use it have ended.

    It serves no new ones meanwhile, also when this command is interrupted. Where some are left at
    the deadline it stays loaded, unless they are to be ended.
    """

    def ask(client: Client) -> Awaitable[models_pb2.Model]:
        return client.unload(model, deadline_seconds=deadline, force=force)

    _change(target, model, "unload", ask, as_json=as_json)


@grouped
def status(*, as_json: JsonLines = False, target: ServerTarget) -> None:
    """Tell what a server is, whether it is healthy, and what its models and profiles do.

    The exit code is 1 where it does not serve as a whole.
    """
    from quorate.cli.failures import FAILED
    from quorate.cli.status import ask_status
    from quorate.cli.views.status import print_status

    report = _asked(target, ask_status)
    print_status(report, _address(target), as_json=as_json)
    if report.server.problem or report.server.draining:
        raise typer.Exit(FAILED)


def _address(target: ServerTarget) -> str:
    from quorate.client import DEFAULT_TARGET

    return target.address or DEFAULT_TARGET


def _asked(target: ServerTarget, ask: Callable[[Client], Awaitable[_Answer]]) -> _Answer:
    import asyncio

    from quorate.cli.option_names import Given, options_named
    from quorate.cli.target import connect

    async def asked() -> _Answer:
        async with connect(_address(target), target) as client:
            with options_named(Given(model="MODEL")):
                return await ask(client)

    return asyncio.run(asked())


def _change(
    target: ServerTarget,
    model: str,
    verb: str,
    change: Callable[[Client], Awaitable[models_pb2.Model]],
    *,
    as_json: bool,
) -> None:
    """Asks for a change of a model, shows how it goes, and prints what has become of it."""
    from quorate.cli.views.models_of_server import print_model, waiting_view

    with waiting_view(as_json) as view:
        changed = _asked(target, lambda client: _watched(client, model, change, view))
    print_model(changed, as_json=as_json)


async def _watched(
    client: Client,
    model: str,
    change: Callable[[Client], Awaitable[models_pb2.Model]],
    view: WaitingView,
) -> models_pb2.Model:
    import asyncio

    async def follow() -> None:
        async for each in client.watch_models():
            if each.id == model:
                view.show(each)

    following = asyncio.create_task(follow())
    try:
        return await change(client)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
