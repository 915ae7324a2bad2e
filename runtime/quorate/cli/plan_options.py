"""The options of a vote, shared by the commands that hold one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from quorate.errors import SettingsError
from quorate.request import Alignment, CombinationRule, FailurePolicy, Weighting

if TYPE_CHECKING:
    from quorate.cli.members import Member
    from quorate.cli.stages import Stage
    from quorate.client import PlanOptions

ModelNames = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME[:WEIGHT]",
        help="A member: registry id or path of a GGUF file, with its weight after a colon; "
        "may be given several times.",
    ),
]
ProfileName = Annotated[
    str | None, typer.Option(metavar="NAME", help="A named plan of the server.")
]
CascadeStages = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME[,NAME...][@CONFIDENCE]",
        help="A stage of a cascade, in rising cost; give at least two. Commas join models that "
        "vote, each with its weight after a colon; the answer is kept from the confidence after "
        "the @ on, between 0 and 1, else the next stage is asked.",
    ),
]
StreamEarly = Annotated[
    bool,
    typer.Option(
        "--stream-early",
        help="Show a stage's answer before it is known to be kept; a pipe gets the kept one alone.",
    ),
]
Auto = Annotated[
    bool, typer.Option("--auto", help="Let the server choose, whatever its default profile is.")
]
RuleChoice = Annotated[
    CombinationRule | None, typer.Option(help="How the members' distributions become one.")
]
AlignmentChoice = Annotated[
    Alignment | None, typer.Option(help="How different vocabularies are compared.")
]
WeightingChoice = Annotated[
    Weighting | None,
    typer.Option(
        help="Where the weights come from; auto is static where the members share a vocabulary, "
        "else bayesian."
    ),
]
Forgetting = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        help="What bayesian weights keep from byte to byte of what they learned; 1 forgets "
        "nothing, 0.9 if nothing is given.",
    ),
]
BeamEpsilon = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        help="A byte-exact vote follows a way to cut the text while it holds more than this share "
        "of its member's probability; 0.01 if nothing is given.",
    ),
]
BeamWidth = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Most of them followed at once; 8 if nothing is given, at most 64.",
    ),
]
OnFailure = Annotated[
    FailurePolicy | None, typer.Option(help="What happens when a member dies in mid-stream.")
]


def plan_options(
    model: Sequence[str] | None,
    profile: str | None,
    *,
    rule: CombinationRule | None,
    alignment: Alignment | None,
    weighting: Weighting | None,
    forgetting: float | None,
    beam_epsilon: float | None,
    beam_width: int | None,
    on_failure: FailurePolicy | None = None,
    cascade: Sequence[str] | None = None,
    stream_early: bool = False,
    auto: bool = False,
) -> PlanOptions:
    """The client's arguments for everything of a plan but its members and stages.

    Raises:
        SettingsError: More than one choice of a plan, or details without the plan they are for.
    """
    choices = {"--profile": profile, "--model": model, "--cascade": cascade, "--auto": auto}
    chosen = [name for name, value in choices.items() if value]
    if len(chosen) > 1:
        raise SettingsError(f"{chosen[0]} and {chosen[1]} exclude each other; give one of them")
    details = {
        "--rule": rule,
        "--alignment": alignment,
        "--weighting": weighting,
        "--forgetting": forgetting,
        "--beam-epsilon": beam_epsilon,
        "--beam-width": beam_width,
        "--on-failure": None if cascade else on_failure,
    }
    given = [name for name, value in details.items() if value is not None]
    if given and not model:
        belong = "belongs" if len(given) == 1 else "belong"
        raise SettingsError(f"{', '.join(given)} {belong} to members; name them with --model")
    if stream_early and not cascade:
        raise SettingsError("--stream-early belongs to a cascade; give its stages with --cascade")
    return {
        "profile": profile,
        "auto": auto,
        "stream_early": stream_early,
        "rule": rule.value if rule else None,
        "alignment": alignment.value if alignment else None,
        "weighting": None if weighting in (None, Weighting.AUTO) else weighting.value,
        "forgetting": forgetting,
        "beam_epsilon": beam_epsilon,
        "beam_width": beam_width,
        "failure_policy": None if on_failure in (None, FailurePolicy.AUTO) else on_failure.value,
    }


def name_members(options: PlanOptions, members: Sequence[Member]) -> None:
    """Adds the members to a plan; one member without details is a plan of its own kind."""
    from quorate.settings import default_id

    if not members:
        return
    details = ("rule", "alignment", "weighting", "forgetting", "beam_epsilon", "beam_width")
    if len(members) == 1 and all(options.get(name) is None for name in details):
        options["model"] = default_id(members[0].name)
        return
    options["models"] = {default_id(member.name): member.weight for member in members}


def name_stages(options: PlanOptions, stages: Sequence[Stage]) -> None:
    """Adds the stages of a cascade to a plan."""
    from quorate.cli.stages import stage_choices

    if stages:
        options["stages"] = stage_choices(stages)
