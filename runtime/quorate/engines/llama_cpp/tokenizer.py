"""llama.cpp's tokenizer: the vocabulary as bytes, and text as tokens.

Special tokens are never parsed out of text here; ``engines.chat`` decides where they stand.
"""

from __future__ import annotations

import ctypes
from functools import cached_property

from llama_cpp import llama_cpp as native

from quorate.engines.chat.special_tokens import SpecialToken
from quorate.engines.vocabulary import Vocabulary

_SILENT = native.LLAMA_TOKEN_ATTR_CONTROL | native.LLAMA_TOKEN_ATTR_UNKNOWN
_PIECE_BYTES = 256
# What stands between documents in the training of GPT-2 and of most models without a BOS: chat
# models keep the token, though they name another one BOS (SmolLM2: 0.06 bits per byte on prose).
_DOCUMENT_END = "<|endoftext|>"
# What may stand before a continuation; see Tokenizer.encode_continuation.
_ANCHORS = ("\n", "\x01", "\u2028")


class Tokenizer:
    """Tokenises for one loaded model, which must outlive it.

    Where the file has no tokenizer, every token is without bytes and no text may be given: the
    native calls would end the process.
    """

    def __init__(self, model: ctypes.c_void_p) -> None:
        self._vocab = native.llama_model_get_vocab(model)
        self._buffer = ctypes.create_string_buffer(_PIECE_BYTES)
        count = native.llama_vocab_n_tokens(self._vocab)
        attribute = native.llama_vocab_get_attr
        self._attributes = (
            [attribute(self._vocab, token) for token in range(count)]
            if native.llama_vocab_type(self._vocab) != native.LLAMA_VOCAB_TYPE_NONE
            else [native.LLAMA_TOKEN_ATTR_CONTROL] * count
        )

    @cached_property
    def vocabulary(self) -> Vocabulary:
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
        return Vocabulary(pieces, control, end_of_generation, self.bos)

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
        """Tokenises text as it would stand after a special token; nothing in it is special."""
        data = text.encode("utf-8", errors="replace")
        capacity = len(data) + 8
        while True:
            tokens = (native.llama_token * capacity)()
            count: int = native.llama_tokenize(
                self._vocab, data, len(data), tokens, capacity, False, False
            )
            if count >= 0:
                return tokens[:count]
            capacity = -count

    def encode_continuation(self, text: str) -> list[int]:
        """Tokenises text as it would continue a prompt: no BOS, no dummy prefix.

        SentencePiece puts a space before text, which the native call cannot leave out. A character
        that merges with nothing is tokenised before the text and cut off again; then the space
        stands before that character. A line feed does in nearly every vocabulary, and whether it
        did is checked.
        """
        tokens = self.encode_run(text)
        if not self.adds_space:
            return tokens
        wanted = text.encode("utf-8", errors="replace")
        for anchor in _ANCHORS:
            head = self.encode_run(anchor)
            whole = self.encode_run(anchor + text)
            tail = whole[len(head) :]
            if whole[: len(head)] == head and self._joined(tail) == wanted:
                return tail
        return tokens

    @cached_property
    def adds_space(self) -> bool:
        """Whether a space is put before text: SentencePiece's dummy prefix."""
        return self.vocabulary.has_bytes and self._joined(self.encode_run("a")) == b" a"

    def _joined(self, tokens: list[int]) -> bytes:
        pieces = self.vocabulary.pieces
        return b"".join(pieces[token] for token in tokens)

    def _text(self, token: int) -> str:
        if token < 0:
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
