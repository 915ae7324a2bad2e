"""A snapshot of a byte beam without its sessions, and how its contexts are rebuilt from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from quorate.engines.byte_order import Prefix
from quorate.ensemble.alignments.bytes.contexts import Context


@dataclass(frozen=True, slots=True)
class Sketch:
    """A hypothesis without its session.

    Attributes:
        prefix: The bytes seen of the next one.
        weight: Its share of everything that is still possible.
        complete: Whether its last token has only just ended, so that nothing is known of what
            follows and the control tokens that may are still part of its share.
    """

    tokens: list[int]
    prefix: Prefix
    weight: float
    complete: bool = False


class Growth(NamedTuple):
    """A context to be grown, see ``ContextTree.grow``."""

    parent: Context
    tokens: list[int]
    keep_parent: bool


def common_start(sketches: Sequence[Sketch]) -> list[int]:
    """The longest start that the tokens of all sketches share."""
    first = min(sketch.tokens for sketch in sketches)
    last = max(sketch.tokens for sketch in sketches)
    length = 0
    while length < min(len(first), len(last)) and first[length] == last[length]:
        length += 1
    return first[:length]


async def regrow(
    root: Context,
    sketches: Sequence[Sketch],
    grow: Callable[[Sequence[Growth]], Awaitable[Sequence[Context]]],
) -> list[tuple[Context, Sketch]]:
    """Grows the tree of all sketches level by level, every shared token once.

    ``root`` holds the tokens that all sketches share, evaluated; ``grow`` grows contexts side by
    side and returns them evaluated. The sketches come in any order, with their contexts.
    """
    regrown: list[tuple[Context, Sketch]] = []
    level = [(root, list(sketches))]
    while level:
        growths: list[Growth] = []
        groups: list[list[Sketch]] = []
        for context, members in level:
            here = [one for one in members if len(one.tokens) == context.length]
            regrown += [(context, one) for one in here]
            branches = _by_next_token(members, context.length)
            for left, group in enumerate(branches, 1 - len(branches)):
                tokens = common_start(group)[context.length :]
                growths.append(Growth(context, tokens, keep_parent=left < 0 or bool(here)))
                groups.append(group)
        level = list(zip(await grow(growths), groups, strict=True)) if growths else []
    return regrown


def _by_next_token(sketches: Sequence[Sketch], length: int) -> list[list[Sketch]]:
    groups: dict[int, list[Sketch]] = {}
    for sketch in sketches:
        if len(sketch.tokens) > length:
            groups.setdefault(sketch.tokens[length], []).append(sketch)
    return list(groups.values())
