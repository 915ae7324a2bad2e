"""The options of an answer, shared by the commands that ask for one and that explain one."""

from __future__ import annotations

from typing import Annotated

import typer

Prompt = Annotated[
    str, typer.Argument(metavar="PROMPT", help="What to answer; - reads standard input.")
]
Temperature = Annotated[float | None, typer.Option(help="0 is greedy.")]
TopP = Annotated[float | None, typer.Option(help="Mass of the nucleus.")]
TopK = Annotated[int | None, typer.Option(help="Candidates kept; 0 keeps all.")]
MinP = Annotated[
    float | None, typer.Option(help="Least share of the best candidate's probability.")
]
Seed = Annotated[int | None, typer.Option(help="Makes the answer repeatable.")]
RepetitionPenalty = Annotated[float | None, typer.Option(help="1 is none.")]
PresencePenalty = Annotated[
    float | None, typer.Option(help="Subtracted once from tokens that were there.")
]
FrequencyPenalty = Annotated[
    float | None, typer.Option(help="Subtracted for each time a token was there.")
]
MaxTokens = Annotated[int | None, typer.Option(help="Most tokens of the answer.")]
MaxBytes = Annotated[int | None, typer.Option(help="Most bytes of the answer.")]
Stop = Annotated[
    list[str] | None,
    typer.Option(metavar="TEXT", help="Ends the answer; may be given several times."),
]
Raw = Annotated[
    bool, typer.Option("--raw", help="Take the prompt as it is, without a chat template.")
]
System = Annotated[str | None, typer.Option(metavar="TEXT", help="System message of the chat.")]
Votes = Annotated[
    bool,
    typer.Option(
        "--votes",
        help="Show who wanted what: colours and a table on a terminal; in a pipe the answer "
        "alone goes to standard output and the table to standard error.",
    ),
]
Top = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Show the N best candidates of each token, where --votes shows."
    ),
]
LatencyMs = Annotated[
    float | None,
    typer.Option(
        metavar="MS", help="Most milliseconds to the end of the answer, waiting included."
    ),
]
Joules = Annotated[
    float | None, typer.Option(metavar="J", help="Most joules that the models may take.")
]
Usd = Annotated[
    float | None, typer.Option(metavar="USD", help="Most US dollars that remotes may charge.")
]
LocalOnly = Annotated[
    bool, typer.Option("--local-only", help="Nothing of the request may leave the machine.")
]
Task = Annotated[
    str | None,
    typer.Option(
        metavar="TAG", help="What kind of request it is, such as code; models are chosen by it."
    ),
]
Timeout = Annotated[float | None, typer.Option(metavar="SECONDS", help="Deadline of the answer.")]
