from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from checkpoint.native import NativeModel
from checkpoint.source import Source
from checkpoint.tokenizer import build_tokenizer, tokenizer_config
from checkpoint.vocabulary import vocabulary_of
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from contract.texts import LITERAL_SPECIALS, TEXTS
from support.gguf_files import smollm2, stories260k
from support.repository import ROOT
from unit.scripts_checkpoint.conftest import Parts, source_of

FILES: dict[str, Callable[[], Path]] = {
    "stories260K": stories260k,
    "SmolLM2": smollm2,
    "the specialist": lambda: (
        ROOT / "model_registry" / "quorate_registry" / "embedded" / "catalogue-specialist.gguf"
    ),
}
HARD_TEXTS = [
    *TEXTS.values(),
    *LITERAL_SPECIALS,
    "",
    " ",
    "\n",
    "\n\n \n",
    "don't WE'LL i'M o'clock",
    "2+2=4, 1234567, ½ ² Ⅷ ٣ 12٣4",
    "a  b   c \t d\r\n\r\n e   ",
    "\u00a0nbsp\u2003em\u3000wide\u0085next\u2028line\u200bzero",
    "f(x) -> {'key': [1, 2]}  # $+<=>^~|!?;:",
    "▁▁marks▁of▁spaces",
    "<0x41> <unk> [UNK]",
    "e\u0301 \u0130 ß ŉ",
]
TEXT = st.text(
    st.one_of(
        st.sampled_from(" \n\t\r'sStdmelrv0123456789abcXYZ.,!?<>|_-+=$"),
        st.characters(exclude_categories=["Cs", "Cn"]),
    ),
    max_size=40,
)


class Pair:
    """One file's tokenizer, ours and llama.cpp's."""

    def __init__(self, path: Path, source: Source | None = None) -> None:
        source = source or source_of(path)
        self.vocabulary = vocabulary_of(source, len(source.strings("tokenizer.ggml.tokens")))
        self.ours: Tokenizer = build_tokenizer(source, self.vocabulary)
        self.native = NativeModel(path, vocabulary_only=True)

    def encode(self, text: str, *, special: bool) -> list[int]:
        self.ours.encode_special_tokens = not special
        return list(self.ours.encode(text).ids)

    def assert_alike(self, text: str, *, special: bool = False) -> None:
        ids = self.encode(text, special=special)
        assert ids == self.native.encode(text, special=special), text


@pytest.fixture(scope="module")
def pairs() -> Iterator[dict[str, Pair]]:
    made = {name: Pair(path()) for name, path in FILES.items()}
    yield made
    for pair in made.values():
        pair.native.close()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("text", HARD_TEXTS)
def test_a_text_has_the_ids_that_llama_cpp_gives_it(
    name: str, text: str, pairs: dict[str, Pair]
) -> None:
    pairs[name].assert_alike(text)
    pairs[name].assert_alike(text, special=True)


@pytest.mark.parametrize("name", FILES)
@given(text=TEXT)
def test_any_text_has_the_ids_that_llama_cpp_gives_it(
    name: str, text: str, pairs: dict[str, Pair]
) -> None:
    pairs[name].assert_alike(text)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("text", [*TEXTS.values(), *LITERAL_SPECIALS])
def test_special_tokens_are_not_written_by_text(
    name: str, text: str, pairs: dict[str, Pair]
) -> None:
    pair = pairs[name]
    pair.ours.encode_special_tokens = True
    ids = pair.ours.encode(text, add_special_tokens=False).ids
    assert not set(ids) & set(pair.vocabulary.special)
    assert pair.ours.decode(ids, skip_special_tokens=False) == text


def test_special_tokens_are_recognised_where_that_is_asked_for(pairs: dict[str, Pair]) -> None:
    assert pairs["SmolLM2"].encode("<|im_start|>a<|im_end|>", special=True) == [1, 81, 2]
    ids = pairs["stories260K"].encode("</s>cat", special=True)
    assert ids[:2] == [1, 2]


@pytest.mark.parametrize("name", FILES)
def test_generation_ends_where_llama_cpp_ends_it(name: str, pairs: dict[str, Pair]) -> None:
    assert set(pairs[name].vocabulary.ends) == pairs[name].native.ends()
    assert pairs[name].vocabulary.ends[0] == pairs[name].vocabulary.eos


PRE_TOKENIZERS = ["smollm", "gpt-2", "llama-bpe", "qwen2", "default", None]


@pytest.fixture(scope="module", params=PRE_TOKENIZERS, ids=str)
def cut_otherwise(
    request: pytest.FixtureRequest,
    smollm2_vocabulary: Parts,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pair]:
    """SmolLM2's vocabulary with another pre-tokenizer, and what its file says of BOS left out."""
    parts = smollm2_vocabulary.copy().set(
        tokenizer__ggml__pre=request.param, tokenizer__ggml__add_bos_token=None
    )
    path = parts.write(tmp_path_factory.mktemp("cut") / "vocabulary.gguf")
    # As it would be read from there, which takes seconds.
    written = {key: value for key, (value, *_) in parts.metadata.items()}
    pair = Pair(path, replace(source_of(smollm2()), path=path, metadata=written))
    yield pair
    pair.native.close()


