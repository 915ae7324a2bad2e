from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from contract.texts import LITERAL_SPECIALS, TEXTS
from quorate.engines.prompt_encoding import PromptEncoder
from quorate.engines.vllm.tokenizer import CheckpointTokenizer
from quorate.errors import ModelUnusable
from quorate.request import ChatPrompt, Message, TextPrompt

pytestmark = pytest.mark.vllm

LETTERS = sorted(pre_tokenizers.ByteLevel.alphabet())
BYTE_TOKENS = [f"<0x{value:02X}>" for value in range(256)]
SPACE = "\u2581"
WITH_SPACE = ["prepend", "first", "always"]


def save(tokenizer: Tokenizer, folder: Path, config=None, generation=None, **settings) -> Path:
    """Writes a checkpoint's folder as far as its tokens go."""
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **settings}
    config = {"model_type": "llama", **(config or {})}
    for name, table in (
        ("tokenizer_config.json", settings),
        ("config.json", config),
        ("generation_config.json", generation or {}),
    ):
        (folder / name).write_text(json.dumps(table), "utf-8")
    return folder


def byte_level(*added: str | AddedToken, words: dict[str, int] | None = None) -> Tokenizer:
    """256 letters for bytes, then " a" and " the"; what is added follows."""
    learned = [*LETTERS, "Ġa", "th", "the", "Ġthe"]
    vocabulary = {text: token for token, text in enumerate(learned)} | (words or {})
    merges = [("Ġ", "a"), ("t", "h"), ("th", "e"), ("Ġ", "the")]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = [AddedToken(text, special=True) for text in added if isinstance(text, str)]
    tokenizer.add_tokens([*special, *(token for token in added if not isinstance(token, str))])
    return tokenizer


def sentence_piece(prefix: str, kind: str = "BPE") -> Tokenizer:
    """Three special tokens, 256 bytes, and some pieces with the mark for spaces."""
    pieces = ["<unk>", "<s>", "</s>", *BYTE_TOKENS, SPACE, "a", SPACE + "a", "<", "s", ">", "/"]
    if kind == "BPE":
        vocabulary = {text: token for token, text in enumerate(pieces)}
        model = models.BPE(vocab=vocabulary, merges=[(SPACE, "a")], byte_fallback=True)
    else:
        scores = [(text, 0.0 if token < 3 else -10.0) for token, text in enumerate(pieces)]
        model = models.Unigram(scores, 0, True)
    tokenizer = Tokenizer(model)
    if prefix == "prepend":
        marked = [normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)]
        tokenizer.normalizer = normalizers.Sequence(marked)
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prefix, split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return tokenizer


def joined(tokenizer: CheckpointTokenizer, tokens: list[int]) -> bytes:
    return b"".join(tokenizer.vocabulary.pieces[token] for token in tokens)


def named(tokenizer: CheckpointTokenizer, *texts: str) -> set[int]:
    ids = {one.text: one.token for one in tokenizer.special_tokens}
    return {ids[text] for text in texts}


def test_a_byte_level_vocabulary_has_its_bytes(tmp_path):
    tokenizer = CheckpointTokenizer(save(byte_level("<|endoftext|>"), tmp_path))
    vocabulary = tokenizer.vocabulary
    assert set(vocabulary.pieces[:256]) == {bytes([value]) for value in range(256)}
    assert vocabulary.pieces[256:] == (b" a", b"th", b"the", b" the", b"")
    assert vocabulary.control == vocabulary.end_of_generation == {260}
    assert vocabulary.bos is None
    assert not tokenizer.adds_space


@pytest.mark.parametrize("kind", ["BPE", "Unigram"])
@pytest.mark.parametrize("prefix", WITH_SPACE)
def test_a_sentencepiece_vocabulary_has_all_bytes_and_plain_spaces(tmp_path, prefix, kind):
    vocabulary = CheckpointTokenizer(save(sentence_piece(prefix, kind), tmp_path)).vocabulary
    assert vocabulary.pieces[3:259] == tuple(bytes([value]) for value in range(256))
    assert vocabulary.pieces[259:] == (b" ", b"a", b" a", b"<", b"s", b">", b"/")
    assert vocabulary.control == {0, 1, 2}
    assert vocabulary.end_of_generation == {2}
    assert vocabulary.bos == 1


