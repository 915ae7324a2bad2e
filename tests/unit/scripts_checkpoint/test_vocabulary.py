from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from checkpoint.architecture import architecture_of
from checkpoint.errors import Refused
from checkpoint.source import Source
from checkpoint.tokenizer import build_tokenizer, tokenizer_config
from checkpoint.vocabulary import Vocabulary, vocabulary_of

from support.gguf_files import smollm2, stories260k
from unit.scripts_checkpoint.conftest import source_of


def described(path: Path) -> tuple[Source, Vocabulary]:
    source = source_of(path)
    return source, vocabulary_of(source, architecture_of(source).vocabulary)


def test_the_configuration_names_the_tokens_of_smollm2() -> None:
    source, vocabulary = described(smollm2())
    assert tokenizer_config(vocabulary, 8192) == {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": 8192,
        "clean_up_tokenization_spaces": False,
        "add_bos_token": False,
        "add_eos_token": False,
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "unk_token": "<|endoftext|>",
        "pad_token": "<|im_end|>",
        "chat_template": source.metadata["tokenizer.chat_template"],
    }


def test_the_configuration_names_the_tokens_of_stories260k() -> None:
    _, vocabulary = described(stories260k())
    config = tokenizer_config(vocabulary, 512)
    assert config["add_bos_token"] is True
    assert [config[f"{name}_token"] for name in ("bos", "eos", "unk")] == ["<s>", "</s>", "<unk>"]
    assert "pad_token" not in config
    assert "chat_template" not in config


def test_ends_of_turns_and_messages_end_generation(stories_variant: Callable[..., Path]) -> None:
    path = stories_variant(tokenizer__ggml__eot_token_id=300, tokenizer__ggml__eom_token_id=301)
    _, vocabulary = described(path)
    assert vocabulary.ends == (2, 300, 301)
    assert {2, 300, 301} <= set(vocabulary.special)


def test_an_id_beyond_the_vocabulary_is_passed_over(stories_variant: Callable[..., Path]) -> None:
    path = stories_variant(
        tokenizer__ggml__eos_token_id=9999, tokenizer__ggml__padding_token_id=9999
    )
    _, vocabulary = described(path)
    assert (vocabulary.eos, vocabulary.padding) == (2, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokenizer__ggml__model": "bert"}, "of the kind bert; only gpt2 and llama"),
        ({"tokenizer__ggml__model": None}, r"tokenizer\.ggml\.model is missing"),
        ({"tokenizer__ggml__tokens": None}, r"tokenizer\.ggml\.tokens is missing"),
        ({"tokenizer__ggml__tokens": ["a"] * 600}, "600 tokens, but 512 rows"),
        ({"tokenizer__ggml__tokens": ["a", "b", "a"]}, "tokens 0 and 2 are both 'a'"),
        ({"tokenizer__ggml__tokens": ["a", "b"]}, "has no token for every byte"),
        ({"tokenizer__ggml__token_type": [1, 1]}, "does not name a kind for every token"),
        ({"tokenizer__ggml__scores": [0.0]}, "has no score for every token"),
        ({"tokenizer__ggml__model": "gpt2"}, r"tokenizer\.ggml\.merges is missing"),
        (
            {"tokenizer__ggml__model": "gpt2", "tokenizer__ggml__merges": ["q zzz"]},
            "the merge 'q' 'zzz' is not one of its tokens",
        ),
        (
            {
                "tokenizer__ggml__model": "gpt2",
                "tokenizer__ggml__merges": ["h e"],
                "tokenizer__ggml__pre": "tekken",
            },
            "the pre-tokenizer tekken is not known here",
        ),
    ],
)
def test_a_tokenizer_that_cannot_be_rebuilt_is_refused(
    change: dict[str, Any], message: str, stories_variant: Callable[..., Path]
) -> None:
    with pytest.raises(Refused, match=message):
        build_tokenizer(*described(stories_variant(**change)))
