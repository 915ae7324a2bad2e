"""Small networks of random weights with the vocabulary of a real model.

A ``tokenizer.json`` becomes a GGUF file by the rules of llama.cpp's own converter
(``conversion/base.py``): what is a control token, which ids are unused, what names a pre-tokenizer.
The weights mean nothing; everything before and behind them is the real thing.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFWriter, TokenType

from support.gguf_files import finish

WIDTH, HIDDEN, HEADS, LAYERS, CONTEXT = 32, 64, 2, 2, 2048
_PLACEHOLDERS = ("<pad>", "<mask>", "<2mass>", "[@BOS@]")
_NO_MERGE = -1e6
_NAMED = ("bos", "eos", "unk", "pad")


@dataclass(frozen=True)
class Token:
    text: str
    kind: TokenType
    score: float = 0.0


def random_network(
    tokenizer: Path, pre: str | None, *, seed: int = 0, cache: Path | None = None
) -> Path:
    """The GGUF file of a network with this tokenizer, made where there is none.

    Args:
        tokenizer: Folder of ``tokenizer.json`` and ``tokenizer_config.json``.
        pre: llama.cpp's name of the pre-tokenizer; None makes a SentencePiece vocabulary.
        seed: Of the weights.
        cache: Where it is kept; by default in the user's cache.
    """
    version = hashlib.sha256(Path(__file__).read_bytes())
    for name in ("tokenizer.json", "tokenizer_config.json"):
        version.update((tokenizer / name).read_bytes())
    version.update(f"{pre} {seed}".encode())
    folder = cache or _cache()
    path = folder / f"{tokenizer.name}-{version.hexdigest()[:16]}.gguf"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}")
        write_network(unfinished, tokenizer, pre, seed)
        unfinished.replace(path)
    return path


def write_network(path: Path, tokenizer: Path, pre: str | None, seed: int = 0) -> None:
    """Writes such a file; arguments as for ``random_network``."""
    definition = json.loads((tokenizer / "tokenizer.json").read_text("utf-8"))
    settings = json.loads((tokenizer / "tokenizer_config.json").read_text("utf-8"))
    tokens = list(tokens_of(definition, pieces=pre is None))
    writer = GGUFWriter(path, "llama")
    writer.add_name(tokenizer.name)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(tokens))
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
    for name, values in _weights(len(tokens), seed).items():
        writer.add_tensor(name, values)
    finish(writer)


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
    for token in range(max([*learned, *added]) + 1):
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


def _weights(tokens: int, seed: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)

    def normal(*shape: int, kind: type = np.float32) -> np.ndarray:
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


def _cache() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "quorate-tests" / "random-networks"
