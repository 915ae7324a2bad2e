"""The union of near-equal vocabularies: one set of symbols, and every member's way into it.

Symbols are ids as far as the members agree on them; behind them stand the end, which all ends of
generation are, and what is another token under the same id in another member. A text that is a
token of its own under different ids is one symbol.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import compress, count
from operator import ne, not_
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from quorate.engines.contract import LogProbs
from quorate.engines.vocabulary import Vocabulary


class MemberView:
    """How one member's tokens and rows become symbols.

    Args:
        own: Its vocabulary.
        moved: Symbols of those ids that are not their own symbol; ends are not among them.
        ends: Its ids that are the end.
        end: The symbol of the end.
    """

    def __init__(
        self, own: Vocabulary, moved: Mapping[int, int], ends: frozenset[int], end: int
    ) -> None:
        self._size = len(own)
        self._end = end
        self._moved = moved
        self._ids = {symbol: token for token, symbol in moved.items()}
        self._elsewhere = ends | moved.keys()
        self._ends: npt.NDArray[np.intp] = np.array(sorted(ends), np.intp)
        self._from: npt.NDArray[np.intp] = np.array(list(moved), np.intp)
        self._to: npt.NDArray[np.intp] = np.array(list(moved.values()), np.intp)

    def write(self, row: LogProbs, out: LogProbs) -> None:
        """Writes a row of the member as one over the symbols: what it lacks has no probability.

        Args:
            row: float32 of shape (vocabulary,).
            out: float32 of shape (symbols,).
        """
        out[: self._size] = row
        out[self._size :] = -np.inf
        out[self._from] = -np.inf
        out[self._ends] = -np.inf
        # Another member's token may stand where one of these did.
        out[self._to] = row[self._from]
        if len(self._ends):
            out[self._end] = np.logaddexp.reduce(row[self._ends].astype(np.float64))

    def symbol(self, token: int) -> int:
        """The symbol of one of its tokens."""
        if token in self._elsewhere:
            return self._moved.get(token, self._end)
        return token

    def token(self, symbol: int) -> int | None:
        """Its token for a symbol that is not the end, or None where it has none."""
        if symbol in self._ids:
            return self._ids[symbol]
        return symbol if symbol < self._size and symbol not in self._elsewhere else None


class TokenUnion:
    """What members vote on whose vocabularies are near-equal, see ``engines.near_equal``.

    A control token that ends generation in one of them does so in all that have it. A token is a
    control token only where it is one in all that have it: elsewhere its text would be lost.

    Attributes:
        vocabulary: The symbols.
        longest: Ids there are; the symbols behind them are no ids.
    """

    def __init__(self, vocabularies: Sequence[Vocabulary]) -> None:
        self.longest = max(map(len, vocabularies))
        self._end = self.longest
        self._texts = {one.fingerprint: _texts(one) for one in vocabularies}
        ends = [(one, token) for one in vocabularies for token in one.end_of_generation]
        self._ending = {self._texts[one.fingerprint][token] for one, token in ends} - {b""}
        # By symbol. What the members so far have under no id is not claimed yet.
        self._claims: list[bytes | None] = [None] * (self.longest + 1)
        self._pieces: list[bytes] = [b""] * (self.longest + 1)
        # Symbols by their texts, of tokens that another member may have under another id.
        self._by_text: dict[bytes, int] = {}
        shortest = min(map(len, vocabularies))
        first = vocabularies[0]
        self._claims[: len(first)], self._pieces[: len(first)] = (
            self._texts[first.fingerprint],
            first.pieces,
        )
        self._without_bytes = sorted(first.control)
        self._views = {one.fingerprint: self._add(one, shortest) for one in vocabularies}
        self._texts.clear()
        self.vocabulary = Vocabulary(
            tuple(self._pieces),
            control=frozenset(compress(count(), map(not_, self._pieces))),
            end_of_generation=frozenset({self._end}),
            names=self._names(),
        )

    def _names(self) -> dict[int, str]:
        """What control tokens are called whose symbols are ids."""
        pairs = zip(self._claims[: self.longest], self._pieces, strict=False)
        return {
            symbol: text.decode(errors="replace")
            for symbol, (text, piece) in enumerate(pairs)
            if text and not piece
        }

    def view(self, vocabulary: Vocabulary) -> MemberView:
        """How one of the vocabularies becomes symbols."""
        return self._views[vocabulary.fingerprint]

    def symbol_of_id(self, token: int) -> int:
        """The symbol that a caller means by an id, as the first member has it."""
        ends = self._claims[token] in self._ending and not self._pieces[token]
        return self._end if ends else token

    def _add(self, own: Vocabulary, shortest: int) -> MemberView:
        texts = self._texts[own.fingerprint]
        ends = own.end_of_generation.union(t for t in own.control if texts[t] in self._ending)
        others = [*compress(count(), map(ne, texts, self._claims))]
        # The first that has bytes says what they are.
        for token in self._without_bytes:
            if token < len(own) and self._claims[token] == texts[token]:
                self._pieces[token] = self._pieces[token] or own.pieces[token]
        for token in others:
            self._remember(token)
        moved: dict[int, int] = {}
        taken: set[int] = set()
        for token in others:
            if token in ends:
                self._claims[token] = self._claims[token] or texts[token]
            else:
                moved[token] = self._symbol_for(token, own, taken)
                taken.add(moved[token])
        for token in {*own.control, *range(shortest, len(own))} - ends - moved.keys():
            self._remember(token)
        moved = {token: symbol for token, symbol in moved.items() if token != symbol}
        return MemberView(own, moved, ends, self._end)

    def _remember(self, symbol: int) -> None:
        """Makes a symbol known by its text, where it has one that is not known."""
        text = self._claims[symbol]
        if text:
            self._by_text.setdefault(text, symbol)

    def _symbol_for(self, token: int, own: Vocabulary, taken: set[int]) -> int:
        """The symbol of a token that is not what others have under its id."""
        texts = self._texts[own.fingerprint]
        text = texts[token]
        known = self._by_text.get(text)
        if known is not None and known not in taken and not _has(texts, known, text):
            if not self._pieces[known]:
                self._pieces[known] = own.pieces[token]
            return known
        if self._claims[token] is None:
            self._claims[token], self._pieces[token] = text, own.pieces[token]
            self._remember(token)
            return token
        self._claims.append(text)
        self._pieces.append(own.pieces[token])
        self._remember(len(self._claims) - 1)
        return len(self._claims) - 1


# The same members come again and again. What was made for a table is gone with it.
_UNIONS: WeakKeyDictionary[Vocabulary, dict[tuple[str, ...], TokenUnion]] = WeakKeyDictionary()


def unite_tokens(vocabularies: Sequence[Vocabulary]) -> TokenUnion:
    """The union of near-equal vocabularies, remembered for the next request."""
    known = _UNIONS.setdefault(vocabularies[0], {})
    fingerprints = tuple(one.fingerprint for one in vocabularies)
    if fingerprints not in known:
        known[fingerprints] = TokenUnion(vocabularies)
    return known[fingerprints]


def _texts(vocabulary: Vocabulary) -> list[bytes]:
    """Every token's bytes, or what a control token is called."""
    texts = list(vocabulary.pieces)
    for token in vocabulary.control:
        if token < len(texts):
            texts[token] = vocabulary.names.get(token, "").encode()
    return texts


def _has(texts: Sequence[bytes], token: int, text: bytes) -> bool:
    return token < len(texts) and texts[token] == text
