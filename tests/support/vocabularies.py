"""Vocabularies of one family: the same ordinary tokens, other special ones and other tails."""

from __future__ import annotations

from collections.abc import Sequence

from quorate.engines.vocabulary import Vocabulary

_ORDINARY = (*(bytes((byte,)) for byte in range(256)), *(b"t%d" % index for index in range(344)))
END = "<|endoftext|>"


def family(
    marks: Sequence[str] = ("<|im_start|>", "<|im_end|>"),
    ends: Sequence[str] = (),
    added: Sequence[bytes] = (),
    bos: bool = False,
    unnamed: int = 0,
) -> Vocabulary:
    """600 ordinary tokens, then the end and other marks, then added text, then ids without names.

    Args:
        marks: Texts of control tokens behind ``<|endoftext|>``.
        ends: Those of them that end generation too.
        added: Tokens behind them that are text.
        bos: Whether the first mark begins texts.
        unnamed: Ids at the end that stand for nothing.
    """
    names = dict(enumerate((END, *marks), len(_ORDINARY)))
    pieces = (*_ORDINARY, *(b"" for _ in names), *added, *(b"" for _ in range(unnamed)))
    control = frozenset(token for token, piece in enumerate(pieces) if not piece)
    return Vocabulary(
        pieces,
        control,
        end_of_generation=frozenset(t for t, name in names.items() if name in (END, *ends)),
        bos=len(_ORDINARY) + 1 if bos else None,
        unsayable=control - names.keys(),
        names=names,
    )


def id_of(vocabulary: Vocabulary, text: str) -> int:
    """The id of a control token, or of a text that is one token."""
    for token, name in vocabulary.names.items():
        if name == text:
            return token
    return vocabulary.pieces.index(text.encode())
