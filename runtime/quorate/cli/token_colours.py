"""Which characters of a stream belong to which token, and so in which style they are shown."""

from __future__ import annotations

import codecs
from itertools import groupby

from quorate.cli.votes import Agreement, agreement
from quorate.v1 import inference_pb2

STYLES = {Agreement.ALL: "", Agreement.SOME: "yellow", Agreement.NONE: "magenta"}


class TokenColours:
    """Divides the text of deltas into runs of one style.

    Text comes later than its tokens where a code point or a stop string is not complete yet, so
    the styles of characters still to come are kept.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._styles: list[str] = []

    def runs(self, delta: inference_pb2.Delta) -> list[tuple[str, str]]:
        """The text of a delta as pairs of text and style."""
        for token in delta.tokens:
            characters = self._decoder.decode(token.piece)
            self._styles += [STYLES[agreement(token)]] * len(characters)
        count = len(delta.text)
        styles = self._styles[:count] + [""] * (count - len(self._styles))
        del self._styles[:count]
        pairs = zip(delta.text, styles, strict=True)
        return [
            ("".join(char for char, _ in run), style)
            for style, run in groupby(pairs, key=lambda pair: pair[1])
        ]
