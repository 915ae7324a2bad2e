"""The tokens of a GGUF file: texts, kinds, and which of them have a part of their own.

Follows ``llama_vocab::impl::load`` of llama.cpp, defaults for missing keys included.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from gguf import TokenType

from checkpoint.errors import Refused
from checkpoint.source import Source

_PREFIX = "tokenizer.ggml."
# llama.cpp ends generation at these, whatever the metadata says.
_END_TEXTS = frozenset(
    {
        "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>",
        "<end_of_turn>", "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]",
        "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>",
        "<\uff5cend\u2581of\u2581sentence\uff5c>", "[e~[",
    }
)  # fmt: skip
# It also ends at three tokens of fill-in-the-middle prompts, found by key or by text.
_FILL_IN = {
    "fim_pad_token_id": ("<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"),
    "fim_rep_token_id": ("<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"),
    "fim_sep_token_id": ("<|file_sep|>",),
}
_SPM_DEFAULTS = {"bos_token_id": 1, "eos_token_id": 2, "unknown_token_id": 0}


@dataclass(frozen=True)
class Vocabulary:
    """All tokens by id, and what a tokenizer does beside merging.

    Attributes:
        model: ``gpt2`` for byte-level BPE, ``llama`` for SentencePiece.
        pre: Name of the pre-tokenizer; BPE only.
        tokens: Texts as the file spells them.
        kinds: Kind of each token.
        bos: Token put before a text, None where the file names none.
        eos: Token that ends a text.
        unknown: Token of what has none.
        padding: Token that fills up batches.
        adds_bos: Whether texts begin with `bos`.
        adds_eos: Whether texts end with `eos`.
        more_ends: Ids named as ends of turns or messages.
        chat_template: Jinja source.
    """

    model: str
    pre: str
    tokens: tuple[str, ...]
    kinds: tuple[int, ...]
    bos: int | None
    eos: int | None
    unknown: int | None
    padding: int | None
    adds_bos: bool
    adds_eos: bool
    more_ends: tuple[int, ...]
    chat_template: str | None

    @cached_property
    def ends(self) -> tuple[int, ...]:
        """Ids at which llama.cpp ends generation, the end of a text first."""
        by_text = (token for token, text in enumerate(self.tokens) if text in _END_TEXTS)
        found = [self.eos, *self.more_ends, *by_text]
        return tuple(dict.fromkeys(token for token in found if token is not None))

    @cached_property
    def special(self) -> tuple[int, ...]:
        """Ids that text must not be able to write."""
        silent = (TokenType.CONTROL, TokenType.UNKNOWN)
        ends = set(self.ends)
        return tuple(
            token for token, kind in enumerate(self.kinds) if kind in silent or token in ends
        )

    @cached_property
    def user_defined(self) -> tuple[int, ...]:
        """Ids that are found in text before anything is merged."""
        special = set(self.special)
        return tuple(
            token
            for token, kind in enumerate(self.kinds)
            if kind == TokenType.USER_DEFINED and token not in special
        )

    @cached_property
    def used(self) -> int:
        """How many tokens there are without the unused ones at the end.

        Converters fill up the embedding matrix with them. llama.cpp gives them no bytes, and a
        tokenizer file cannot hold a token that has none.
        """
        named = {self.bos, self.eos, self.unknown, *self.ends}
        count = len(self.tokens)
        while count and self.kinds[count - 1] == TokenType.UNUSED and count - 1 not in named:
            count -= 1
        return count

    @cached_property
    def ids(self) -> dict[str, int]:
        """Token of each text, without the unused ones at the end."""
        return {text: token for token, text in enumerate(self.tokens[: self.used])}

    def text(self, token: int | None) -> str | None:
        """How a token is spelled."""
        return None if token is None else self.tokens[token]


def vocabulary_of(source: Source, rows: int) -> Vocabulary:
    """Reads the tokens of a model whose embedding matrix has so many rows.

    Raises:
        Refused: The file has no tokens, or such as cannot be told apart.
    """
    model = source.get(f"{_PREFIX}model", str)
    is_sentence_piece = model == "llama"
    tokens = _tokens(source, rows)
    defaults = _SPM_DEFAULTS if is_sentence_piece else {}
    ids = {
        name: _token_id(source, name, len(tokens), defaults.get(name))
        for name in ("bos_token_id", "eos_token_id", "unknown_token_id", "padding_token_id")
    }
    pre = source.find(f"{_PREFIX}pre", str, "default") or "default"
    adds_bos = is_sentence_piece or pre in BEGINS_WITH_BOS
    return Vocabulary(
        model=model,
        pre=pre,
        tokens=tokens,
        kinds=_kinds(source, len(tokens)),
        bos=ids["bos_token_id"],
        eos=ids["eos_token_id"],
        unknown=ids["unknown_token_id"],
        padding=ids["padding_token_id"],
        adds_bos=bool(source.find(f"{_PREFIX}add_bos_token", bool, adds_bos)),
        adds_eos=bool(source.find(f"{_PREFIX}add_eos_token", bool, False)),
        more_ends=tuple(_more_ends(source, tokens)),
        chat_template=source.find("tokenizer.chat_template", str),
    )


BEGINS_WITH_BOS = frozenset({"llama3", "llama-v3", "llama-bpe"})
"""Pre-tokenizers whose texts begin with BOS where the file says nothing of it."""


def _tokens(source: Source, rows: int) -> tuple[str, ...]:
    listed = source.strings(f"{_PREFIX}tokens")
    tokens = tuple(text or f"[EMPTY_{token}]" for token, text in enumerate(listed))
    if len(tokens) > rows:
        raise Refused(f"{source.path}: {len(tokens)} tokens, but {rows} rows in token_embd.weight")
    seen: dict[str, int] = {}
    for token, text in enumerate(tokens):
        if seen.setdefault(text, token) != token:
            raise Refused(f"{source.path}: tokens {seen[text]} and {token} are both {text!r}")
    return tokens


def _kinds(source: Source, count: int) -> tuple[int, ...]:
    kinds = source.find(f"{_PREFIX}token_type", list, [TokenType.NORMAL] * count) or []
    if len(kinds) < count or not all(isinstance(kind, int) for kind in kinds):
        raise Refused(f"{source.path}: {_PREFIX}token_type does not name a kind for every token")
    return tuple(kinds[:count])


def _token_id(source: Source, name: str, count: int, default: int | None) -> int | None:
    token = source.find(f"{_PREFIX}{name}", int, default)
    # A bad id is passed over for the default, as llama.cpp does.
    if token is not None and not 0 <= token < count:
        token = default
    return token if token is not None and token < count else None


def _more_ends(source: Source, tokens: tuple[str, ...]) -> Iterator[int]:
    for name in ("eot_token_id", "eom_token_id"):
        token = _token_id(source, name, len(tokens), None)
        if token is not None:
            yield token
    for name, texts in _FILL_IN.items():
        by_text = next((token for token, text in enumerate(tokens) if text in texts), None)
        token = _token_id(source, name, len(tokens), by_text)
        if token is not None:
            yield token
