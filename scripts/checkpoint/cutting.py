"""How texts are cut before bytes are merged, by the names that GGUF files use.

The patterns are those of ``llm_tokenizer_bpe`` in llama.cpp; what no pattern matches stays one
piece.
"""

from __future__ import annotations

import re
from collections.abc import Container

from tokenizers import Regex
from tokenizers.pre_tokenizers import ByteLevel, PreTokenizer, Sequence, Split

from checkpoint.vocabulary import BEGINS_WITH_BOS

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
_CONTRACTIONS = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3 = rf"{_CONTRACTIONS}|{_WORDS}|\p{{N}}{{1,3}}|{_REST}"
_QWEN2 = rf"{_CONTRACTIONS}|{_WORDS}|\p{{N}}|{_REST}"

_PATTERNS = {
    "default": (r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", "[0-9][0-9][0-9]"),
    "gpt-2": (_GPT2,),
    "smollm": (r"\p{N}", _GPT2),
    "llama3": (_LLAMA3,),
    "llama-v3": (_LLAMA3,),
    "llama-bpe": (_LLAMA3,),
    "qwen2": (_QWEN2,),
    "deepseek-r1-qwen": (_QWEN2,),
}

IGNORES_MERGES = BEGINS_WITH_BOS
"""Pre-tokenizers whose pieces, where they are tokens, are taken without merging."""


def pre_tokenizer_of(name: str, tokens: Container[str]) -> PreTokenizer | None:
    """The pre-tokenizer of a name, or None for one that is not known here.

    Some vocabularies lack tokens for rare bytes, which are left out of a text. llama.cpp merges
    nothing across such a byte, and `tokenizers` would: it is cut off before anything is merged.
    """
    patterns = _PATTERNS.get(name)
    if patterns is None:
        return None
    cuts = [Split(Regex(pattern), behavior="isolated") for pattern in patterns]
    spelled = ByteLevel(add_prefix_space=False, use_regex=False)
    lacking = "".join(sorted(byte for byte in ByteLevel.alphabet() if byte not in tokens))
    if not lacking:
        return Sequence([*cuts, spelled])
    gaps = Split(Regex(f"[{re.escape(lacking)}]"), behavior="isolated")
    return Sequence([*cuts, spelled, gaps])
