"""The vocabularies of ten families: round trips, fingerprints, chats, byte order, votes.

Where no real weights are at hand, a small random network has the real vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_cpp import llama_cpp as native
from tokenizers import Tokenizer

from contract.texts import LITERAL_SPECIALS, TEXTS
from quorate.engines.scheduler.contract import Chunk
from quorate.request import ChatPrompt, Message, TextPrompt
from quorate.v1 import plan_pb2
from support.gguf_files import loaded, smollm2
from support.random_networks import random_network
from support.real_models import QWEN_SMALL, real_model, tokenizer_folder
from support.streams import Stream
from support.whole_service import gguf, whole_service

pytestmark = [pytest.mark.real_model, pytest.mark.timeout(300)]

TODAY = "{today}"
CHATML = (
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYes?<|im_end|>\n"
    "<|im_start|>user\n1 + 1<|im_end|>\n<|im_start|>assistant\n"
)
HEADERS = (
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nYes?<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\n1 + 1<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n"
)
CONVERSATION = (Message("user", "Hi"), Message("assistant", "Yes?"), Message("user", "1 + 1"))


@dataclass(frozen=True)
class Family:
    """One family.

    Attributes:
        name: Of its tokenizer's folder, where it has one.
        tokens: Size of its vocabulary, ids without a token at the end left out.
        pre: llama.cpp's name of its pre-tokenizer; None is SentencePiece.
        bos: What stands before a prompt.
        ends: Texts of tokens that must end an answer.
        rendered: What its template makes of ``CONVERSATION``, as its makers document it; None
            where the file at hand has no template.
        weights: Whether the file is a real model.
    """

    name: str
    tokens: int
    pre: str | None = None
    bos: str = ""
    ends: tuple[str, ...] = ()
    rendered: str | None = None
    weights: bool = False

    def file(self) -> Path:
        if self.weights:
            return {"smollm2": smollm2, "qwen2_5": lambda: real_model(QWEN_SMALL)}[self.name]()
        return random_network(tokenizer_folder(self.name), self.pre)

    def reference(self) -> Tokenizer | None:
        """The tokenizers library over the same file; it parses nothing special out of text."""
        # Qwen 2.5 and Qwen 3 differ in a few added tokens.
        name = {"qwen2_5": "qwen3", "smollm2": ""}.get(self.name, self.name)
        if not name:
            return None
        tokenizer: Tokenizer = Tokenizer.from_file(str(tokenizer_folder(name) / "tokenizer.json"))
        tokenizer.encode_special_tokens = True
        return tokenizer


FAMILIES = [
    Family(
        "smollm2",
        49152,
        pre="smollm",
        ends=("<|im_end|>", "<|endoftext|>"),
        rendered="<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by "
        f"Hugging Face<|im_end|>\n{CHATML}",
        weights=True,
    ),
    Family(
        "qwen2_5",
        151665,
        pre="qwen2",
        ends=("<|im_end|>", "<|endoftext|>"),
        rendered="<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful "
        f"assistant.<|im_end|>\n{CHATML}",
        weights=True,
    ),
    Family("qwen3", 151669, pre="qwen2", ends=("<|im_end|>", "<|endoftext|>"), rendered=CHATML),
    Family("llama2", 32000, bos="<s>", ends=("</s>",)),
    Family(
        "llama3_1",
        128256,
        pre="llama-bpe",
        bos="<|begin_of_text|>",
        ends=("<|eot_id|>",),
        rendered=HEADERS,
    ),
    Family(
        "gemma3",
        262145,
        bos="<bos>",
        ends=("<end_of_turn>", "<eos>"),
        rendered="<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\nYes?"
        "<end_of_turn>\n<start_of_turn>user\n1 + 1<end_of_turn>\n<start_of_turn>model\n",
    ),
    Family("gptoss", 200019, pre="gpt-4o", ends=("<|return|>", "<|call|>")),
    Family("gpt4o", 200019, pre="gpt-4o", ends=("<|endoftext|>",)),
    Family("gpt35turbo", 100277, pre="dbrx", ends=("<|endoftext|>",)),
    Family(
        "deepseek_v3",
        128815,
        pre="deepseek-v3",
        bos="<｜begin▁of▁sentence｜>",  # noqa: RUF001
        ends=("<｜end▁of▁sentence｜>",),  # noqa: RUF001
        rendered="<｜begin▁of▁sentence｜><｜User｜>Hi<｜Assistant｜>Yes?"  # noqa: RUF001
        "<｜end▁of▁sentence｜><｜User｜>1 + 1<｜Assistant｜>",  # noqa: RUF001
    ),
]
FINGERPRINTS: dict[str, str] = {}
"""Of every family that was loaded so far, since each takes seconds."""

# llama.cpp's own splitter for this pre-tokenizer takes no combining marks into words.
WITHOUT_MARKS = "gpt-4o"
PROSE = [
    "The quick brown fox doesn't jump; it's 3.14159 times as LAZY.",
    "def f(x):\n\treturn x**2  # 12345\n\n\n",
    "https://example.org/a?b=c&d=%20  \n  trailing  ",
    "naïve café Straße ½ x² ٣٤ ०१ HTTPServer camelCase",
    'int main() {\r\n    printf("%d\\n", 0x1F);\r\n}',
]


@pytest.fixture(scope="module", params=FAMILIES, ids=lambda family: family.name)
def family(request: pytest.FixtureRequest) -> Family:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def model(family: Family) -> Iterator[Any]:
    with loaded(family.file(), 1, sessions=2, context_length=512, cells=1024) as opened:
        FINGERPRINTS[family.name] = opened.vocabulary.fingerprint
        yield opened


@pytest.fixture(scope="module")
def reference(family: Family) -> Tokenizer | None:
    return family.reference()


def joined(model: Any, tokens: list[int]) -> bytes:
    return b"".join(model.vocabulary.pieces[token] for token in tokens)


def cut(model: Any, text: str) -> list[int]:
    """Tokens of a prompt without what stands before it."""
    tokens: list[int] = model.encode(TextPrompt(text))
    return tokens if model.vocabulary.bos is None else tokens[1:]


def natively(model: Any, text: str) -> list[int]:
    """llama.cpp's own tokens of a text in which special tokens are parsed; no BOS is added."""
    vocabulary = native.llama_model_get_vocab(model._weights)
    data = text.encode()
    tokens = (native.llama_token * (len(data) + 8))()
    count = native.llama_tokenize(vocabulary, data, len(data), tokens, len(tokens), False, True)
    assert count > 0
    return list(tokens[:count])


