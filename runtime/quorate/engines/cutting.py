"""How a tokenizer cuts text, told by what it does.

Two models can have the same tokens and still write the same text in different ones: their
pre-tokenizers cut it in other places, or their merges come in another order. Names do not tell: a
GGUF file and a checkpoint call the same pre-tokenizer differently, and a file may name a wrong one,
or none. So a fixed text is tokenised and the tokens are compared. The probes touch what
pre-tokenizers are known to differ in, and keep to characters that every faithful implementation
sorts the same way: none that Unicode has come to know lately.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence

PROBES = (
    # Contractions in both cases and with both apostrophes, digits, money, a date.
    "In 2024, the café's 1234567 visitors (don't laugh) paid $3,456.78 each; I'll say THEY'RE fine",
    "We've seen 12345678901 of 1,000,000 on 2024-11-28 at 09:05; it’s naïve, ISN'T it?",  # noqa: RUF001
    # Code: indentation, operators, joined words, line ends behind punctuation.
    "\tdef getHTTPValue(x_1):\n        return x**2 != 0x1F;  // done\n\n\n}\r\n   \n  end",
    # Runs of white space before words, marks and the end.
    "a  b   c    d \n e\n\n f\t\tg   ...   !!! --- ##  ",
    # Scripts without spaces, with marks that combine, from right to left.
    "你好，世界！今天是2024年。 日本語のテキスト カタカナ 한국어 문장",  # noqa: RUF001
    "Привет, мир 123 ΑΒΓ αβγ नमस्ते दुनिया สวัสดี שלום 456 مرحبا",
    # Words joined by marks.
    "user@example.com/path?q=a+b&c=[d] x-y_z 3rd 2nd v1.2.3 100% https://a.b//c ;) :-( (a) [b]",
    # Words of both cases, which some vocabularies hold whole and some pre-tokenizers cut.
    "JavaScript TypeScript GitHub YouTube iPhone MacBook DataFrame OpenAI eBay WordPress LinkedIn",
    "toString getElementById addEventListener innerHTML XMLHttpRequest HttpClient HTTPServer IOErr",
    # Marks before line ends, and what follows them.
    "});\n\n// a\n/* b */\n\n{\n\t\tif (x) {\n\n\n\n    y();\n    }\n}//\n?\n\n!\r\n\r\n-\n\n---\n",
)
"""Texts whose tokens tell tokenizers apart."""

_DIGITS = 16


def cutting_digest(encode: Callable[[str], Sequence[int]]) -> str:
    """A short digest of how text is cut, equal where the probes become the same tokens.

    Args:
        encode: Turns text into tokens, nothing special in it and nothing added by the model.
    """
    digest = hashlib.sha256()
    for text in PROBES:
        tokens = encode(text)
        digest.update(struct.pack(f"<I{len(tokens)}I", len(tokens), *tokens))
    return digest.hexdigest()[:_DIGITS]
