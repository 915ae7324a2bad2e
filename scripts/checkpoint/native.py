"""llama.cpp's side of a verification: token ids and log-probs of a GGUF file."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from checkpoint.errors import Refused

_CONTEXT = 512


class NativeModel:
    """A GGUF file in llama.cpp, on one thread.

    Args:
        path: The file.
        vocabulary_only: Whether to leave the weights out; then it only splits texts.

    Raises:
        Refused: llama.cpp is not installed, or does not load the file.
    """

    def __init__(self, path: Path, *, vocabulary_only: bool = False) -> None:
        try:
            # Imported here: the other side runs where llama.cpp may be missing.
            import llama_cpp
        except ImportError as error:
            raise Refused(
                "llama.cpp is not installed for this interpreter: pip install llama-cpp-python, "
                "or bring its side along with --reference"
            ) from error
        self._native = native = llama_cpp
        self._silence = native.llama_log_callback(lambda level, text, data: None)
        native.llama_log_set(self._silence, ctypes.c_void_p(0))
        native.llama_backend_init()
        loading = native.llama_model_default_params()
        # Repacked weights crash on some processors.
        loading.use_extra_bufts = False
        loading.vocab_only = vocabulary_only
        self._model = native.llama_model_load_from_file(str(path).encode(), loading)
        if not self._model:
            raise Refused(f"llama.cpp cannot load {path}")
        self._vocabulary = native.llama_model_get_vocab(self._model)

    def close(self) -> None:
        """Frees the model."""
        self._native.llama_model_free(self._model)

    def encode(self, text: str, *, special: bool = False, framed: bool = True) -> list[int]:
        """Token ids of a text.

        Args:
            text: The text.
            special: Whether control tokens are recognised in it.
            framed: Whether BOS and EOS are put around it where the model wants them.
        """
        data = text.encode()
        ids = (self._native.llama_token * (len(data) + 8))()
        count = self._native.llama_tokenize(
            self._vocabulary, data, len(data), ids, len(ids), framed, special
        )
        return list(ids[:count])

    def ends(self) -> set[int]:
        """Ids at which llama.cpp ends generation."""
        count = self._native.llama_vocab_n_tokens(self._vocabulary)
        is_end = self._native.llama_vocab_is_eog
        return {token for token in range(count) if is_end(self._vocabulary, token)}

    def log_probs(self, sequences: Sequence[Sequence[int]]) -> list[npt.NDArray[np.float32]]:
        """float32[tokens, vocabulary] of each sequence, from an empty context."""
        native = self._native
        params = native.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = _CONTEXT
        params.n_threads = params.n_threads_batch = 1
        context = native.llama_init_from_model(self._model, params)
        batch = native.llama_batch_init(_CONTEXT, 0, 1)
        try:
            return [self._rows(context, batch, tokens) for tokens in sequences]
        finally:
            native.llama_batch_free(batch)
            native.llama_free(context)

    def _rows(
        self, context: ctypes.c_void_p, batch: Any, tokens: Sequence[int]
    ) -> npt.NDArray[np.float32]:
        native = self._native
        native.llama_memory_clear(native.llama_get_memory(context), True)
        _fill(batch, tokens)
        if native.llama_decode(context, batch) != 0:
            raise Refused("llama.cpp failed to decode a text")
        size = native.llama_vocab_n_tokens(self._vocabulary)
        rows = np.stack(
            [
                np.ctypeslib.as_array(native.llama_get_logits_ith(context, index), (size,))
                for index in range(len(tokens))
            ]
        ).astype(np.float64)
        rows -= np.logaddexp.reduce(rows, axis=1, keepdims=True)
        return rows.astype(np.float32)


def _fill(batch: Any, tokens: Sequence[int]) -> None:
    batch.n_tokens = len(tokens)
    for index, token in enumerate(tokens):
        batch.token[index] = token
        batch.pos[index] = index
        batch.n_seq_id[index] = 1
        batch.seq_id[index][0] = 0
        batch.logits[index] = True