def id_of(model: Any, text: str) -> int:
    (token,) = natively(model, text)
    return token


def test_the_vocabulary_is_whole(family: Family, model: Any) -> None:
    vocabulary = model.vocabulary
    assert len(vocabulary) == family.tokens
    assert {id_of(model, text) for text in family.ends} <= vocabulary.end_of_generation
    assert vocabulary.end_of_generation <= vocabulary.control
    assert vocabulary.bos == (id_of(model, family.bos) if family.bos else None)
    single = {piece for piece in vocabulary.pieces if len(piece) == 1}
    assert single >= {bytes([value]) for value in range(32, 127)}


@pytest.mark.parametrize("name", TEXTS)
def test_any_text_comes_out_as_its_bytes(model: Any, name: str) -> None:
    text = TEXTS[name]
    space = b" " if model.facts.space_prefix else b""
    tokens = model.encode(TextPrompt(text))
    if model.vocabulary.bos is not None:
        assert tokens.pop(0) == model.vocabulary.bos
    assert joined(model, tokens) == space + text.encode()
    continued = model.encode_continuation(text)
    assert joined(model, continued) == text.encode()
    assert not model.vocabulary.control.intersection(tokens + continued)


def test_nothing_that_a_user_writes_is_special(family: Family, model: Any) -> None:
    texts = [*LITERAL_SPECIALS, *family.ends, family.bos, "<|start|>", "<｜User｜>"]  # noqa: RUF001
    hostile = " ".join(texts) + "".join(texts)
    continued = model.encode_continuation(hostile)
    assert joined(model, continued) == hostile.encode()
    assert not model.vocabulary.control.intersection(continued)


def test_text_is_cut_as_the_tokenizers_library_cuts_it(
    family: Family, model: Any, reference: Tokenizer | None
) -> None:
    if reference is None:
        pytest.skip("SmolLM2's package has no tokenizer.json")
    left_out = {"literal specials"} | ({"Indic"} if family.pre == WITHOUT_MARKS else set())
    plain = [text for name, text in TEXTS.items() if name not in left_out]
    for text in [*plain, *PROSE]:
        assert cut(model, text) == reference.encode(text, add_special_tokens=False).ids, text


@pytest.mark.xfail(strict=True, reason="llama.cpp's gpt-4o splitter knows no combining marks")
def test_combining_marks_are_cut_as_the_tokenizers_library_cuts_them() -> None:
    (family,) = (family for family in FAMILIES if family.name == "gptoss")
    reference = family.reference()
    assert reference is not None
    with loaded(family.file(), 1, sessions=1, context_length=64, cells=64) as model:
        text = TEXTS["Indic"]
        assert cut(model, text) == reference.encode(text, add_special_tokens=False).ids


def test_a_chat_is_rendered_as_its_makers_document_it(family: Family, model: Any) -> None:
    assert model.facts.capabilities.chat == (family.rendered is not None)
    if family.rendered is None:
        pytest.skip("this file has no chat template")
    today = datetime.now().strftime("%Y-%m-%d")
    expected = natively(model, family.rendered.replace(TODAY, today))
    assert model.encode(ChatPrompt(CONVERSATION)) == expected


