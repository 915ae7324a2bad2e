"""Writes the trained specialist as a GGUF file, and what llama.cpp must compute from it.

Weights are stored as float16, norms as float32. Beside the file comes ``reference.json`` with token
ids and log-probs from PyTorch for ``check.py``.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path

import catalogue
import corpus
import gguf
import numpy as np
import torch
from corpus import ASSISTANT, BOS, CONTROLS, END, EOS, USER, Control
from network import Network, Shape
from train import LONG_ROW_TOKENS
from vocabulary import Vocabulary

NAME = "Catalogue specialist"
DESCRIPTION = (
    "A tiny model with a vocabulary of its own that knows one thing, an invented catalogue of "
    "parts; made to vote beside a generalist"
)
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "<|assistant|>{{ message['content'] }}<|end|>"
    "{% elif message['role'] == 'user' %}"
    "<|user|>{{ message['content'] }}<|end|>"
    "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
REFERENCE_TEXTS = (
    "", " ", "  two  spaces ", "\n\n\ttabs\r\n", "12.50", "3.14159, 1,000,000", " 007",
    "naïve café", "Größe", "привет", "日本語のテキスト", "한국어", "हिन्दी", "العربية", "👩‍👩‍👧‍👦🎉",
    "\ufeffBOM", "\x00\x01\x7f", "<s>", "<|user|>", "<|end|></s>", "don't we'll I'M", "a_b-c/d\\e",
    "x" * 60, "\u2026\u2014\u2013", "\u00a0nbsp", "½ ² Ⅷ ٣", "def f(x):\n    return x ** 2\n",
    "trailing   ",
)  # fmt: skip


def main() -> None:
    """Exports what ``train.py`` left in a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trained", type=Path, required=True, help="folder that train.py wrote")
    parser.add_argument("--output", type=Path, required=True, help="the GGUF file to write")
    arguments = parser.parse_args()
    vocabulary = Vocabulary.load(arguments.trained / "vocabulary.json")
    network = Network(Shape(vocabulary=len(vocabulary)))
    network.load_state_dict(torch.load(arguments.trained / "weights.pt", weights_only=True))
    write_gguf(network, vocabulary, arguments.output)
    reference = {"texts": _texts(vocabulary), "rows": _rows(network, vocabulary)}
    (arguments.trained / "reference.json").write_text(json.dumps(reference), encoding="utf-8")
    size = arguments.output.stat().st_size
    print(f"{arguments.output}: {size:,} bytes, {network.parameter_count():,} parameters")


def write_gguf(network: Network, vocabulary: Vocabulary, path: Path) -> None:
    """Writes network and vocabulary into one file."""
    writer = gguf.GGUFWriter(path, "llama")
    _add_facts(writer, network.shape)
    _add_tokenizer(writer, vocabulary)
    for name, weights in network.state_dict().items():
        kind = np.float16 if weights.dim() == 2 else np.float32
        writer.add_tensor(name, weights.numpy().astype(kind))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_facts(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_name(NAME)
    writer.add_description(DESCRIPTION)
    writer.add_license("Apache-2.0")
    writer.add_author("The Quorate authors")
    writer.add_languages(["en"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_context_length(LONG_ROW_TOKENS)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_vocab_size(shape.vocabulary)


def _add_tokenizer(writer: gguf.GGUFWriter, vocabulary: Vocabulary) -> None:
    kinds = [
        gguf.TokenType.CONTROL if piece in CONTROLS else gguf.TokenType.NORMAL
        for piece in vocabulary.pieces
    ]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(vocabulary.pieces)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(merge) for merge in vocabulary.merges])
    writer.add_bos_token_id(vocabulary.id_of(BOS))
    writer.add_eos_token_id(vocabulary.id_of(EOS))
    writer.add_eot_token_id(vocabulary.id_of(END))
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def _texts(vocabulary: Vocabulary) -> list[dict[str, object]]:
    rng = random.Random(0)
    texts = [*REFERENCE_TEXTS, *corpus.sample_of_texts(rng, 400)]
    texts += [question.text for question in catalogue.domain_questions()]
    return [{"text": text, "tokens": vocabulary.encode_text(text)} for text in texts]


@torch.no_grad()
def _rows(network: Network, vocabulary: Vocabulary) -> list[dict[str, object]]:
    network.eval()
    return [
        {"tokens": tokens, "log_probs": network(torch.tensor([tokens])).log_softmax(-1)[0].tolist()}
        for tokens in _reference_tokens(vocabulary)
    ]


def _reference_tokens(vocabulary: Vocabulary) -> Iterator[list[int]]:
    rng = random.Random(1)
    for _ in range(12):
        yield vocabulary.encode(corpus.document(rng, 0.1))[:120]
    for question in catalogue.domain_questions()[:6]:
        prompt = [Control(BOS), Control(USER), question.text, Control(END), Control(ASSISTANT)]
        yield vocabulary.encode(prompt)


if __name__ == "__main__":
    main()
