"""llama.cpp's tokenizer: the vocabulary as bytes, and text as tokens.

Special tokens are never parsed out of text here; ``engines.chat`` decides where they stand.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property

from llama_cpp import llama_cpp as native

from quorate.engines.chat.special_tokens import SpecialToken
from quorate.engines.cutting import cutting_digest
from quorate.engines.encoding_budget import field, spend
from quorate.engines.text_borders import MergeBorders, TextBorders, WordBorders
from quorate.engines.vocabulary import Vocabulary
from quorate.errors import InvalidRequest

_SILENT = native.LLAMA_TOKEN_ATTR_CONTROL | native.LLAMA_TOKEN_ATTR_UNKNOWN
_NOTHING = native.LLAMA_TOKEN_ATTR_UNKNOWN | native.LLAMA_TOKEN_ATTR_UNUSED
_PIECE_BYTES = 256
_NUMBER_BYTES = 16
# What stands between documents in the training of GPT-2 and of most models without a BOS: chat
# models keep the token, though they name another one BOS (SmolLM2: 0.06 bits per byte on prose).
_DOCUMENT_END = "<|endoftext|>"
# Those whose tokens are found by merging, so that text can be cut at borders.
_BORDERS: Mapping[int, Callable[[Iterable[bytes]], TextBorders]] = {
    native.LLAMA_VOCAB_TYPE_SPM: MergeBorders,
    native.LLAMA_VOCAB_TYPE_BPE: WordBorders,
}
# The C++ library's regular expressions recurse for every character of a word; see STACK_BYTES.
_LONGEST_PIECE = 1_000_000
# What may stand before a continuation; see Tokenizer.encode_continuation.
_ANCHORS = ("\n", "\x01", "\u2028")


class Tokenizer:
    """Tokenises for one loaded model, which must outlive it.

    Where the file has no tokenizer, every token is without bytes and no text may be given: the
    native calls would end the process.

    Attributes:
        piece_characters: Of a long text, in one native call; None takes what suits the tokenizer.
    """

    piece_characters: int | None = None

    def __init__(self, model: ctypes.c_void_p) -> None:
        self._model = model
        self._vocab = native.llama_model_get_vocab(model)
        self._buffer = ctypes.create_string_buffer(_PIECE_BYTES)
        count = native.llama_vocab_n_tokens(self._vocab)
        attribute = native.llama_vocab_get_attr
        self._has_texts = native.llama_vocab_type(self._vocab) != native.LLAMA_VOCAB_TYPE_NONE
        self._attributes = (
            [attribute(self._vocab, token) for token in range(count)]
            if self._has_texts
            else [native.LLAMA_TOKEN_ATTR_CONTROL] * count
        )

    def prepare(self) -> None:
        """Computes what is kept, so that threads may encode side by side from now on."""
        for kept in ("vocabulary", "bos", "special_tokens", "_document_start", "adds_space"):
            getattr(self, kept)
        _ = self._borders

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Every token's bytes, and how text is cut into them."""
        table = self._table
        return replace(table, pre_tokenizer=cutting_digest(self._tokens) if table.has_bytes else "")

    @cached_property
    def _table(self) -> Vocabulary:
        """Every token's bytes.

        Unused ids at the end, with which converters fill up the embedding matrix, are left out:
        two sizes of one model family then have the same vocabulary.
        """
        attributes, is_end = self._attributes, native.llama_vocab_is_eog
        count = len(attributes)
        while count > 1 and attributes[count - 1] & native.LLAMA_TOKEN_ATTR_UNUSED:
            count -= 1
        ids = range(count)
        end_of_generation = frozenset(token for token in ids if is_end(self._vocab, token))
        pieces = tuple(
            b"" if attributes[token] & _SILENT or token in end_of_generation else self._piece(token)
            for token in ids
        )
        control = frozenset(token for token in ids if not pieces[token])
        names = {
            token: text
            for token in control
            if not attributes[token] & native.LLAMA_TOKEN_ATTR_UNUSED
            and (text := self._text(token))
        }
        unsayable = control & self._unsayable
        return Vocabulary(pieces, control, end_of_generation, self.bos, unsayable, names)

    @property
    def _unsayable(self) -> frozenset[int]:
        """Ids that no answer may hold: what stands for nothing, padding, and what begins texts."""
        finders = (native.llama_vocab_bos, native.llama_vocab_pad, native.llama_vocab_mask)
        nothing = {token for token, bits in enumerate(self._attributes) if bits & _NOTHING}
        return frozenset(nothing.union((find(self._vocab) for find in finders), self._unknown))

    @property
    def _unknown(self) -> tuple[int, ...]:
        """The unknown token where the file names one, which need not say so of the token."""
        value = ctypes.create_string_buffer(_NUMBER_BYTES)
        key = b"tokenizer.ggml.unknown_token_id"
        length = native.llama_model_meta_val_str(self._model, key, value, len(value))
        return (int(value.value),) if length > 0 and value.value.isdigit() else ()

    @cached_property
    def bos(self) -> int | None:
        """Id put before a prompt, or None where the model wants none."""
        if not native.llama_vocab_get_add_bos(self._vocab):
            return None
        token: int = native.llama_vocab_bos(self._vocab)
        return token if token >= 0 else None

    @cached_property
    def _document_start(self) -> list[int]:
        ends = [one.token for one in self.special_tokens if one.text == _DOCUMENT_END]
        named = (native.llama_vocab_bos(self._vocab), native.llama_vocab_eos(self._vocab))
        return [token for token in (*ends, *named) if token >= 0][:1]

    @cached_property
    def special_tokens(self) -> tuple[SpecialToken, ...]:
        """What text must not be able to write: control tokens and the unknown token."""
        return tuple(
            SpecialToken(
                token,
                text,
                strips_left=bool(bits & native.LLAMA_TOKEN_ATTR_LSTRIP),
                strips_right=bool(bits & native.LLAMA_TOKEN_ATTR_RSTRIP),
            )
            for token, bits in enumerate(self._attributes)
            if bits & _SILENT and (text := self._text(token))
        )

    @property
    def special_texts(self) -> dict[str, str]:
        """The variables templates expect: ``bos_token`` and its like, "" where there is none."""
        return {
            f"{name}_token": self._text(find(self._vocab))
            for name, find in (
                ("bos", native.llama_vocab_bos),
                ("eos", native.llama_vocab_eos),
                ("pad", native.llama_vocab_pad),
            )
        }

    def encode_text(self, text: str) -> list[int]:
        """Tokenises a prompt, with BOS where the model wants one.

        An empty prompt is the beginning of a document: BOS, or what stood there in training in
        models that want none, the end of the document before.
        """
        tokens = self.encode_run(text)
        if self.bos is not None:
            return [self.bos, *tokens]
        return tokens or self._document_start

    def encode_run(self, text: str) -> list[int]:
        """Tokenises text as it would stand after a special token; nothing in it is special.

        Piece by piece where that makes no difference: the time that the native call takes is not
        linear in its text, and nobody can stop it.
        """
        return self._piecewise(text, self._tokens)

    def encode_continuation(self, text: str) -> list[int]:
        """Tokenises text as it would continue a prompt: no BOS, no dummy prefix."""
        return self._piecewise(
            text, lambda first: self._tokens_behind(first) or self._tokens(first)
        )

    @cached_property
    def adds_space(self) -> bool:
        """Whether a space is put before text: SentencePiece's dummy prefix."""
        return self._table.has_bytes and self._joined(self._tokens("a")) == b" a"

    def _piecewise(self, text: str, encode_first: Callable[[str], list[int]]) -> list[int]:
        pieces = self._pieces(text)
        tokens = encode_first(next(pieces))
        spend(len(tokens))
        for piece in pieces:
            more = self._tokens_behind(piece)
            if more is None:
                return encode_first(text)
            spend(len(more))
            tokens += more
        return tokens

    def _pieces(self, text: str) -> Iterator[str]:
        if self._borders is None:
            return iter((text,))
        return self._borders.cut(text, self.piece_characters)

    @cached_property
    def _borders(self) -> TextBorders | None:
        make = _BORDERS.get(native.llama_vocab_type(self._vocab))
        return None if make is None else make(self._table.pieces)

    def _tokens(self, text: str) -> list[int]:
        """One native call, which knows nothing of what stands before the text."""
        if len(text) > _LONGEST_PIECE:
            raise InvalidRequest(
                field(),
                f"has {len(text)} characters without a place where it can be cut; "
                f"{_LONGEST_PIECE} is the most, so break up its longest runs",
            )
        data = _utf8(text)
        capacity = len(data) + 8
        while True:
            tokens = (native.llama_token * capacity)()
            count: int = native.llama_tokenize(
                self._vocab, data, len(data), tokens, capacity, False, False
            )
            if count >= 0:
                return tokens[:count]
            capacity = -count

    def _tokens_behind(self, text: str) -> list[int] | None:
        """One native call for text that stands behind other text; None where that cannot be had.

        SentencePiece puts a space before text, which the native call cannot leave out. A character
        that merges with nothing is tokenised before the text and cut off again; then the space
        stands before that character. A line feed does in nearly every vocabulary, and whether it
        did is checked.
        """
        if not self.adds_space:
            return self._tokens(text)
        wanted = _utf8(text)
        for anchor in _ANCHORS:
            head = self._tokens(anchor)
            whole = self._tokens(anchor + text)
            tail = whole[len(head) :]
            if whole[: len(head)] == head and self._joined(tail) == wanted:
                return tail
        return None

    def _joined(self, tokens: list[int]) -> bytes:
        pieces = self._table.pieces
        return b"".join(pieces[token] for token in tokens)

    def _text(self, token: int) -> str:
        if token < 0 or not self._has_texts:
            return ""
        text: bytes = native.llama_vocab_get_text(self._vocab, token) or b""
        return text.decode("utf-8", errors="replace")

    def _piece(self, token: int) -> bytes:
        buffer = self._buffer
        length = native.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, False)
        if length < 0:
            buffer = ctypes.create_string_buffer(-length)
            length = native.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, False)
        return ctypes.string_at(buffer, length)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", errors="replace")
