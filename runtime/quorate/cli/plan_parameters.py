"""The parameters of a plan, which commands share: who answers, and how that becomes one answer.

Their names on the command line are those of ``quorate.client``, but for a few that are shorter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from quorate.errors import SettingsError
from quorate.request import (
    MAX_SAMPLES,
    Alignment,
    CombinationRule,
    Comparison,
    FailurePolicy,
    Selection,
    Weighting,
)

if TYPE_CHECKING:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteParameters:
    """How the members of a vote become one answer; None is the server's default."""

    rule: Annotated[
        CombinationRule | None, typer.Option(help="How the members' distributions become one.")
    ] = None
    alignment: Annotated[
        Alignment | None, typer.Option(help="How different vocabularies are compared.")
    ] = None
    weighting: Annotated[
        Weighting | None,
        typer.Option(
            help="Where the weights come from; auto is static where the members share a "
            "vocabulary, else bayesian."
        ),
    ] = None
    forgetting: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="What bayesian weights keep from byte to byte of what they learned; 1 forgets "
            "nothing, 0.9 if nothing is given.",
        ),
    ] = None
    beam_epsilon: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="A byte-exact vote follows a way to cut the text while it holds more than this "
            "share of its member's probability; 0.01 if nothing is given.",
        ),
    ] = None
    beam_width: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Most of them followed at once; 8 if nothing is given, at most 64.",
        ),
    ] = None
    drafts: Annotated[
        str | None,
        typer.Option(
            metavar="auto|off|prompt|NAME",
            help="Who guesses tokens ahead of the choice, which changes what an answer costs: the "
            "smallest member and what was said before, nobody, only the latter, or a member.",
        ),
    ] = None
    drafts_most: Annotated[
        int | None,
        typer.Option(
            min=1, max=8, metavar="N", help="Most tokens guessed at once; 8 if not given."
        ),
    ] = None
    gate_leader: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="With --weighting gated, the member that goes on alone while it is sure; the one "
            "that weighs most if not given.",
        ),
    ] = None
    gate_threshold: Annotated[
        float | None,
        typer.Option(
            metavar="MARGIN",
            help="How sure it must be: the difference between its two best candidates, 0 to 1; "
            "0.5 if not given.",
        ),
    ] = None
    gate_share: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE", help="Share of tokens at which the others are asked instead, 0 to 1."
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswersParameters:
    """Whether the members' whole answers vote, and how."""

    answers: Annotated[
        bool,
        typer.Option(
            "--answers", help="The members answer on their own, and their whole answers vote."
        ),
    ] = False
    samples: Annotated[
        int | None,
        typer.Option(
            min=1, max=MAX_SAMPLES, metavar="N", help="Answers of each member; 1 if not given."
        ),
    ] = None
    select: Annotated[
        Selection | None,
        typer.Option(
            help="Which answer is kept: one that says what most say, which is the default, or the "
            "one that all members together find most probable."
        ),
    ] = None
    compare: Annotated[
        Comparison | None,
        typer.Option(
            help="Which answers say the same: equal texts, which is the default, the same last "
            "number, or the same letter of a choice."
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanParameters:
    """Which plan answers: members that vote, stages, a profile, or the server's own choice."""

    model: ModelNames = None
    profile: ProfileName = None
    cascade: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[,NAME...][@CONFIDENCE]",
            help="A stage of a cascade, in rising cost; give at least two. Commas join models that "
            "vote, each with its weight after a colon; the answer is kept from the confidence "
            "after the @ on, between 0 and 1, else the next stage is asked.",
        ),
    ] = None
    stream_early: Annotated[
        bool,
        typer.Option(
            "--stream-early",
            help="Show the answer of a stage, or of the first member, before it is known to be "
            "kept; a pipe gets the kept one alone.",
        ),
    ] = False
    auto: Annotated[
        bool, typer.Option("--auto", help="Let the server choose, whatever its default profile is.")
    ] = False
    vote: VoteParameters
    whole: AnswersParameters = field(default_factory=AnswersParameters)
    on_failure: Annotated[
        FailurePolicy | None, typer.Option(help="What happens when a member dies.")
    ] = None

    def options(self) -> PlanOptions:
        """The client's arguments for everything of a plan but its members and stages.

        Raises:
            SettingsError: More than one choice of a plan, or details without the plan they are for.
        """
        self._check()
        vote, whole, on_failure = self.vote, self.whole, self.on_failure
        return {
            "profile": self.profile,
            "auto": self.auto,
            "stream_early": self.stream_early,
            "samples": whole.samples,
            "select": whole.select.value if whole.select else None,
            "compare": whole.compare.value if whole.compare else None,
            "rule": vote.rule.value if vote.rule else None,
            "alignment": vote.alignment.value if vote.alignment else None,
            "weighting": (
                None if vote.weighting in (None, Weighting.AUTO) else vote.weighting.value
            ),
            "forgetting": vote.forgetting,
            "beam_epsilon": vote.beam_epsilon,
            "beam_width": vote.beam_width,
            "drafts": vote.drafts,
            "drafts_most": vote.drafts_most,
            "gate_leader": vote.gate_leader,
            "gate_threshold": vote.gate_threshold,
            "gate_share": vote.gate_share,
            "failure_policy": (
                None if on_failure in (None, FailurePolicy.AUTO) else on_failure.value
            ),
        }

    def _check(self) -> None:
        choices = {
            "--profile": self.profile,
            "--model": self.model,
            "--cascade": self.cascade,
            "--auto": self.auto,
        }
        chosen = [name for name, value in choices.items() if value]
        if len(chosen) > 1:
            raise SettingsError(f"{chosen[0]} and {chosen[1]} exclude each other; give one of them")
        details: Mapping[str, object] = {
            **{f"--{name.replace('_', '-')}": value for name, value in asdict(self.vote).items()},
            "--on-failure": None if self.cascade else self.on_failure,
        }
        given = [name for name, value in details.items() if value is not None]
        if given and not self.model:
            belong = "belongs" if len(given) == 1 else "belong"
            raise SettingsError(f"{', '.join(given)} {belong} to members; name them with --model")
        self._check_answers()

    def _check_answers(self) -> None:
        """Checks what is for whole answers alone, and what has no place beside them."""
        whole, vote = self.whole, self.vote
        if self.stream_early and not (self.cascade or whole.answers):
            raise SettingsError(
                "--stream-early belongs to a cascade or to --answers; give its stages with "
                "--cascade, or --answers"
            )
        details = {"samples": whole.samples, "select": whole.select, "compare": whole.compare}
        given = [f"--{name}" for name, value in details.items() if value is not None]
        if given and not whole.answers:
            belong = "belongs" if len(given) == 1 else "belong"
            raise SettingsError(f"{', '.join(given)} {belong} to --answers; give that as well")
        if not whole.answers:
            return
        if not self.model:
            raise SettingsError("--answers needs members; name them with --model")
        tokens = {name: value for name, value in asdict(vote).items() if name != "weighting"}
        for name, value in tokens.items():
            if value is not None:
                option = f"--{name.replace('_', '-')}"
                raise SettingsError(f"{option} is for votes on tokens; leave --answers out, or it")
