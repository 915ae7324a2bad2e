"""Small networks of random weights, with the vocabulary of a real model or one that is made up.

A ``tokenizer.json`` becomes a GGUF file by the rules of llama.cpp's own converter
(``conversion/base.py``): what is a control token, which ids are unused, what names a pre-tokenizer.
The weights mean nothing; everything before and behind them is the real thing.
"""

from __future__ import annotations

import itertools
import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf import GGUFWriter, TokenType

WIDTH, HIDDEN, HEADS, LAYERS, CONTEXT = 32, 64, 2, 2, 2048
_PLACEHOLDERS = ("<pad>", "<mask>", "<2mass>", "[@BOS@]")
_NO_MERGE = -1e6
_SILENT = 0.01
_NAMED = ("bos", "eos", "unk", "pad")


@dataclass(frozen=True, slots=True)
class Token:
    """A token as a GGUF file has it.

    Attributes:
        score: Of a SentencePiece vocabulary.
    """

    text: str
    kind: TokenType
    score: float = 0.0


def write_network(path: Path, tokenizer: Path, pre: str | None, seed: int = 0) -> None:
    """Writes the GGUF file of a network with this tokenizer.

    Args:
        path: The file.
        tokenizer: Folder of ``tokenizer.json`` and ``tokenizer_config.json``.
        pre: llama.cpp's name of the pre-tokenizer; None makes a SentencePiece vocabulary.
        seed: Of the weights.

    Raises:
        OSError: A file cannot be read or written.
        ValueError, KeyError: The tokenizer is not of this form.
    """
    definition = json.loads((tokenizer / "tokenizer.json").read_text("utf-8"))
    settings = json.loads((tokenizer / "tokenizer_config.json").read_text("utf-8"))
    tokens = list(tokens_of(definition, pieces=pre is None))
    writer = _writer(path, tokenizer.name, len(tokens))
    writer.add_tokenizer_model("llama" if pre is None else "gpt2")
    writer.add_tokenizer_pre("default" if pre is None else pre)
    writer.add_token_list([token.text for token in tokens])
    writer.add_token_types([token.kind for token in tokens])
    if pre is None:
        writer.add_token_scores([token.score for token in tokens])
        writer.add_add_space_prefix(_adds_space(definition))
    else:
        writer.add_token_merges([" ".join(merge) for merge in merges_of(definition)])
    _add_special(writer, definition, settings)
    if template := _template(settings):
        writer.add_chat_template(template)
    _finish(writer, _weights(len(tokens), seed))


def write_made_up(path: Path, size: int, seed: int = 0) -> None:
    """Writes a network whose vocabulary is made up: the bytes, strings of letters, and an end.

    Neither single bytes nor the end are ever the likeliest token, so that every answer is whole
    text and goes on for as long as it may.

    Args:
        path: The file.
        size: Tokens, at least 300.
        seed: Of the weights.

    Raises:
        OSError: It cannot be written.
    """
    letters = list(_byte_letters())
    merges = list(itertools.islice(_merges(), size - len(letters) - 1))
    texts = [*letters, *(left + right for left, right in merges), "<|endoftext|>"]
    writer = _writer(path, f"made up, {size}", len(texts))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(texts)
    writer.add_token_types([TokenType.NORMAL] * (len(texts) - 1) + [TokenType.CONTROL])
    writer.add_token_merges([" ".join(merge) for merge in merges])
    writer.add_eos_token_id(len(texts) - 1)
    writer.add_add_bos_token(False)
    weights = _weights(len(texts), seed)
    # Small enough that no product with them is large; not zero, which nothing could begin with.
    weights["token_embd.weight"][[*range(len(letters)), len(texts) - 1]] *= _SILENT
    _finish(writer, weights)


def vocabulary_size(definition: Mapping[str, Any]) -> int:
    """How many tokens there are, those without a text included.

    Args:
        definition: Content of ``tokenizer.json``.
    """
    added = (token["id"] for token in definition["added_tokens"])
    return int(max([*definition["model"]["vocab"].values(), *added])) + 1


