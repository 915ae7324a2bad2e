"""Between which tokens a model reasons, as its own template and vocabulary say."""

from __future__ import annotations

from quorate.engines.vocabulary import Vocabulary

# What templates write around reasoning, where it is one token each.
_PAIRS = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
)


def reasoning_marks(template: str | None, vocabulary: Vocabulary) -> tuple[tuple[int, int], ...]:
    """The tokens that begin and end a model's reasoning, in pairs.

    A pair counts where the template knows both texts and each is one token of the vocabulary, a
    control token or not. Texts that merely look so are text.
    """
    if template is None:
        return ()
    known = [pair for pair in _PAIRS if all(text in template for text in pair)]
    wanted = {text.encode() for pair in known for text in pair}
    if not wanted:
        return ()
    ids = {name.encode(): token for token, name in vocabulary.names.items()}
    ids |= {piece: token for token, piece in enumerate(vocabulary.pieces) if piece in wanted}
    found = [(ids.get(begin.encode()), ids.get(end.encode())) for begin, end in known]
    return tuple((begin, end) for begin, end in found if begin is not None and end is not None)
