"""``quorate score``: how well each member and the ensemble predict a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from quorate.cli.plan_options import (
    AlignmentChoice,
    BeamEpsilon,
    BeamWidth,
    Forgetting,
    ModelNames,
    ProfileName,
    RuleChoice,
    WeightingChoice,
    plan_options,
)
from quorate.cli.target import Insecure, Target, TargetAddress, TlsCa

if TYPE_CHECKING:
    from quorate.cli.scoring import Text
    from quorate.cli.tally import Tally


def score(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="UTF-8 text to score; - reads standard input.")
    ],
    model: ModelNames = None,
    profile: ProfileName = None,
    rule: RuleChoice = None,
    alignment: AlignmentChoice = None,
    weighting: WeightingChoice = None,
    forgetting: Forgetting = None,
    beam_epsilon: BeamEpsilon = None,
    beam_width: BeamWidth = None,
    target: TargetAddress = None,
    tls_ca: TlsCa = None,
    insecure: Insecure = False,
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

    from quorate.cli.logs import keep_log_quiet
    from quorate.cli.members import parse_members
    from quorate.cli.text_file import read_text

    options = plan_options(
        model,
        profile,
        rule=rule,
        alignment=alignment,
        weighting=weighting,
        forgetting=forgetting,
        beam_epsilon=beam_epsilon,
        beam_width=beam_width,
    )
    members = parse_members(model or [])
    data = read_text(file)
    keep_log_quiet()
    from quorate.cli.score_view import print_scores
    from quorate.cli.scoring import Text

    text = Text(data, members, options, timeout)
    print_scores(asyncio.run(_score(text, Target(target, tls_ca, insecure))), as_json=as_json)


async def _score(text: Text, target: Target) -> Tally:
    from quorate.cli.connecting import asked_service
    from quorate.cli.load_view import passing_view
    from quorate.cli.score_view import score_progress
    from quorate.cli.scoring import score_text

    names = [member.name for member in text.members]
    with passing_view() as loading:
        async with asked_service(names, target, loading) as client:
            with score_progress() as progress:
                return await score_text(client, text, progress)