@pytest.mark.parametrize("text", [*TEXTS.values(), "e\u0301 \uff21\u2460", " \u2003\u00a0 "])
def test_any_text_comes_out_as_its_bytes(tmp_path, text):
    tokenizer = byte_level("<|im_end|>", "<s>")
    # Both rewrite text; a vote that compares bytes can have neither.
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    loaded = CheckpointTokenizer(save(tokenizer, tmp_path))
    for encode in (loaded.encode_text, loaded.encode_run, loaded.encode_continuation):
        assert joined(loaded, encode(text)) == text.encode()


@pytest.mark.parametrize("kind", ["BPE", "Unigram"])
@pytest.mark.parametrize("prefix", [*WITH_SPACE, "never"])
@pytest.mark.parametrize("text", [*TEXTS.values(), *LITERAL_SPECIALS, "a", " a", "a a"])
def test_sentencepiece_puts_bos_and_a_space_before_a_document_alone(tmp_path, prefix, kind, text):
    tokenizer = CheckpointTokenizer(save(sentence_piece(prefix, kind), tmp_path))
    space = b" " if prefix in WITH_SPACE else b""
    tokens = tokenizer.encode_text(text)
    assert tokenizer.adds_space == bool(space)
    assert tokens[0] == tokenizer.bos == 1
    assert joined(tokenizer, tokens) == space + text.encode()
    continued = tokenizer.encode_continuation(text)
    assert joined(tokenizer, continued) == text.encode()
    assert not tokenizer.vocabulary.control.intersection(tokens[1:] + continued)


@pytest.mark.parametrize(
    ("prefix", "run"), [("prepend", b" a"), ("always", b" a"), ("first", b"a"), ("never", b"a")]
)
def test_behind_a_special_token_older_files_put_a_space_too(tmp_path, prefix, run):
    tokenizer = CheckpointTokenizer(save(sentence_piece(prefix), tmp_path))
    assert joined(tokenizer, tokenizer.encode_run("a")) == run


def test_an_empty_prompt_is_the_one_token_that_a_document_begins_with(tmp_path):
    folder = save(sentence_piece("prepend"), tmp_path)
    assert CheckpointTokenizer(folder).encode_text("") == [1]
    assert CheckpointTokenizer(folder).encode_run("") == []
    chatty = byte_level("<|im_start|>", "<|im_end|>", "<|endoftext|>")
    folder = save(chatty, tmp_path, bos_token="<|im_start|>", eos_token="<|im_end|>")
    assert CheckpointTokenizer(folder).encode_text("") == [262]
    folder = save(byte_level("<a>", "<z>"), tmp_path, bos_token="<a>", eos_token="<z>")
    assert CheckpointTokenizer(folder).encode_text("") == [260]
    assert CheckpointTokenizer(save(byte_level(), tmp_path)).encode_text("") == []


def test_half_a_surrogate_pair_becomes_a_question_mark(tmp_path):
    tokenizer = CheckpointTokenizer(save(byte_level(), tmp_path))
    assert joined(tokenizer, tokenizer.encode_run("a\ud800b")) == b"a?b"


def test_every_end_that_the_files_name_ends_an_answer(tmp_path):
    tokenizer = byte_level("<one>", "<two>", "<three>", "<four>", "<|eot_id|>", "<else>")
    folder = save(
        tokenizer,
        tmp_path,
        config={"eos_token_id": 260, "text_config": {"eos_token_id": 261}},
        generation={"eos_token_id": [262, 99_999, -1, True, None, "the"]},
        eos_token="<four>",
    )
    vocabulary = CheckpointTokenizer(folder).vocabulary
    assert vocabulary.end_of_generation == {260, 261, 262, 263, 264}
    assert vocabulary.control == set(range(260, 266))


def test_added_tokens_are_text_unless_they_look_special(tmp_path):
    plain = [AddedToken(text, normalized=False) for text in ("<think>", f"{SPACE}{SPACE}", "<é>")]
    marks = [AddedToken(text, normalized=False) for text in ("<|user|>", "<mask>", "<fim_prefix>")]
    tokenizer = CheckpointTokenizer(save(byte_level(*plain, *marks), tmp_path))
    assert tokenizer.vocabulary.pieces[260:] == (b"<think>", b"  ", "<é>".encode(), b"", b"", b"")
    assert not tokenizer.vocabulary.end_of_generation
    assert tokenizer.encode_run("<think>") == [260]
    written = tokenizer.encode_run("<|user|><mask><fim_prefix>")
    assert joined(tokenizer, written) == b"<|user|><mask><fim_prefix>"


