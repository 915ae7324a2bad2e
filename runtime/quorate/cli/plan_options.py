"""The options of a vote, shared by the commands that hold one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from quorate.errors import SettingsError
from quorate.generation import Alignment, CombinationRule, FailurePolicy, Weighting

if TYPE_CHECKING:
    from quorate.cli.members import Member
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
) -> PlanOptions:
    """The client's arguments for everything of a plan but its members.

    Raises:
        SettingsError: Members beside a profile, or details of a vote without members.
    """
    if profile and model:
        raise SettingsError("--profile and --model exclude each other; give one of them")
    details = {
        "--rule": rule,
        "--alignment": alignment,
        "--weighting": weighting,
        "--forgetting": forgetting,
        "--beam-epsilon": beam_epsilon,
        "--beam-width": beam_width,
        "--on-failure": on_failure,
    }
    given = [name for name, value in details.items() if value is not None]
    if given and not model:
        belong = "belongs" if len(given) == 1 else "belong"
        raise SettingsError(f"{', '.join(given)} {belong} to members; name them with --model")
    return {
        "profile": profile,
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
