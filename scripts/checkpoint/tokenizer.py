"""A Hugging Face tokenizer that splits texts as llama.cpp does with the same GGUF file."""

from __future__ import annotations

from collections.abc import Sequence

from gguf import TokenType
from tokenizers import AddedToken, Tokenizer, decoders, normalizers
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing

from checkpoint.cutting import IGNORES_MERGES, pre_tokenizer_of
from checkpoint.errors import Refused
from checkpoint.source import Source
from checkpoint.vocabulary import Vocabulary

Merge = tuple[str, str]
_SPACE = "\u2581"


def build_tokenizer(source: Source, vocabulary: Vocabulary) -> Tokenizer:
    """Makes the tokenizer of a file.

    Control tokens become special tokens: recognised in text unless ``encode_special_tokens`` is
    set. User-defined ones are recognised in any text, as llama.cpp does.

    Raises:
        Refused: The file's kind of tokenizer, or its pre-tokenizer, is not known here.
    """
    if vocabulary.model == "gpt2":
        tokenizer = _byte_level(source, vocabulary)
    elif vocabulary.model == "llama":
        tokenizer = _sentence_piece(source, vocabulary)
    else:
        raise Refused(
            f"{source.path}: its tokenizer is of the kind {vocabulary.model}; "
            "only gpt2 and llama can be converted"
        )
    tokenizer.add_special_tokens(_added(vocabulary, vocabulary.special, special=True))
    tokenizer.add_tokens(_added(vocabulary, vocabulary.user_defined, special=False))
    _frame(tokenizer, vocabulary)
    return tokenizer


def tokenizer_config(vocabulary: Vocabulary, context: int) -> dict[str, object]:
    """``tokenizer_config.json``: what `tokenizers` leaves to transformers."""
    config: dict[str, object] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context,
        "clean_up_tokenization_spaces": False,
        "add_bos_token": vocabulary.adds_bos and vocabulary.bos is not None,
        "add_eos_token": vocabulary.adds_eos and vocabulary.eos is not None,
    }
    for name, token in (
        ("bos_token", vocabulary.bos),
        ("eos_token", vocabulary.eos),
        ("unk_token", vocabulary.unknown),
        ("pad_token", vocabulary.padding),
    ):
        if token is not None and token < vocabulary.used:
            config[name] = vocabulary.text(token)
    if vocabulary.chat_template is not None:
        config["chat_template"] = vocabulary.chat_template
    return config


def _byte_level(source: Source, vocabulary: Vocabulary) -> Tokenizer:
    ids = vocabulary.ids
    merges = [_halves(merge) for merge in source.strings("tokenizer.ggml.merges")]
    for left, right in merges:
        if left not in ids or right not in ids or left + right not in ids:
            raise Refused(f"{source.path}: the merge {left!r} {right!r} is not one of its tokens")
    pre_tokenizer = pre_tokenizer_of(vocabulary.pre, ids)
    if pre_tokenizer is None:
        raise Refused(f"{source.path}: the pre-tokenizer {vocabulary.pre} is not known here")
    tokenizer = Tokenizer(
        BPE(
            vocab=ids,
            # Of a merge that is listed twice the first rank counts.
            merges=list(dict.fromkeys(merges)),
            ignore_merges=vocabulary.pre in IGNORES_MERGES,
        )
    )
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _halves(merge: str) -> Merge:
    # A token may begin with a space, hence from the second character.
    at = merge.find(" ", 1)
    return (merge[:at], merge[at + 1 :]) if at > 0 else (merge, "")


def _sentence_piece(source: Source, vocabulary: Vocabulary) -> Tokenizer:
    ids = vocabulary.ids
    if not all(f"<0x{byte:02X}>" in ids for byte in range(256)):
        raise Refused(f"{source.path}: its SentencePiece vocabulary has no token for every byte")
    scores = source.get("tokenizer.ggml.scores", list)
    if len(scores) < len(vocabulary.tokens):
        raise Refused(f"{source.path}: tokenizer.ggml.scores has no score for every token")
    tokenizer = Tokenizer(
        BPE(
            vocab=ids,
            merges=_merges_by_score(vocabulary, ids, scores),
            unk_token=vocabulary.text(vocabulary.unknown),
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    with_space = source.find("tokenizer.ggml.add_space_prefix", bool, True)
    marked = normalizers.Replace(" ", _SPACE)
    # In front of every stretch of text between added tokens, as llama.cpp has it.
    prefix = [normalizers.Prepend(_SPACE)] if with_space else []
    tokenizer.normalizer = normalizers.Sequence([*prefix, marked])
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace(_SPACE, " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            *([decoders.Strip(" ", 1, 0)] if with_space else []),
        ]
    )
    return tokenizer


def _merges_by_score(
    vocabulary: Vocabulary, ids: dict[str, int], scores: Sequence[float]
) -> list[Merge]:
    """Every pair of tokens that makes a third, best score first.

    SentencePiece merges whatever makes a token. Pairs of one token have one rank there; here the
    one with the longer left half comes first. No pair makes a control token.
    """
    mergeable = (TokenType.NORMAL, TokenType.USER_DEFINED, TokenType.UNUSED)
    special = set(vocabulary.special)
    found: list[tuple[float, int, Merge]] = []
    for text, token in ids.items():
        if vocabulary.kinds[token] not in mergeable or token in special:
            continue
        for at in range(1, len(text)):
            if text[:at] in ids and text[at:] in ids:
                found.append((-scores[token], -at, (text[:at], text[at:])))
    return [merge for _, _, merge in sorted(found, key=lambda one: one[:2])]


def _added(vocabulary: Vocabulary, tokens: Sequence[int], *, special: bool) -> list[AddedToken]:
    return [
        AddedToken(vocabulary.tokens[token], special=special, normalized=False) for token in tokens
    ]


def _frame(tokenizer: Tokenizer, vocabulary: Vocabulary) -> None:
    """Puts BOS before a text and EOS behind it, where the model wants them."""
    before = vocabulary.bos if vocabulary.adds_bos else None
    after = vocabulary.eos if vocabulary.adds_eos else None
    named = {
        text: token for token in (before, after) if (text := vocabulary.text(token)) is not None
    }
    if not named:
        return
    first, last = vocabulary.text(before), vocabulary.text(after)
    frame = [text for text in (first, "$A", last) if text is not None]
    second = [text for text in (first, "$B:1", last) if text is not None]
    tokenizer.post_processor = TemplateProcessing(
        single=frame, pair=[*frame, *second], special_tokens=list(named.items())
    )
