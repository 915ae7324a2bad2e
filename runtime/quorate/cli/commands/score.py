"""``quorate score``: how well each member and the ensemble predict a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from quorate.cli.parameter_groups import grouped
from quorate.cli.plan_parameters import (
    ModelNames,
    PlanParameters,
    ProfileName,
    VoteParameters,
)
from quorate.cli.target import Target

if TYPE_CHECKING:
    from quorate.cli.scoring import Text
    from quorate.cli.text_scores import TextScores


@grouped
def score(
    *,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="UTF-8 text to score; - reads standard input.")
    ],
    model: ModelNames = None,
    profile: ProfileName = None,
    vote: VoteParameters,
    target: Target,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Deadline of the whole text.")
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON line for each member and for the ensemble."),
    ] = False,
) -> None:
    """Print the bits per byte of each member and of the ensemble on a text; less is better.

    A text that does not fit the smallest context is scored in pieces, each behind as much of the
    text before it as fits. Without --target, the members named with --model are loaded here, or
    else the demo models.
    """
    import asyncio

    from quorate.cli.inputs import read_text
    from quorate.cli.logs import keep_log_quiet
    from quorate.cli.members import parse_members
    from quorate.cli.scoring import Text
    from quorate.cli.views.score import print_scores

    options = PlanParameters(model=model, profile=profile, vote=vote).options()
    members = parse_members(model or [])
    text = Text(read_text(file), members, options, timeout)
    keep_log_quiet()
    print_scores(asyncio.run(_score(text, target)), as_json=as_json)


async def _score(text: Text, target: Target) -> TextScores:
    from quorate.cli.asking import asked_service
    from quorate.cli.option_names import Given, options_named
    from quorate.cli.scoring import score_text
    from quorate.cli.views.progress import score_progress

    names = [member.model for member in text.members]
    async with asked_service(names, target) as client:
        with options_named(Given(text.members, asked="FILE")), score_progress() as progress:
            return await score_text(client, text, progress)