def test_marks_inside_of_an_answer_have_bytes_that_only_a_template_writes(tmp_path):
    texts = ("<|return|>", "<|call|>", "<|end|>", "<|channel|>", "<|start|>", "<|other|>")
    tokenizer = CheckpointTokenizer(save(byte_level(*texts), tmp_path))
    vocabulary = tokenizer.vocabulary
    assert vocabulary.pieces[260:] == (b"", b"", b"<|end|>", b"<|channel|>", b"<|start|>", b"")
    assert vocabulary.end_of_generation == {260, 261}
    assert named(tokenizer, *texts) == set(range(260, 266))
    assert joined(tokenizer, tokenizer.encode_run("".join(texts))) == "".join(texts).encode()
    assert max(tokenizer.encode_run("".join(texts))) < 260


@pytest.mark.parametrize(
    "text", ["</s>", "<|eot_id|>", "<end_of_turn>", "<reponame>", "<|file_sep|>", "[PAD]"]
)
def test_what_is_known_to_end_answers_does_so_though_no_file_says_it(tmp_path, text):
    tokenizer = byte_level("<other>", AddedToken(text, special=False))
    vocabulary = CheckpointTokenizer(save(tokenizer, tmp_path)).vocabulary
    assert vocabulary.end_of_generation == {261}
    assert vocabulary.control == {260, 261}


def test_beside_ends_of_its_own_html_is_text(tmp_path):
    tokenizer = byte_level("<|tool_response>", AddedToken("</s>", special=False))
    vocabulary = CheckpointTokenizer(save(tokenizer, tmp_path)).vocabulary
    assert vocabulary.pieces[260:] == (b"", b"</s>")
    assert vocabulary.end_of_generation == {260}


def test_an_end_of_part_ends_the_answer_where_nothing_else_does(tmp_path):
    vocabulary = CheckpointTokenizer(save(byte_level("<|end|>"), tmp_path)).vocabulary
    assert vocabulary.end_of_generation == vocabulary.control == {260}


def test_unused_ids_at_the_end_are_left_out(tmp_path):
    tokenizer = byte_level("<end>", "<unused0>", "<more>", "<unused1>", "<|unused_2|>")
    vocabulary = CheckpointTokenizer(
        save(tokenizer, tmp_path, config={"vocab_size": 512})
    ).vocabulary
    assert len(vocabulary) == 263
    assert vocabulary.control == {260, 261, 262}


def test_ids_that_no_token_has_are_control_tokens(tmp_path):
    folder = save(byte_level(words={"zz": 263}), tmp_path, config={"vocab_size": 512})
    vocabulary = CheckpointTokenizer(folder).vocabulary
    assert vocabulary.pieces[259:] == (b" the", b"", b"", b"", b"zz")
    assert vocabulary.control == {260, 261, 262}


def test_added_tokens_beyond_the_model_s_log_probs_do_not_exist(tmp_path):
    added = ("<|im_end|>", AddedToken("<think>"), AddedToken("<beyond>"), "<far>")
    folder = save(byte_level(*added), tmp_path, config={"vocab_size": 262})
    tokenizer = CheckpointTokenizer(folder)
    assert len(tokenizer.vocabulary) == 262
    assert [one.text for one in tokenizer.special_tokens if one.token > 261] == []
    assert max(tokenizer.encode_run("<beyond><far><think>")) < 262


def test_what_templates_and_chats_need_is_told(tmp_path):
    stripping = AddedToken("<|user|>", special=True, lstrip=True, rstrip=True)
    folder = save(byte_level("<s>", stripping), tmp_path, bos_token="<s>", unk_token="<s>")
    tokenizer = CheckpointTokenizer(folder)
    assert tokenizer.special_texts["bos_token"] == "<s>"
    assert tokenizer.special_texts["eos_token"] == tokenizer.special_texts["pad_token"] == ""
    strips = {one.text: (one.strips_left, one.strips_right) for one in tokenizer.special_tokens}
    assert strips == {"<s>": (False, False), "<|user|>": (True, True)}


