"""``quorate rate``: what an answer was worth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from quorate.cli.parameter_groups import grouped
from quorate.cli.parameters import JsonLines
from quorate.cli.target import ServerTarget

if TYPE_CHECKING:
    from quorate.v1 import inference_pb2


@grouped
def rate(
    *,
    request_id: Annotated[
        str, typer.Argument(metavar="REQUEST", help="Id of a request that was answered.")
    ],
    score: Annotated[
        float,
        typer.Argument(min=0.0, max=1.0, metavar="SCORE", help="From 0, useless, to 1, right."),
    ],
    as_json: JsonLines = False,
    target: ServerTarget,
) -> None:
    """Tell a server what an answer was worth; it chooses plans by that, a little.

    Of one answer the last word counts. Without --target the server of this machine is asked at its
    default address.
    """
    import asyncio

    from quorate.cli.views.rated import print_rated

    print_rated(asyncio.run(_rate(request_id, score, target)), as_json=as_json)


async def _rate(request_id: str, score: float, target: ServerTarget) -> inference_pb2.RateResponse:
    from quorate.cli.target import connect
    from quorate.client import DEFAULT_TARGET

    async with connect(target.address or DEFAULT_TARGET, target) as client:
        return await client.rate(request_id, score)
