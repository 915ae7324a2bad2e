"""The tokenizer of a Hugging Face checkpoint: the vocabulary as bytes, and text as tokens.

Special tokens are never parsed out of text here; ``engines.chat`` decides where they stand. No code
of the checkpoint is run. Made to agree with ``engines.llama_cpp.tokenizer`` token by token, so that
a checkpoint and its GGUF file can vote together.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import tokenizers

from quorate.engines.chat.special_tokens import SpecialToken
from quorate.engines.cutting import cutting_digest
from quorate.engines.encoding_budget import spend
from quorate.engines.vllm.tokenizer_definition import plain_definition
from quorate.engines.vllm.tokenizer_files import load_tokenizer, read_settings
from quorate.engines.vllm.vocabulary_bytes import UnknownDecoder, token_bytes
from quorate.engines.vllm.vocabulary_roles import assign_roles
from quorate.engines.vocabulary import Vocabulary
from quorate.errors import ModelUnusable

# What stands between documents in the training of GPT-2 and of most models without a BOS.
_DOCUMENT_END = "<|endoftext|>"
_SPACE = "\u2581"


class CheckpointTokenizer:
    """Tokenises for the model of one checkpoint.

    Raises:
        ModelUnusable: There is no tokenizer in it that can be used without running its code.
    """

    def __init__(self, folder: str | Path) -> None:
        subject = Path(folder).name
        settings = read_settings(folder)
        self._loaded = load_tokenizer(folder)
        self._original: tokenizers.Tokenizer = self._loaded.backend_tokenizer
        self._original.no_truncation()
        self._original.no_padding()
        definition = json.loads(self._original.to_str())
        try:
            self._bytes_of = token_bytes(definition)
        except UnknownDecoder as error:
            raise ModelUnusable(subject, f"its tokenizer cannot vote: {error}") from None
        self._added = self._original.get_added_tokens_decoder()
        self._texts = self._texts_below(settings.tokens, subject)
        self._roles = assign_roles(
            self._texts,
            added=self._added.keys() & self._texts.keys(),
            special=frozenset(self._flagged(definition["model"])),
            ends=(settings.ends | {self._loaded.eos_token_id}) & self._texts.keys(),
        )
        self._plain = self._plain_tokenizer(definition)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Every token's bytes.

        Unused ids at the end, which fill up the embedding matrix, are left out.
        """
        texts, roles = self._texts, self._roles
        count = max(texts) + 1
        while count > 1 and (count - 1 not in texts or count - 1 in roles.unused):
            count -= 1
        pieces = tuple(map(self._piece, range(count)))
        control = frozenset(token for token in range(count) if not pieces[token])
        return Vocabulary(
            pieces,
            control=control,
            end_of_generation=frozenset(token for token in roles.ends if token < count),
            bos=self.bos,
            pre_tokenizer=cutting_digest(self._encode_start) if any(pieces) else "",
            unsayable=control & self._unsayable(count),
            names={token: texts[token] for token in control if texts.get(token)},
        )

    def _unsayable(self, count: int) -> frozenset[int]:
        """Ids that no answer may hold: what stands for nothing, padding, and what begins texts."""
        loaded, nothing = self._loaded, set(range(count)) - self._texts.keys()
        named = (loaded.bos_token_id, loaded.pad_token_id, loaded.unk_token_id)
        return frozenset(nothing | self._roles.unused | {one for one in named if one is not None})

    @cached_property
    def bos(self) -> int | None:
        """Id put before a prompt, or None where the model wants none."""
        bare = self._original.encode("a", add_special_tokens=False).ids
        whole = self._original.encode("a", add_special_tokens=True).ids
        first: int = whole[0] if whole else -1
        return first if whole != bare and first in self._roles.control else None

    @cached_property
    def chat_template(self) -> str | None:
        """The template for chats; of several, the one without a special purpose."""
        template = self._loaded.chat_template
        if isinstance(template, Mapping):
            template = template.get("default")
        return template if isinstance(template, str) else None

    @cached_property
    def special_tokens(self) -> tuple[SpecialToken, ...]:
        """What text must not be able to write: control tokens, the unknown token and marks."""
        ids = sorted(self._roles.control | self._roles.spoken)
        return tuple(self._special_token(token) for token in ids if self._texts[token])

    @property
    def special_texts(self) -> dict[str, str]:
        """The variables templates expect: ``bos_token`` and its like, "" where there is none."""
        texts = {"bos_token": "", "eos_token": "", "pad_token": ""}
        for name, text in self._loaded.special_tokens_map.items():
            if isinstance(text, str):
                texts[name] = text
        return texts

    def encode_text(self, text: str) -> list[int]:
        """Tokenises a prompt, with BOS where the model wants one.

        An empty prompt is the beginning of a document: BOS, or what stood there in training in
        models that want none, the end of the document before.
        """
        tokens = self._encode_start(text)
        if self.bos is not None:
            return [self.bos, *tokens]
        return tokens or self._document_start

    def encode_run(self, text: str) -> list[int]:
        """Tokenises text as it would stand after a special token; nothing in it is special."""
        return self._encode(f" {text}" if text and self._adds_space_to_runs else text)

    def encode_continuation(self, text: str) -> list[int]:
        """Tokenises text as it would continue a prompt: no BOS, no dummy prefix."""
        return self._encode(text)

    @cached_property
    def adds_space(self) -> bool:
        """Whether a space is put before text: SentencePiece's dummy prefix."""
        return self._joined(self._original.encode("a", add_special_tokens=False).ids) == b" a"

    @cached_property
    def _adds_space_to_runs(self) -> bool:
        """Whether that also happens behind special tokens, as older files want it."""
        for special in self.special_tokens:
            if special.strips_left or special.strips_right:
                continue
            ids = self._original.encode(f"{special.text}a", add_special_tokens=False).ids
            if ids[:1] == [special.token]:
                return self._joined(ids[1:]) == b" a"
        return self.adds_space

    @cached_property
    def _document_start(self) -> list[int]:
        ends = [one.token for one in self.special_tokens if one.text == _DOCUMENT_END]
        named = (self._loaded.bos_token_id, self._loaded.eos_token_id)
        return [token for token in (*ends, *named) if token in self._texts][:1]

    def _encode_start(self, text: str) -> list[int]:
        """Tokenises text as it begins a document, without BOS."""
        return self._encode(f" {text}" if text and self.adds_space else text)

    def _encode(self, text: str) -> list[int]:
        clean = text.encode("utf-8", errors="replace").decode()
        tokens: list[int] = self._plain.encode(clean, add_special_tokens=False).ids
        spend(len(tokens))
        return tokens

    def _piece(self, token: int) -> bytes:
        text = self._texts.get(token)
        if text is None or token in self._roles.control:
            return b""
        if token in self._added:
            return text.replace(_SPACE, " ").encode()
        return self._bytes_of(text)

    def _joined(self, tokens: list[int]) -> bytes:
        return b"".join(map(self._piece, tokens))

    def _special_token(self, token: int) -> SpecialToken:
        added = self._added.get(token)
        return SpecialToken(
            token,
            self._texts[token],
            strips_left=added is not None and added.lstrip,
            strips_right=added is not None and added.rstrip,
        )

    def _texts_below(self, limit: int | None, subject: str) -> dict[int, str]:
        """Every token's text, without added tokens that the model has no log-probs for."""
        table = self._original.get_vocab(with_added_tokens=True)
        texts = {token: text for text, token in table.items()}
        if not texts:
            raise ModelUnusable(subject, "its tokenizer has no tokens")
        if limit is None:
            return texts
        if learned := [token for token in texts.keys() - self._added.keys() if token >= limit]:
            problem = f"its tokenizer has a token {max(learned)}, its model only {limit} tokens"
            raise ModelUnusable(subject, problem)
        return {token: text for token, text in texts.items() if token < limit}

    def _flagged(self, model: Mapping[str, Any]) -> Iterator[int]:
        """Ids that the checkpoint calls special, and the unknown token."""
        unknown = (model.get("unk_token"), model.get("unk_id"))
        for token, text in self._texts.items():
            added = self._added.get(token)
            if text == unknown[0] or token == unknown[1] or (added is not None and added.special):
                yield token

    def _plain_tokenizer(self, definition: Mapping[str, Any]) -> tokenizers.Tokenizer:
        """Tokenises text as it is, out of which it parses neither control tokens nor marks."""
        beyond = self._added.keys() - self._texts.keys()
        unwritable = self._roles.control | self._roles.spoken | beyond
        plain = plain_definition(definition, unwritable)
        tokenizer = tokenizers.Tokenizer.from_str(json.dumps(plain))
        tokenizer.encode_special_tokens = True
        return tokenizer
