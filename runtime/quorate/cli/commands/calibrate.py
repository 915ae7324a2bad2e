"""``quorate calibrate``: how often each plan is right, and how sure it should be of itself."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quorate.cli.parameter_groups import grouped
from quorate.cli.plan_parameters import ModelNames
from quorate.cli.target import Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quorate.calibration.answers import AnswerFile
    from quorate.calibration.grading import Case
    from quorate.calibration.report import Outcome
    from quorate.request import WeightedModel


@grouped
def calibrate(
    *,
    dataset: Annotated[
        Path,
        typer.Argument(
            metavar="DATASET.jsonl",
            help='One JSON object a line: "prompt" or "messages", "answer" (a text or a list), '
            '"match" (exact, choice, contains or numeric), and if you like a tag, an "id", a '
            '"domain" and the "tolerance" of a number.',
        ),
    ],
    model: ModelNames = None,
    profile: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="A named plan of the server; may be given several times."
        ),
    ] = None,
    task_field: Annotated[
        str, typer.Option(metavar="FIELD", help="Field of a line that has its tag.")
    ] = "task",
    limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Ask N questions, spread evenly over the file."),
    ] = None,
    max_tokens: Annotated[
        int, typer.Option(min=1, metavar="N", help="Most tokens of an answer.")
    ] = 256,
    concurrency: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Questions asked at once. More is quicker, and times and energies are then those "
            "of a busy server.",
        ),
    ] = 1,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Where to write it; the server looks into its data folder."
        ),
    ] = None,
    restart: Annotated[
        bool,
        typer.Option(
            "--restart/--resume",
            help="Ask everything anew instead of using the answers that are there.",
        ),
    ] = False,
    target: Target,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON line for each finding.")
    ] = False,
) -> None:
    """Ask labelled questions, and learn how good each model and each vote is.

    Asked are the models and profiles that are named, each model alone and all of them as a vote;
    without any, all that the server has. Answers are kept beside the dataset, or beside --output,
    so that the same command goes on where it was interrupted. What is found out of votes that were
    asked takes the place of what was known of them; the rest stays.
    """
    import asyncio

    from quorate.calibration import file as calibration_file
    from quorate.calibration.answers import AnswerFile
    from quorate.calibration.dataset import read_dataset
    from quorate.cli.failures import Interrupted
    from quorate.cli.logs import keep_log_quiet
    from quorate.cli.members import parse_members
    from quorate_registry.store import default_home

    members = parse_members(model or [])
    questions = read_dataset(dataset, task_field)
    path = output or default_home() / calibration_file.FILE_NAME
    calibration_file.read(path)
    kept_in = _answers_path(dataset, output)
    cases = questions.spread(limit)
    keep_log_quiet()
    try:
        with AnswerFile(kept_in).open(restart=restart) as answers:
            asking = _outcomes(
                cases, members, profile or [], max_tokens, concurrency, answers, target
            )
            outcomes = asyncio.run(asking)
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted; the answers so far are kept in {kept_in}, run the same command to go on"
        ) from None
    from quorate.calibration.data import merge
    from quorate.calibration.findings import findings
    from quorate.calibration.report import report_of
    from quorate.cli.views.calibrate import print_report

    report = report_of(outcomes, cases)
    today = datetime.now(UTC).date().isoformat()
    found = findings(report, questions, cases, today)
    # Read again: another calibration may have ended meanwhile.
    calibration_file.write(path, merge(calibration_file.read(path), found))
    print_report(report, path, kept_in, as_json=as_json)


async def _outcomes(
    cases: Sequence[Case],
    members: Sequence[WeightedModel],
    profiles: Sequence[str],
    max_tokens: int,
    concurrency: int,
    answers: AnswerFile,
    target: Target,
) -> list[Outcome]:
    """Asks, and grades the answers of each plan."""
    from quorate.calibration.report import evaluate
    from quorate.cli.asking import asked_service
    from quorate.cli.calibrating import ask_all, plans_of
    from quorate.cli.views.progress import answer_progress

    async with asked_service([member.model for member in members], target) as client:
        plans = await plans_of(client, members, profiles)
        with answer_progress() as progress:
            await ask_all(
                client,
                plans,
                cases,
                answers,
                max_tokens=max_tokens,
                concurrency=concurrency,
                progress=progress,
            )
    return [
        evaluate(one, cases, answers.of(one, cases, max_tokens))
        for one in (plan.calibrated for plan in plans)
    ]


def _answers_path(dataset: Path, output: Path | None) -> Path:
    folder = dataset.parent if output is None else output.parent
    return folder / f"{dataset.name.removesuffix('.jsonl')}.calibration.jsonl"