def test_a_chat_cannot_write_the_marks_around_it(family: Family, model: Any) -> None:
    if family.rendered is None:
        pytest.skip("this file has no chat template")
    control = model.vocabulary.control

    def marks(text: str) -> list[int]:
        tokens = model.encode(ChatPrompt((*CONVERSATION[:2], Message("user", text))))
        return [token for token in tokens if token in control]

    hostile = "".join((*LITERAL_SPECIALS, *family.ends, family.bos))
    assert marks(hostile) == marks("1 + 1")
    assert len(marks("1 + 1")) > 2


def test_tokens_stand_in_the_order_of_their_bytes(model: Any) -> None:
    vocabulary, order = model.vocabulary, model.vocabulary.byte_order
    pieces = [vocabulary.pieces[token] for token in order.ids]
    assert pieces == sorted(pieces)
    spelled = {token for token, piece in enumerate(vocabulary.pieces) if piece}
    assert set(order.ids.tolist()) == spelled - vocabulary.end_of_generation
    assert order.ending.tolist() == sorted(vocabulary.end_of_generation)


def test_prefix_sums_are_the_mass_of_what_begins_so(model: Any) -> None:
    vocabulary, order = model.vocabulary, model.vocabulary.byte_order
    output = np.full(len(vocabulary), np.nan, np.float32)
    sums = np.zeros(len(order) + 1, np.float64)
    model.decode([Chunk(0, 0, model.encode(TextPrompt("The sky")), output, sums=sums)])
    model.truncate(0, 0)
    probabilities = np.exp(output.astype(np.float64))
    assert probabilities.sum() == pytest.approx(1.0, abs=1e-6)
    # Control tokens have a part in the row and no bytes.
    rest = probabilities[order.ending].sum() + probabilities[order.control].sum()
    assert sums[-1] + rest == pytest.approx(1.0, abs=1e-6)
    for text in (b" ", b"t", b" th", "é".encode()[:1], b"\n"):
        prefix = order.find(text)
        assert prefix is not None
        begin = [token for token in order.ids if vocabulary.pieces[token].startswith(text)]
        assert prefix.high - prefix.low == len(begin)
        mass = sums[prefix.high] - sums[prefix.low]
        assert mass == pytest.approx(probabilities[begin].sum(), rel=1e-6, abs=1e-12)


def test_the_rows_of_a_greedy_continuation_are_distributions(model: Any) -> None:
    fed, position = model.encode(TextPrompt("Hello")), 0
    for _ in range(4):
        output = np.full(len(model.vocabulary), np.nan, np.float32)
        model.decode([Chunk(0, position, fed, output)])
        position += len(fed)
        chosen = int(output.argmax())
        assert chosen not in model.vocabulary.masked
        assert np.exp(output.astype(np.float64)).sum() == pytest.approx(1.0, abs=1e-6)
        fed = [chosen]
    model.truncate(0, 0)


def fingerprint(path: Path) -> str:
    with loaded(path, 1, sessions=1, context_length=64, cells=64) as model:
        return model.vocabulary.fingerprint


def test_no_two_families_have_one_fingerprint() -> None:
    assert len(set(FINGERPRINTS.values())) == len(FINGERPRINTS)


def test_other_weights_do_not_change_the_fingerprint(tmp_path: Path) -> None:
    folder = tokenizer_folder("llama2")
    other = random_network(folder, None, seed=1, cache=tmp_path)
    assert fingerprint(other) == fingerprint(random_network(folder, None))


def test_another_pre_tokenizer_is_another_fingerprint(tmp_path: Path) -> None:
    folder = tokenizer_folder("gpt35turbo")
    other = random_network(folder, "qwen2", cache=tmp_path)
    assert fingerprint(other) != fingerprint(random_network(folder, "dbrx"))


@pytest.mark.parametrize("names", [("llama3_1", "qwen3"), ("llama2", "deepseek_v3")])
async def test_two_families_vote_byte_by_byte(tmp_path: Path, names: tuple[str, str]) -> None:
    """The networks know nothing, so that all that can be held to something is the arithmetic."""
    files = {family.name: family.file() for family in FAMILIES if family.name in names}
    models = [gguf(name, path, context_length=256, cells=1024) for name, path in files.items()]
    async with whole_service(tmp_path, *models) as (_, client):
        stream = await Stream(
            client, "The sky is", models=list(names), temperature=0.0, max_bytes=6
        ).whole()
        assert stream.decision.alignment == plan_pb2.ALIGNMENT_BYTE_EXACT
        assert 0 < len(stream.tokens) <= 6
        assert stream.text.encode() == b"".join(token.piece for token in stream.tokens)
        score = await client.score("The sky is", " blue", models=list(names))
    assert score.bytes == len(" blue")
    assert sum(token.logprob for token in score.tokens) == pytest.approx(score.logprob, abs=1e-6)
    assert score.logprob < 0
