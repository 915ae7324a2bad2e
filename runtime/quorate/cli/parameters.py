"""The parameters that commands share: what is asked, and what an answer may take.

Their names on the command line are those of ``quorate.client``, but for a few that are shorter.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, cast

import typer

from quorate.cli.inputs import read_text, read_tools
from quorate.cli.plan_parameters import PlanParameters

if TYPE_CHECKING:
    from quorate.client import GenerateOptions

Timeout = Annotated[float | None, typer.Option(metavar="SECONDS", help="Deadline of the answer.")]
JsonLines = Annotated[bool, typer.Option("--json", help="Print JSON lines.")]


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
