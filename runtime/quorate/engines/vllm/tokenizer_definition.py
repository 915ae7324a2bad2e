"""A ``tokenizer.json`` changed so that it tokenises text as it is, and nothing but text.

Byte-exact votes and continuations need tokens whose bytes are the text itself: nothing may be put
before it, and no Unicode normal form may rewrite it. llama.cpp tokenises so as well.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from typing import Any

from quorate.engines.vllm.vocabulary_bytes import components


def plain_definition(definition: Mapping[str, Any], special: Collection[int]) -> dict[str, Any]:
    """The ``tokenizer.json`` to tokenise text with that must not write the ``special`` ids."""
    plain = dict(definition)
    plain |= {"truncation": None, "padding": None, "post_processor": None}
    plain["normalizer"] = _only_replacements(definition.get("normalizer"))
    plain["pre_tokenizer"] = _without_prefix(definition.get("pre_tokenizer"))
    plain["added_tokens"] = [
        {**token, "special": token["special"] or token["id"] in special}
        for token in definition["added_tokens"]
    ]
    if definition["model"]["type"] == "Unigram":
        _make_unreachable(plain, special)
    return plain


def _only_replacements(normalizer: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Keeps what writes spaces another way, which decoding undoes."""
    kept = [
        part
        for part in components(normalizer, "normalizers")
        if part["type"] == "Replace" and part["pattern"].get("String") == " "
    ]
    return {"type": "Sequence", "normalizers": kept} if kept else None


def _without_prefix(pre_tokenizer: Mapping[str, Any] | None) -> dict[str, Any] | None:
    parts = [
        {**part, **_NO_PREFIX.get(part["type"], {})}
        for part in components(pre_tokenizer, "pretokenizers")
    ]
    return {"type": "Sequence", "pretokenizers": parts} if parts else None


def _make_unreachable(plain: dict[str, Any], special: Collection[int]) -> None:
    """Renames special tokens, which a Unigram model finds in text like any of its pieces.

    No text can contain the new names: nobody knows them.
    """
    secret = secrets.token_hex(16)
    renamed = {
        token: text + secret
        for token, (text, _) in enumerate(plain["model"]["vocab"])
        if token in special
    }
    plain["model"] = dict(plain["model"])
    plain["model"]["vocab"] = [
        [renamed.get(token, text), score]
        for token, (text, score) in enumerate(plain["model"]["vocab"])
    ]
    plain["added_tokens"] = [
        {**token, "content": renamed.get(token["id"], token["content"])}
        for token in plain["added_tokens"]
    ]


_NO_PREFIX: dict[str, dict[str, Any]] = {
    "Metaspace": {"prepend_scheme": "never"},
    "ByteLevel": {"add_prefix_space": False},
}