def tokens_of(definition: Mapping[str, Any], *, pieces: bool) -> Iterator[Token]:
    """Every token by its id.

    Args:
        definition: Content of ``tokenizer.json``.
        pieces: Whether it is a SentencePiece vocabulary, which has scores instead of merges.
    """
    learned = {token: text for text, token in definition["model"]["vocab"].items()}
    added = {token["id"]: token for token in definition["added_tokens"]}
    unknown = definition["model"].get("unk_token")
    # A merge that is learned earlier wins, as a higher score does.
    scores: dict[str, float] = {}
    for rank, merge in enumerate(merges_of(definition) if pieces else ()):
        scores.setdefault("".join(merge), -float(rank))
    for token in range(vocabulary_size(definition)):
        if token in added:
            text = added[token]["content"]
            if pieces and text == unknown:
                yield Token(text, TokenType.UNKNOWN)
            elif added[token]["special"] or looks_special(text):
                yield Token(text, TokenType.CONTROL)
            else:
                yield Token(text.replace("\u2581", " "), TokenType.USER_DEFINED)
        elif token not in learned:
            yield Token(f"[PAD{token}]", TokenType.UNUSED)
        elif pieces and _is_byte(learned[token]):
            yield Token(learned[token], TokenType.BYTE)
        else:
            text = learned[token]
            yield Token(text, TokenType.NORMAL, scores.get(text, _NO_MERGE))


def merges_of(definition: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Pairs of pieces, the earliest merge first."""
    for merge in definition["model"]["merges"]:
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        yield left, right


def looks_special(text: str) -> bool:
    """Whether an added token is meant to be special, though its file does not say so."""
    return (
        text in _PLACEHOLDERS
        or (text.startswith("<|") and text.endswith("|>"))
        or (text.startswith("<\uff5c") and text.endswith("\uff5c>"))
        or (text.startswith("<unused") and text.endswith(">"))
    )


def _is_byte(text: str) -> bool:
    return len(text) == 6 and text.startswith("<0x") and text.endswith(">")


def _adds_space(definition: Mapping[str, Any]) -> bool:
    normalizer = definition.get("normalizer") or {}
    parts = [normalizer, *normalizer.get("normalizers", ())]
    pre_tokenizer = definition.get("pre_tokenizer") or {}
    return any(part.get("type") == "Prepend" for part in parts) or (
        pre_tokenizer.get("type") == "Metaspace"
        and pre_tokenizer.get("prepend_scheme", "always") != "never"
    )


def _add_special(
    writer: GGUFWriter, definition: Mapping[str, Any], settings: Mapping[str, Any]
) -> None:
    ids = dict(definition["model"]["vocab"])
    ids |= {token["content"]: token["id"] for token in definition["added_tokens"]}
    for name in _NAMED:
        named = settings.get(f"{name}_token")
        text = named["content"] if isinstance(named, dict) else named
        if text in ids:
            getattr(writer, f"add_{name}_token_id")(ids[text])
    for name in ("bos", "eos"):
        if isinstance(wanted := settings.get(f"add_{name}_token"), bool):
            getattr(writer, f"add_add_{name}_token")(wanted)


def _template(settings: Mapping[str, Any]) -> str:
    template = settings.get("chat_template") or ""
    if isinstance(template, list):
        named = {one["name"]: one["template"] for one in template}
        template = named.get("default", "")
    return str(template)


def _weights(tokens: int, seed: int) -> dict[str, npt.NDArray[Any]]:
    generator = np.random.default_rng(seed)

    def normal(*shape: int, kind: type = np.float32) -> npt.NDArray[Any]:
        return (generator.standard_normal(shape, np.float32) * 0.3).astype(kind)

    ones = np.ones(WIDTH, np.float32)
    weights = {
        "token_embd.weight": normal(tokens, WIDTH, kind=np.float16),
        "output_norm.weight": ones,
    }
    for layer in range(LAYERS):
        shapes = {
            "attn_q": (WIDTH, WIDTH),
            "attn_k": (WIDTH, WIDTH),
            "attn_v": (WIDTH, WIDTH),
            "attn_output": (WIDTH, WIDTH),
            "ffn_gate": (HIDDEN, WIDTH),
            "ffn_up": (HIDDEN, WIDTH),
            "ffn_down": (WIDTH, HIDDEN),
        }
        for name, shape in shapes.items():
            weights[f"blk.{layer}.{name}.weight"] = normal(*shape)
        for name in ("attn_norm", "ffn_norm"):
            weights[f"blk.{layer}.{name}.weight"] = ones
    return weights


def _writer(path: Path, name: str, tokens: int) -> GGUFWriter:
    writer = GGUFWriter(path, "llama")
    writer.add_name(name)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(tokens)
    return writer


def _finish(writer: GGUFWriter, weights: Mapping[str, npt.NDArray[Any]]) -> None:
    for name, values in weights.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _byte_letters() -> Sequence[str]:
    """GPT-2's letters for the 256 bytes."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = itertools.count(256)
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


def _merges() -> Iterator[tuple[str, str]]:
    """Every string of letters and then one more letter, the shortest first."""
    letters = [chr(letter) for letter in (*range(0x61, 0x7B), *range(0x41, 0x5B), 0x120)]
    strings = deque(letters)
    while True:
        left = strings.popleft()
        for right in letters:
            strings.append(left + right)
            yield left, right
