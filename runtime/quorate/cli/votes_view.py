"""Who wanted what: the steps of an answer at which its members disagreed, as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING

from quorate.cli.pieces import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from quorate.v1 import inference_pb2, plan_pb2

# Widths in cells. What is left of the line after the step and the gaps is shared by the pieces.
_STEP, _PERCENT, _GAP = 4, 4, 1
_SHORTEST_PIECE, _LONGEST_PIECE = 4, 16


class Agreement(Enum):
    """How the favourites of the members relate to the token that was chosen."""

    ALL = "all"
    SOME = "some"
    NONE = "none"


STYLES = {Agreement.ALL: "", Agreement.SOME: "yellow", Agreement.NONE: "magenta underline"}
"""Style of a token's text; the underline is for those who see no colours."""


def agreement(token: inference_pb2.Token) -> Agreement:
    """Tells whether all, some or none of the members wanted this token most."""
    wanted = [vote.piece == token.piece for vote in token.votes]
    if all(wanted):
        return Agreement.ALL
    return Agreement.SOME if any(wanted) else Agreement.NONE


def print_votes(
    console: Console,
    members: Sequence[plan_pb2.Member],
    tokens: Sequence[inference_pb2.Token],
    most_rows: int | None = None,
) -> None:
    """Prints the table, its legend and how often the members agreed.

    Args:
        console: Where to; nothing is wider than it.
        members: The members with their weights, as the decision names them.
        tokens: All tokens of the answer, with their votes.
        most_rows: Leaves out later disagreements.
    """
    disputed = [
        (step, token)
        for step, token in enumerate(tokens, start=1)
        if agreement(token) is not Agreement.ALL
    ]
    for letter, member in zip(_letters(len(members)), members, strict=True):
        _say(console, f"{letter} = {member.model}, weight {member.weight:.2f}")
    if disputed:
        console.print(_table(console.width, members, disputed[:most_rows]))
        hidden = len(disputed) - len(disputed[:most_rows])
        if hidden:
            _say(console, f"… and {hidden} more")
        _print_legend(console)
    console.print(summary(tokens), highlight=False, soft_wrap=True)


def summary(tokens: Sequence[inference_pb2.Token]) -> str:
    """One line: at how many tokens the members agreed."""
    kinds = [agreement(token) for token in tokens]
    line = f"agreed on {kinds.count(Agreement.ALL)} of {len(tokens)} tokens"
    compromises = kinds.count(Agreement.NONE)
    if compromises:
        line += f"; {compromises} of the others {'was' if compromises == 1 else 'were'} "
        line += "nobody's favourite"
    return line


def percent(logprob: float) -> str:
    """A probability in percent, in at most four characters."""
    value = 100 * math.exp(logprob)
    if value >= 9.95:
        return f"{value:.0f}"
    if value >= 0.05:
        return f"{value:.1f}"
    return "<0.1" if value > 0 else "0"


def _table(
    width: int,
    members: Sequence[plan_pb2.Member],
    rows: Sequence[tuple[int, inference_pb2.Token]],
) -> Table:
    from rich.table import Table
    from rich.text import Text

    columns = 2 + 3 * len(members)
    fixed = _STEP + 2 * _PERCENT * len(members) + _GAP * columns
    room = (width - fixed) // (1 + len(members))
    piece = min(max(room, _SHORTEST_PIECE), _LONGEST_PIECE)
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    table.add_column("step", justify="right", width=_STEP, no_wrap=True)
    table.add_column("chosen", width=piece, no_wrap=True)
    for letter in _letters(len(members)):
        table.add_column(f"{letter} wants", width=piece, no_wrap=True)
        table.add_column("%", justify="right", width=_PERCENT, no_wrap=True)
        table.add_column("ch.", justify="right", width=_PERCENT, no_wrap=True)
    for step, token in rows:
        cells = [Text(str(step)), Text(visible(token.piece), STYLES[agreement(token)])]
        votes = {vote.model: vote for vote in token.votes}
        for member in members:
            cells += _vote_cells(votes.get(member.model), token.piece)
        table.add_row(*cells)
    return table


def _vote_cells(vote: inference_pb2.Vote | None, chosen: bytes) -> list[Text]:
    from rich.text import Text

    if vote is None:
        return [Text("-", "dim"), Text(""), Text("")]
    style = "green" if vote.piece == chosen else "yellow"
    return [
        Text(visible(vote.piece), style),
        Text(percent(vote.logprob)),
        Text(percent(vote.chosen_logprob), "dim"),
    ]


def _print_legend(console: Console) -> None:
    from rich.text import Text

    legend = Text("", "dim")
    legend.append("%: what the member gave its favourite; ch.: what it gave the chosen token")
    legend.append("\nchosen: ")
    legend.append("some disagreed", STYLES[Agreement.SOME])
    legend.append(", ")
    legend.append("nobody's favourite", STYLES[Agreement.NONE])
    legend.append("; \N{MIDDLE DOT} is a space")
    console.print(legend)


def _say(console: Console, line: str) -> None:
    console.print(line, style="dim", markup=False, highlight=False, soft_wrap=True)


def _letters(count: int) -> list[str]:
    return [chr(ord("A") + number) if number < 26 else str(number + 1) for number in range(count)]
