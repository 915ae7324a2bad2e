"""Which characters of a stream belong to which token, and so in which style they are shown."""

from __future__ import annotations

import codecs
from itertools import groupby

from quorate.cli.votes import Agreement, agreement
from quorate.v1 import inference_pb2

STYLES = {Agreement.ALL: "", Agreement.SOME: "yellow", Agreement.NONE: "magenta"}


class TokenColours:
    """Divides the text of deltas into runs of one style.

    Text comes later than its tokens where a code point or a stop string is not complete yet, and
    earlier where a word is not: whichever is ahead is kept until the other has come.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        self._styles: list[str] = []

    def runs(self, delta: inference_pb2.Delta) -> list[tuple[str, str]]:
        """The text that a delta completes, as pairs of text and style."""
        self._text += delta.text
        for token in delta.tokens:
            characters = self._decoder.decode(token.piece)
            self._styles += [STYLES[agreement(token)]] * len(characters)
        count = min(len(self._text), len(self._styles))
        pairs = list(zip(self._text[:count], self._styles[:count], strict=True))
        self._text = self._text[count:]
        del self._styles[:count]
        return [
            ("".join(char for char, _ in run), style)
            for style, run in groupby(pairs, key=lambda pair: pair[1])
        ]

    def rest(self) -> str:
        """The text whose token has not come; it counts as shown from now on."""
        rest, self._text = self._text, ""
        return rest
