"""How far the members of a vote agreed on each token, in colours and tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import Enum

from rich.console import Console
from rich.table import Table
from rich.text import Text

from quorate.cli.views.formatting import energy_text, percent, visible
from quorate.v1 import inference_pb2, plan_pb2

_STEP_WIDTH = 4
_PERCENT_WIDTH = 4
_WIDEST_PIECE = 16
_NARROWEST_BESIDE_WEIGHTS = 6
_WIDEST_CANDIDATE = 10
_CHOSEN = "chosen \N{CHECK MARK}"
_P_CHOSEN = "p(\N{CHECK MARK})"


class Agreement(Enum):
    """How the members' favourites relate to the token that was chosen."""

    ALL = "all"
    """The chosen token was the favourite of all."""
    SOME = "some"
    """The favourite of some was chosen, and others had another."""
    NONE = "none"
    """The chosen token was the favourite of none."""


STYLES = {Agreement.ALL: "", Agreement.SOME: "yellow", Agreement.NONE: "magenta"}


def agreement(token: inference_pb2.Token) -> Agreement:
    """How far the members agreed on one token; without votes they did."""
    chosen = [_is_for(vote, token) for vote in token.votes]
    if all(chosen):
        return Agreement.ALL
    return Agreement.SOME if any(chosen) else Agreement.NONE


def _is_for(vote: inference_pb2.Vote, token: inference_pb2.Token) -> bool:
    """Whether a member's favourite was chosen; some tokens have no bytes to be told by."""
    if not token.piece:
        return not vote.piece and vote.chosen_logprob >= vote.logprob
    return vote.piece == token.piece


def disagreements(tokens: Sequence[inference_pb2.Token]) -> list[tuple[int, inference_pb2.Token]]:
    """The tokens that some member would have chosen differently, with their steps from 1 on."""
    return [
        (step, token)
        for step, token in enumerate(tokens, 1)
        if agreement(token) is not Agreement.ALL
    ]


def by_words(tokens: Sequence[inference_pb2.Token]) -> bool:
    """Whether the tokens are the words of a byte-exact vote, which no vocabulary has."""
    return bool(tokens) and not any(token.HasField("token_id") for token in tokens)


def weights_moved(
    tokens: Sequence[inference_pb2.Token], members: Sequence[plan_pb2.Member]
) -> bool:
    """Whether some member voted with another weight than the plan gave it."""
    given = {member.model: member.weight for member in members}
    return any(
        not math.isclose(vote.weight, given.get(vote.model, vote.weight), abs_tol=1e-6)
        for token in tokens
        for vote in token.votes
    )


def summary(tokens: Sequence[inference_pb2.Token]) -> str:
    """One line that counts the tokens on which all agreed."""
    agreed = len(tokens) - len(disagreements(tokens))
    unit = "word" if by_words(tokens) else "token"
    return f"agreed on {agreed} of {len(tokens)} {unit}{'' if len(tokens) == 1 else 's'}"


def print_votes(
    tokens: Sequence[inference_pb2.Token],
    members: Sequence[plan_pb2.Member],
    console: Console,
    usages: Sequence[inference_pb2.ModelUsage] = (),
) -> None:
    """Prints the steps on which the members disagreed, with a legend and a count.

    Args:
        tokens: All tokens of an answer, with their votes.
        members: The members with their weights, as the decision names them.
        console: Where to, and how wide it is.
        usages: What each model spent, told in the legend.
    """
    if len(members) < 2:
        console.print("one member alone: there was nothing to vote on", style="dim")
        return
    console.print()
    if disagreements(tokens):
        console.print(votes_table(tokens, members, console.width))
        console.print(_legend(tokens, members, console.width, usages))
        if console.color_system is not None:
            console.print(_colours())
    console.print(summary(tokens), style="bold")


def print_candidates(tokens: Sequence[inference_pb2.Token], console: Console) -> None:
    """Prints the mixture's best candidates for each token, as many as fit."""
    console.print()
    console.print(candidates_table(tokens, console.width))
    if by_words(tokens):
        console.print("the candidates are those for the first byte of a word", style="dim")


def votes_table(
    tokens: Sequence[inference_pb2.Token], members: Sequence[plan_pb2.Member], width: int
) -> Table:
    """A row for each step on which the members disagreed, at most ``width`` columns wide.

    Args:
        tokens: All tokens of an answer, with their votes.
        members: Three columns for each, and a fourth where weights moved and it fits.
        width: Columns there are; two to four members fit in 80.
    """
    weights = _shows_weights(tokens, members, width)
    piece_width = _piece_width(len(members), 3 if weights else 2, width)
    table = _table()
    _add_column(table, "step", _STEP_WIDTH, right=True)
    _add_column(table, _CHOSEN, max(piece_width, len(_CHOSEN)))
    for letter in _letters(len(members)):
        _add_column(table, f"{letter} wants" if piece_width >= 7 else letter, piece_width)
        _add_column(table, "p", _PERCENT_WIDTH, right=True)
        _add_column(table, _P_CHOSEN, _PERCENT_WIDTH, right=True)
        if weights:
            _add_column(table, "w", _PERCENT_WIDTH, right=True)
    for step, token in disagreements(tokens):
        style = f"bold {STYLES[agreement(token)]}"
        cells = [Text(str(step), style="dim"), Text(_shown(token), style=style)]
        votes = {vote.model: vote for vote in token.votes}
        for member in members:
            columns = _vote_cells(votes.get(member.model), token)
            cells += columns if weights else columns[:-1]
        table.add_row(*cells)
    return table


