"""Special tokens in text: where a template wrote them, and how user text is kept from it.

A vocabulary may have thousands of them, of which a text has a handful. Which those are is found in
one pass, with a trie. What happens then is llama.cpp's rule, one special token after the other;
where none touches another that is the same as from left to right, however many there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, TypeAlias

from quorate.engines.encoding_budget import spend
from quorate.errors import InvalidRequest

Run: TypeAlias = int | str
"""A special token's id, or text in which nothing is special."""

# Roles that templates mean when they write '<|' + role + '|>'.
COMMON_ROLES = frozenset({"system", "developer", "user", "assistant", "model", "tool", "function"})
_WHITESPACE = " \t\n\v\f\r"
_PRIVATE_USE = ((0xE000, 0xF8FF), (0xF0000, 0xFFFFD), (0x100000, 0x10FFFD))
# Under which a trie keeps the length of the special token that ends there.
_END = ""
_DIVIDER = "\0"


@dataclass(frozen=True, slots=True)
class SpecialToken:
    """A token that only a template may write.

    Attributes:
        text: How templates write it; not empty.
        strips_left: White space before it disappears.
        strips_right: White space after it disappears.
    """

    token: int
    text: str
    strips_left: bool = False
    strips_right: bool = False


class SpecialTokens:
    """The special tokens of one model.

    Args:
        specials: In any order; of several with one text the first counts.
    """

    def __init__(self, specials: Iterable[SpecialToken]) -> None:
        # Longest first, so that no special token hides inside another.
        self._ordered = sorted(specials, key=lambda special: -len(special.text))

    @property
    def longest(self) -> int:
        """Characters of the longest one; 0 where there are none."""
        return len(self._ordered[0].text) if self._ordered else 0

    def prepare(self) -> None:
        """Builds what it looks things up in; else the first chat waits for that."""
        self._first_characters, self._ends, self._beginnings, self._characters, self._joined  # noqa: B018

    def partition(self, text: str) -> list[Run]:
        """Divides text into special tokens and the runs of text between them.

        The order is llama.cpp's (``tokenizer_st_partition``): one special token after the other,
        the longest first and of equally long ones the earliest, over all that is still text. Empty
        runs are left out.
        """
        found = self._occurrences(text)
        specials = self._by_precedence(text, found)
        if _are_apart(found) and not _strip_one_another(specials):
            return list(self._cut(text, found))
        runs: list[Run] = [text]
        for special in specials:
            spend(0)
            runs = [part for run in runs for part in _split(run, special)]
        return [run for run in runs if run != ""]

    def shield(self, text: str, sentinel: str) -> str:
        """Breaks every special token in a text, and every half of one at its ends.

        A half could be completed by what the template puts beside it. The sentinel goes inside the
        white space at the ends, which templates like to trim.
        """
        found = self._occurrences(text)
        # One of a single character cannot be broken, and is marked for each that is written so.
        if _are_apart(found) and all(end - start > 1 for start, end in found):
            firsts = [0, *(start + 1 for start, _ in found), len(text)]
            text = sentinel.join(text[start:end] for start, end in pairwise(firsts))
        else:
            for special in self._by_precedence(text, found):
                spend(0)
                text = text.replace(special.text, special.text[0] + sentinel + special.text[1:])
        core = text.strip()
        if not core:
            return text
        start = text.index(core)
        end = start + len(core)
        before = sentinel if self._completes(core) else ""
        after = sentinel if self._begins(core) else ""
        return text[:start] + before + core + after + text[end:]

    def shield_role(self, role: str, sentinel: str) -> str:
        """As ``shield``; also breaks a role which is the middle of a special token."""
        if role in COMMON_ROLES:
            return role
        if self._is_within_one(role):
            return role[:1] + sentinel + role[1:]
        return self.shield(role, sentinel)

    def absent_characters(self, *texts: str) -> Iterator[str]:
        """Private-use characters that occur neither in these texts nor in any special token.

        From U+E000 on, then planes 15 and 16.

        Raises:
            InvalidRequest: There is none left.
        """
        used = self._characters.union(*texts)
        for first, last in _PRIVATE_USE:
            for code_point in range(first, last + 1):
                if chr(code_point) not in used:
                    yield chr(code_point)
        raise InvalidRequest("chat", "uses every private-use character of Unicode; leave one out")

    def _occurrences(self, text: str) -> list[tuple[int, int]]:
        """Where special tokens begin and end in a text, also within others, as they begin."""
        if not self._ordered:
            return []
        trie, found = self._trie, []
        for match in self._first_characters.finditer(text):
            start = at = match.start()
            node = trie
            while at < len(text) and (following := node.get(text[at])) is not None:
                node = following
                at += 1
                if _END in node:
                    found.append((start, at))
        return found

    def _by_precedence(self, text: str, found: Iterable[tuple[int, int]]) -> list[SpecialToken]:
        texts = {text[start:end] for start, end in found}
        ranks = sorted(rank for one in texts for rank in self._ranks[one])
        return [self._ordered[rank] for rank in ranks]

    def _cut(self, text: str, found: Iterable[tuple[int, int]]) -> Iterator[Run]:
        """``partition`` in one pass, for special tokens that have nothing to do with each other."""
        at, strips = 0, False
        for start, end in found:
            special = self._ordered[self._ranks[text[start:end]][0]]
            piece = text[at:start].lstrip(_WHITESPACE) if strips else text[at:start]
            if piece := piece.rstrip(_WHITESPACE) if special.strips_left else piece:
                yield piece
            yield special.token
            at, strips = end, special.strips_right
        if piece := text[at:].lstrip(_WHITESPACE) if strips else text[at:]:
            yield piece

    def _completes(self, core: str) -> bool:
        """Whether a proper end of a special token begins the text."""
        ends = self._ends
        return any(core[:length] in ends for length in range(1, min(self.longest, len(core) + 1)))

    def _begins(self, core: str) -> bool:
        """Whether a proper beginning of a special token ends the text."""
        beginnings = self._beginnings
        return any(
            core[-length:] in beginnings for length in range(1, min(self.longest, len(core) + 1))
        )

    def _is_within_one(self, role: str) -> bool:
        return len(role) <= self.longest and (
            role in self._joined
            if _DIVIDER not in role
            else any(role in text for text in self._ranks)
        )

    @cached_property
    def _joined(self) -> str:
        """All of them in one text: there may be thousands, and as many roles."""
        return _DIVIDER.join(self._ranks)

    @cached_property
    def _ranks(self) -> dict[str, list[int]]:
        """Where those of a text stand in the order of precedence."""
        ranks: dict[str, list[int]] = {}
        for rank, special in enumerate(self._ordered):
            ranks.setdefault(special.text, []).append(rank)
        return ranks

    @cached_property
    def _trie(self) -> dict[str, Any]:
        trie: dict[str, Any] = {}
        for text in self._ranks:
            node = trie
            for character in text:
                node = node.setdefault(character, {})
            node[_END] = True
        return trie

    @cached_property
    def _first_characters(self) -> re.Pattern[str]:
        firsts = "".join(map(re.escape, self._trie))
        return re.compile(f"[{firsts}]" if firsts else r"(?!)")

    @cached_property
    def _ends(self) -> frozenset[str]:
        """Every proper end of every one."""
        return frozenset(text[cut:] for text in self._ranks for cut in range(1, len(text)))

    @cached_property
    def _beginnings(self) -> frozenset[str]:
        """Every proper beginning of every one."""
        return frozenset(text[:cut] for text in self._ranks for cut in range(1, len(text)))

    @cached_property
    def _characters(self) -> frozenset[str]:
        return frozenset().union(*self._ranks)


def _are_apart(found: Sequence[tuple[int, int]]) -> bool:
    """Whether none of them begins before the one in front of it has ended."""
    return all(end <= start for (_, end), (start, _) in pairwise(found))


def _strip_one_another(specials: Sequence[SpecialToken]) -> bool:
    """Whether one might take white space away that another begins or ends with."""
    return any(one.strips_left or one.strips_right for one in specials) and any(
        one.text != one.text.strip(_WHITESPACE) for one in specials
    )


def _split(run: Run, special: SpecialToken) -> list[Run]:
    if isinstance(run, int):
        return [run]
    pieces = run.split(special.text)
    parts: list[Run] = []
    for index, piece in enumerate(pieces):
        if special.strips_right and index > 0:
            piece = piece.lstrip(_WHITESPACE)
        if special.strips_left and index < len(pieces) - 1:
            piece = piece.rstrip(_WHITESPACE)
        parts += [special.token, piece] if index > 0 else [piece]
    return parts
