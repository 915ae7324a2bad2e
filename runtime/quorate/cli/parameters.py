"""The parameters that commands share: who votes and how, what is asked, and what it may take.

Their names on the command line are those of ``quorate.client``, but for a few that are shorter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, cast

import typer

from quorate.cli.inputs import read_text, read_tools
from quorate.errors import SettingsError
from quorate.request import Alignment, CombinationRule, FailurePolicy, Weighting

if TYPE_CHECKING:
    from quorate.client import GenerateOptions, PlanOptions

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
Timeout = Annotated[float | None, typer.Option(metavar="SECONDS", help="Deadline of the answer.")]
JsonLines = Annotated[bool, typer.Option("--json", help="Print JSON lines.")]


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
            help="Show a stage's answer before it is known to be kept; a pipe gets the kept one "
            "alone.",
        ),
    ] = False
    auto: Annotated[
        bool, typer.Option("--auto", help="Let the server choose, whatever its default profile is.")
    ] = False
    vote: VoteParameters
    on_failure: Annotated[
        FailurePolicy | None, typer.Option(help="What happens when a member dies.")
    ] = None

    def options(self) -> PlanOptions:
        """The client's arguments for everything of a plan but its members and stages.

        Raises:
            SettingsError: More than one choice of a plan, or details without the plan they are for.
        """
        self._check()
        vote, on_failure = self.vote, self.on_failure
        return {
            "profile": self.profile,
            "auto": self.auto,
            "stream_early": self.stream_early,
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
        if self.stream_early and not self.cascade:
            raise SettingsError(
                "--stream-early belongs to a cascade; give its stages with --cascade"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerParameters:
    """What an answer may take, how it is sampled, and when it ends.

    The fields are arguments of ``Client.generate``; None leaves it to the server.
    """

    latency_ms: Annotated[
        float | None,
        typer.Option(
            metavar="MS", help="Most milliseconds to the end of the answer, waiting included."
        ),
    ] = None
    energy_joules: Annotated[
        float | None,
        typer.Option("--joules", metavar="J", help="Most joules that the models may take."),
    ] = None
    usd: Annotated[
        float | None, typer.Option(metavar="USD", help="Most US dollars that remotes may charge.")
    ] = None
    local_only: Annotated[
        bool, typer.Option("--local-only", help="Nothing of the request may leave the machine.")
    ] = False
    allow_substitution: Annotated[
        bool | None,
        typer.Option(
            "--allow-substitution/--no-substitution",
            help="Whether another plan may answer where the named one cannot.",
            show_default=False,
        ),
    ] = None
    task: Annotated[
        str | None,
        typer.Option(
            metavar="TAG", help="What kind of request it is, such as code; models are chosen by it."
        ),
    ] = None
    temperature: Annotated[float | None, typer.Option(help="0 is greedy.")] = None
    top_p: Annotated[float | None, typer.Option(help="Mass of the nucleus.")] = None
    top_k: Annotated[int | None, typer.Option(help="Candidates kept; 0 keeps all.")] = None
    min_p: Annotated[
        float | None, typer.Option(help="Least share of the best candidate's probability.")
    ] = None
    seed: Annotated[int | None, typer.Option(help="Makes it repeatable; below 2^53.")] = None
    repetition_penalty: Annotated[float | None, typer.Option(help="1 is none.")] = None
    presence_penalty: Annotated[
        float | None, typer.Option(help="Subtracted once from tokens that were there.")
    ] = None
    frequency_penalty: Annotated[
        float | None, typer.Option(help="Subtracted for each time a token was there.")
    ] = None
    max_tokens: Annotated[int | None, typer.Option(help="Most tokens of the answer.")] = None
    max_bytes: Annotated[int | None, typer.Option(help="Most bytes of the answer.")] = None
    stop: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="Ends the answer; may be given several times."),
    ] = None
    json_schema: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="The answer is JSON, valid under the schema in FILE."),
    ] = None
    regex: Annotated[
        str | None,
        typer.Option(metavar="REGEX", help="The answer matches it as a whole."),
    ] = None
    grammar: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="The answer is of the grammar in FILE, which is Lark's."),
    ] = None
    tools: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="The answer may call the tools in FILE: a JSON list, each with name, description "
            "and parameters, as OpenAI has them too.",
        ),
    ] = None
    tool_choice: Annotated[
        str | None,
        typer.Option(
            metavar="auto|none|required|NAME",
            help="Whether the answer calls any of them, or which one it calls.",
        ),
    ] = None

    def options(self) -> dict[str, object]:
        """The client's arguments.

        Raises:
            SettingsError: A file cannot be read, or is not what it must be.
        """
        files: dict[str, object] = {
            name: read_text(given, "what the answer must be").decode()
            for name in ("json_schema", "grammar")
            if (given := getattr(self, name)) is not None
        }
        if self.tools is not None:
            files["tools"] = read_tools(self.tools)
        return asdict(self) | files


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestParameters:
    """Everything that is said of a request: the prompt, the plan, and the answer."""

    prompt: Annotated[
        str, typer.Argument(metavar="PROMPT", help="What to answer; - reads standard input.")
    ]
    plan: PlanParameters
    answer: AnswerParameters
    raw: Annotated[
        bool, typer.Option("--raw", help="Take the prompt as it is, without a chat template.")
    ] = False
    parse_special: Annotated[
        bool,
        typer.Option(
            "--parse-special",
            help="Special tokens written in a --raw prompt are special, as in hand-written turns "
            "and in code with a gap to fill.",
        ),
    ] = False
    system: Annotated[
        str | None, typer.Option(metavar="TEXT", help="System message of the chat.")
    ] = None
    votes: Annotated[
        bool,
        typer.Option(
            "--votes",
            help="Show who wanted what: colours and a table on a terminal; in a pipe the answer "
            "alone goes to standard output and the table to standard error.",
        ),
    ] = False
    top_logprobs: Annotated[
        int | None,
        typer.Option(
            "--top",
            metavar="N",
            help="Show the N best candidates of each token, where --votes shows.",
        ),
    ] = None

    def options(self) -> GenerateOptions:
        """The client's arguments for everything but the prompt, the members and the stages.

        Raises:
            SettingsError: As for ``PlanParameters.options`` and ``AnswerParameters.options``.
        """
        shown = {
            "votes": self.votes,
            "top_logprobs": self.top_logprobs,
            "parse_special": self.parse_special or None,
        }
        return cast("GenerateOptions", {**self.plan.options(), **self.answer.options(), **shown})