def candidates_table(tokens: Sequence[inference_pb2.Token], width: int) -> Table:
    """A row for each token, with as many of its best candidates as fit in ``width`` columns."""
    pair = _WIDEST_CANDIDATE + _PERCENT_WIDTH + 2
    most = max(1, (width - _STEP_WIDTH - _WIDEST_CANDIDATE - 2) // pair)
    count = min(max((len(token.top) for token in tokens), default=0), most)
    table = _table()
    _add_column(table, "step", _STEP_WIDTH, right=True)
    _add_column(table, _CHOSEN, _WIDEST_CANDIDATE)
    for rank in range(1, count + 1):
        _add_column(table, f"{rank}.", _WIDEST_CANDIDATE)
        _add_column(table, "p", _PERCENT_WIDTH, right=True)
    for step, token in enumerate(tokens, 1):
        cells = [Text(str(step), style="dim"), Text(_shown(token), style="bold")]
        for candidate in token.top[:count]:
            cells += [Text(visible(candidate.piece)), Text(percent(candidate.logprob))]
        table.add_row(*cells)
    return table


def _shown(token: inference_pb2.Token) -> str:
    """A token in one line; a control token by its id where it has one, for it has no text."""
    if not token.control or token.piece:
        return visible(token.piece)
    return f"<{token.token_id}>" if token.HasField("token_id") else "<control>"


def _vote_cells(vote: inference_pb2.Vote | None, token: inference_pb2.Token) -> list[Text]:
    if vote is None:
        return [Text("-", style="dim"), Text(), Text(), Text()]
    style = "dim" if _is_for(vote, token) else "yellow"
    return [
        Text(visible(vote.piece), style=style),
        Text(percent(vote.logprob)),
        Text(percent(vote.chosen_logprob), style="dim"),
        Text(percent(math.log(vote.weight) if vote.weight > 0 else -math.inf), style="cyan"),
    ]


def _shows_weights(
    tokens: Sequence[inference_pb2.Token], members: Sequence[plan_pb2.Member], width: int
) -> bool:
    fits = _piece_width(len(members), 3, width) >= _NARROWEST_BESIDE_WEIGHTS
    return fits and weights_moved(tokens, members)


def _piece_width(members: int, percents: int, width: int) -> int:
    """Columns for one piece, so that a table with so many percents for each member fits."""
    fixed = _STEP_WIDTH + 2 + members * (percents * (_PERCENT_WIDTH + 1) + 1)
    for piece in range(_WIDEST_PIECE, 3, -1):
        if fixed + max(piece, len(_CHOSEN)) + members * piece <= width:
            return piece
    return 3


def _legend(
    tokens: Sequence[inference_pb2.Token],
    members: Sequence[plan_pb2.Member],
    width: int,
    usages: Sequence[inference_pb2.ModelUsage],
) -> Text:
    energies = {usage.model: energy_text(usage.energy) for usage in usages}
    weight = "prior" if weights_moved(tokens, members) else "weight"
    legend = Text("\n")
    for letter, member in zip(_letters(len(members)), members, strict=True):
        legend.append(f"{letter} ", style="bold")
        energy = f", {energies[member.model]}" if member.model in energies else ""
        legend.append(f"{member.model}, {weight} {member.weight:.2g}{energy}\n")
    if by_words(tokens):
        legend.append("wants: the word as far as it agreed, then its favourite byte after byte\n")
    unit = "word" if by_words(tokens) else "token"
    legend.append(
        f"p: how probable it found {'that' if unit == 'word' else 'its favourite'}; "
        f"{_P_CHOSEN}: the chosen {unit}"
    )
    if _shows_weights(tokens, members, width):
        legend.append("; w: its weight")
    return legend


def _colours() -> Text:
    return Text.assemble(
        ("yellow", STYLES[Agreement.SOME]),
        ": somebody wanted another; ",
        ("magenta", STYLES[Agreement.NONE]),
        ": nobody's favourite",
    )


def _letters(count: int) -> list[str]:
    """A short name for each member: A, B, …, and numbers after Z."""
    return [chr(ord("A") + i) if i < 26 else str(i + 1) for i in range(count)]


def _table() -> Table:
    return Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")


def _add_column(table: Table, heading: str, width: int, *, right: bool = False) -> None:
    table.add_column(heading, width=width, justify="right" if right else "left", no_wrap=True)