@pytest.mark.parametrize(
    ("template", "wanted"),
    [
        ("one", "one"),
        ([{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}], "d"),
        ([{"name": "tool_use", "template": "t"}], None),
        (None, None),
    ],
)
def test_of_several_chat_templates_the_default_is_taken(tmp_path, template, wanted):
    folder = save(byte_level(), tmp_path, chat_template=template)
    assert CheckpointTokenizer(folder).chat_template == wanted


def refusal(folder: Path) -> str:
    with pytest.raises(ModelUnusable) as caught:
        CheckpointTokenizer(folder)
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 450
    return caught.value.message


def test_a_folder_without_a_usable_tokenizer_is_refused_in_one_line(tmp_path):
    assert "is not a folder" in refusal(tmp_path / "nothing")
    assert "its tokenizer cannot be loaded" in refusal(tmp_path)
    folder = save(byte_level(), tmp_path)
    (folder / "generation_config.json").write_text("{", "utf-8")
    assert "generation_config.json cannot be read" in refusal(folder)
    save(byte_level(), tmp_path)
    (folder / "tokenizer.json").write_text('{"version": ', "utf-8")
    assert "its tokenizer cannot be loaded" in refusal(folder)


def test_a_tokenizer_whose_tokens_are_no_bytes_is_refused(tmp_path):
    tokenizer = byte_level()
    tokenizer.decoder = decoders.WordPiece()
    assert "its decoder 'WordPiece'" in refusal(save(tokenizer, tmp_path))


def test_a_tokenizer_with_more_tokens_than_its_model_is_refused(tmp_path):
    folder = save(byte_level(), tmp_path, config={"vocab_size": 100})
    assert "a token 259, its model only 100 tokens" in refusal(folder)


def test_code_of_a_checkpoint_is_never_run(tmp_path):
    witness = tmp_path / "witness"
    (tmp_path / "own.py").write_text(f"open({str(witness)!r}, 'w')\nclass Own: pass\n", "utf-8")
    settings = {"auto_map": {"AutoTokenizer": [None, "own.Own"]}}
    folder = save(byte_level(), tmp_path, **settings)
    assert len(CheckpointTokenizer(folder).vocabulary) == 260
    save(byte_level(), tmp_path, **settings, tokenizer_class="Own")
    assert "code of the checkpoint, which is never done" in refusal(folder)
    assert not witness.exists()


CODE = (
    "def f(x):\n    return x**2  # 12345\n",
    'int main(void) {\n\tprintf("%d\\n", 0x1F);\n}\n',
    "SELECT * FROM t WHERE a>=10 AND b<>'x';",
    '{"a": [1, 2, 1e-10], "b": null}',
    "<p class='x'>&nbsp;don't I'LL we've</p>",
    "HTTPServer camelCase naïve café Straße x² ½ ٣٤ ०१",
)


def varied_texts() -> list[str]:
    """Code, numbers, scripts and white space in 200 mixtures, the same in every run."""
    parts = [*TEXTS.values(), *CODE, *"\t\n\r ?!'_-<|>/\\\u200b\u00a0\u0301", "  ", "\n\n", "\r\n"]
    parts = [part for text in parts for part in re.split(r"(?<=\w)\b", text)]
    chosen = random.Random(5)
    return ["".join(chosen.choices(parts, k=chosen.randint(1, 40))) for _ in range(200)]


def test_a_checkpoint_and_its_gguf_file_have_the_same_tokens(smollm2_checkpoint):
    from quorate.engines.llama_cpp.model import load
    from quorate.engines.llama_cpp.options import LlamaCppOptions
    from support.gguf_files import smollm2

    model = load(str(smollm2()), LlamaCppOptions(cells=256), 1, lambda share: None)
    try:
        tokenizer = CheckpointTokenizer(smollm2_checkpoint)
        prompts = PromptEncoder(tokenizer, tokenizer.chat_template, "smollm2", 8192)
        assert tokenizer.vocabulary.fingerprint == model.vocabulary.fingerprint
        assert tokenizer.adds_space == model.facts.space_prefix
        for text in (*TEXTS.values(), *LITERAL_SPECIALS, "", *varied_texts()):
            assert prompts.encode_continuation(text) == model.encode_continuation(text)
            for prompt in (TextPrompt(text), ChatPrompt((Message("user", text),))):
                assert prompts.encode(prompt) == model.encode(prompt)
    finally:
        model.close()