def test_every_pre_tokenizer_cuts_as_llama_cpp_does(cut_otherwise: Pair) -> None:
    for text in HARD_TEXTS:
        cut_otherwise.assert_alike(text)


@given(text=TEXT)
def test_every_pre_tokenizer_cuts_any_text_as_llama_cpp_does(
    cut_otherwise: Pair, text: str
) -> None:
    cut_otherwise.assert_alike(text)


def pair_with(parts: Parts, path: Path, **metadata: Any) -> Pair:
    return Pair(parts.set(**metadata).write(path))


def test_user_defined_tokens_are_found_in_any_text(stories: Parts, tmp_path: Path) -> None:
    tokens = list(stories.metadata["tokenizer.ggml.tokens"][0])
    kinds = list(stories.metadata["tokenizer.ggml.token_type"][0])
    tokens[510], kinds[510] = "<tool>", 4
    stories.metadata["tokenizer.ggml.token_type"] = (
        kinds,
        *stories.metadata["tokenizer.ggml.token_type"][1:],
    )
    pair = pair_with(stories, tmp_path / "tool.gguf", tokenizer__ggml__tokens=tokens)
    assert 510 in pair.encode("a <tool> b<tool>", special=False)
    pair.assert_alike("a <tool> b<tool>")
    pair.native.close()


UNUSED = 5


def padded(parts: Parts, *, replacing: int, more: int) -> Parts:
    """The last tokens made unused ones, and more of them behind."""
    padded = parts.copy()
    for key, of_padding in (("tokens", "[PAD{}]"), ("token_type", UNUSED), ("scores", 0.0)):
        values, *kinds = padded.metadata.get(f"tokenizer.ggml.{key}", ([], None, None))
        if not values:
            continue
        kept = list(values)[: len(values) - replacing]
        made = range(len(kept), len(values) + more)
        texts = [of_padding.format(token) if key == "tokens" else of_padding for token in made]
        padded.metadata[f"tokenizer.ggml.{key}"] = ([*kept, *texts], *kinds)
    return padded


@pytest.mark.parametrize(
    ("name", "replacing", "more", "used"), [("stories", 3, 0, 509), ("smollm2", 0, 5, 49152)]
)
def test_unused_tokens_at_the_end_are_left_out(
    name: str,
    replacing: int,
    more: int,
    used: int,
    stories: Parts,
    smollm2_vocabulary: Parts,
    tmp_path: Path,
) -> None:
    parts = stories if name == "stories" else smollm2_vocabulary
    padding = f"[PAD{used + 1}]"
    pair = pair_with(
        padded(parts, replacing=replacing, more=more),
        tmp_path / "padded.gguf",
        tokenizer__ggml__padding_token_id=used + 1,
    )
    assert pair.ours.get_vocab_size() == used == pair.vocabulary.used
    assert pair.ours.token_to_id(padding) is None
    assert pair.vocabulary.text(used + 1) == padding
    assert "pad_token" not in tokenizer_config(pair.vocabulary, 512)
    for text in (padding, f"a {padding} cat{padding}", *HARD_TEXTS):
        pair.assert_alike(text)
        pair.assert_alike(text, special=True)
    pair.native.close()


def test_an_unused_token_in_the_middle_keeps_its_place(stories: Parts, tmp_path: Path) -> None:
    kinds = list(stories.metadata["tokenizer.ggml.token_type"][0])
    kinds[300] = UNUSED
    rest = stories.metadata["tokenizer.ggml.token_type"][1:]
    stories.metadata["tokenizer.ggml.token_type"] = (kinds, *rest)
    pair = pair_with(stories, tmp_path / "middle.gguf")
    assert pair.vocabulary.used == pair.ours.get_vocab_size() == 512
    assert pair.ours.token_to_id(pair.vocabulary.tokens[300]) == 300
    pair.native.close()


@pytest.mark.parametrize("wanted", [True, False])
def test_the_space_before_a_text_is_put_where_the_file_says_so(
    wanted: bool, stories: Parts, tmp_path: Path
) -> None:
    pair = pair_with(stories, tmp_path / "s.gguf", tokenizer__ggml__add_space_prefix=wanted)
    pair.assert_alike("cat")
    pair.assert_alike(" two cats</s>and more", special=True)
    assert (pair.ours.encode("cat").tokens[1] == "▁c") is wanted
    assert pair.ours.decode(pair.encode("cat", special=False)) == "cat"
    pair.native.close()


@pytest.mark.parametrize("begins", [True, False])
@pytest.mark.parametrize("ends", [True, False])
def test_a_text_is_framed_as_the_file_says(
    begins: bool, ends: bool, stories: Parts, tmp_path: Path
) -> None:
    pair = pair_with(
        stories,
        tmp_path / "framed.gguf",
        tokenizer__ggml__add_bos_token=begins,
        tokenizer__ggml__add_eos_token=ends,
    )
    ids = pair.encode("cat", special=False)
    assert (ids[0] == 1, ids[-1] == 2) == (begins, ends)
    pair.assert_alike("cat")
    pair.native.close()
