"""Holds the exported specialist against PyTorch and against the catalogue, through llama.cpp.

Runs in the project's own environment, without PyTorch. Fails where llama.cpp tokenises a text
otherwise than the training did, where its log-probs differ by more than float16 explains, where the
file is too large to commit, or where too few held-out questions are answered.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import catalogue
import llama_cpp
import numpy as np
import numpy.typing as npt
from grading import is_correct

MAX_BYTES = 2_000_000
MAX_DIFFERENCE = 0.05
MIN_ACCURACY = 0.95
_CONTEXT = 512


def main() -> None:
    """Checks and reports; the exit code says whether all holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--reference", type=Path, required=True, help="what export.py wrote")
    arguments = parser.parse_args()
    reference = json.loads(arguments.reference.read_text(encoding="utf-8"))
    model = Model(arguments.model)
    size = arguments.model.stat().st_size
    other = [
        one["text"] for one in reference["texts"] if model.tokenize(one["text"]) != one["tokens"]
    ]
    difference = max(
        float(np.abs(model.log_probs(row["tokens"]) - np.array(row["log_probs"])).max())
        for row in reference["rows"]
    )
    questions = catalogue.domain_questions()
    right = sum(is_correct(model.answer(question.text), question.gold) for question in questions)
    print(f"size: {size:,} bytes, at most {MAX_BYTES:,}")
    print(f"tokenised otherwise: {len(other)} of {len(reference['texts'])} texts {other[:5]}")
    print(f"greatest difference of a log-prob: {difference:.4f}, at most {MAX_DIFFERENCE}")
    print(f"held-out phrasings: {right} of {len(questions)} right, at least {MIN_ACCURACY:.0%}")
    holds = (
        size <= MAX_BYTES
        and not other
        and difference <= MAX_DIFFERENCE
        and right >= MIN_ACCURACY * len(questions)
    )
    sys.exit(0 if holds else 1)


class Model:
    """A GGUF file in llama.cpp, on one thread."""

    def __init__(self, path: Path) -> None:
        self._silence = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(self._silence, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        loading = llama_cpp.llama_model_default_params()
        loading.use_extra_bufts = False
        self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), loading)
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = _CONTEXT
        params.n_threads = params.n_threads_batch = 1
        self._context = llama_cpp.llama_init_from_model(self._model, params)
        self._vocab = llama_cpp.llama_model_get_vocab(self._model)
        self._size = llama_cpp.llama_vocab_n_tokens(self._vocab)
        self._batch = llama_cpp.llama_batch_init(_CONTEXT, 0, 1)

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        """Token ids, without BOS; control tokens are recognised only where asked for."""
        data = text.encode()
        ids = (llama_cpp.llama_token * (len(data) + 8))()
        count = llama_cpp.llama_tokenize(
            self._vocab, data, len(data), ids, len(ids), False, special
        )
        return list(ids[:count])

    def log_probs(self, tokens: Sequence[int]) -> npt.NDArray[np.float64]:
        """float64[tokens, vocabulary] of a fresh sequence."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), True)
        return self._feed(tokens, 0)

    def answer(self, question: str) -> str:
        """The greedy answer to a chat of one message."""
        tokens = [
            *self.tokenize("<s><|user|>", special=True),
            *self.tokenize(question),
            *self.tokenize("<|end|><|assistant|>", special=True),
        ]
        row = self.log_probs(tokens)[-1]
        answer = b""
        for position in range(len(tokens), len(tokens) + 40):
            token = int(row.argmax())
            if llama_cpp.llama_vocab_is_eog(self._vocab, token):
                break
            answer += self._piece(token)
            row = self._feed([token], position)[-1]
        return answer.decode("utf-8", errors="replace")

    def _feed(self, tokens: Sequence[int], position: int) -> npt.NDArray[np.float64]:
        batch = self._batch
        batch.n_tokens = len(tokens)
        for index, token in enumerate(tokens):
            batch.token[index] = token
            batch.pos[index] = position + index
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = 0
            batch.logits[index] = True
        if llama_cpp.llama_decode(self._context, batch) != 0:
            raise RuntimeError("llama_decode failed")
        rows = np.stack([self._logits(index) for index in range(len(tokens))]).astype(np.float64)
        return rows - np.logaddexp.reduce(rows, axis=1, keepdims=True)

    def _logits(self, index: int) -> npt.NDArray[np.float32]:
        pointer = llama_cpp.llama_get_logits_ith(self._context, index)
        return np.ctypeslib.as_array(pointer, (self._size,)).copy()

    def _piece(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(256)
        count = llama_cpp.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, False)
        return buffer.raw[:count]


if __name__ == "__main__":
    main()
