"""Which vocabularies are near enough to vote token by token though they are not equal.

A base model and its instruct, two generations of a family, a fine-tune with added tokens: they cut
text alike and differ in special tokens or at the end of the table. Between others bytes are the
honest way.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, compress, count
from operator import ne
from weakref import WeakKeyDictionary

from quorate.engines.vocabulary import Vocabulary

LEAST_SHARED = 0.99
"""Share of either vocabulary's ordinary tokens that both must have, under the same ids.

A fine-tune adds some hundreds of tokens to a hundred thousand; whoever adds more, as those do who
teach a model another script, also made it cut that script otherwise. And of two tables that were
made by one method the smaller can be the beginning of the larger, which cut all text differently.
"""

# What was found of pairs, by the first table and the other's fingerprint; gone with the first.
_FOUND: WeakKeyDictionary[Vocabulary, dict[str, str]] = WeakKeyDictionary()


def disagreement(vocabularies: Sequence[Vocabulary]) -> str:
    """Why vocabularies cannot vote token by token, or "" where they can.

    Equal ones can. Others can where no id is one ordinary token in one of them and another in
    another (one is enough to refuse), where they cut text by the same pre-tokenizer, and where
    hardly any ordinary token is in one alone, see ``LEAST_SHARED``. Control tokens and ends of
    generation may differ in any way: what they are is told by their texts.
    """
    for first, second in combinations(vocabularies, 2):
        if first.fingerprint == second.fingerprint:
            continue
        found = _FOUND.setdefault(first, {})
        if second.fingerprint not in found:
            found[second.fingerprint] = _of_pair(first, second)
        if problem := found[second.fingerprint]:
            return problem
    return ""


def _of_pair(first: Vocabulary, second: Vocabulary) -> str:
    if not (first.has_bytes and second.has_bytes):
        return "one does not say what bytes its tokens stand for"
    if first.pre_tokenizer != second.pre_tokenizer:
        names = sorted(one.pre_tokenizer or "unknown" for one in (first, second))
        return f"their pre-tokenizers differ: {' and '.join(names)}"
    only_first = sum(map(bool, first.pieces[len(second) :]))
    # A table has some hundred thousand tokens, of which hardly any differ.
    for token in compress(count(), map(ne, first.pieces, second.pieces)):
        one, other = first.pieces[token], second.pieces[token]
        if one and other:
            return f"token {token} is {_shown(one)} in one and {_shown(other)} in the other"
        only_first += bool(one)
    spelled = [len(one) - len(one.control) for one in (first, second)]
    shared, most = spelled[0] - only_first, max(spelled)
    if shared < LEAST_SHARED * most:
        return f"they share {shared} of {most} ordinary tokens, fewer than {LEAST_SHARED:.0%}"
    return ""


def _shown(piece: bytes) -> str:
    return repr(piece.decode("utf-8", errors="backslashreplace"))
