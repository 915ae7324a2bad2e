"""One GGUF model that decodes many sequences in one call.

The owner of the native context: not thread-safe, used by one thread. Anything native that goes
wrong beyond repair is raised as ``DecodeFailed``, after which the process is to be given up.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from llama_cpp import llama_cpp as native

from quorate.engines import worker_log
from quorate.engines.contract import LogProbs, ModelFacts
from quorate.engines.llama_cpp.batch import TokenBatch
from quorate.engines.llama_cpp.facts import gather_facts
from quorate.engines.llama_cpp.first_row import check_first_row
from quorate.engines.llama_cpp.loading import (
    chat_template,
    interleaved_prefill_tokens,
    load_weights,
    max_outputs,
    open_context,
)
from quorate.engines.llama_cpp.log_softmax import LogSoftmax, NonFiniteLogits
from quorate.engines.llama_cpp.native_log import LOG
from quorate.engines.llama_cpp.options import LlamaCppOptions
from quorate.engines.llama_cpp.threads import Threads
from quorate.engines.llama_cpp.tokenizer import Tokenizer
from quorate.engines.prompt_encoding import PromptEncoder
from quorate.engines.reasoning import reasoning_marks
from quorate.engines.row_blocks import RowBlock
from quorate.engines.scheduler.contract import CPU_PREFILL_TOKENS, Chunk, NoRoom
from quorate.engines.shared_rows import fitting_block_rows
from quorate.engines.vocabulary import Vocabulary
from quorate.errors import UnsupportedPlan
from quorate.request import Prompt

_DECODED, _NO_KV_SLOT = 0, 1
# The binding's own prototype returns a pointer object, which costs more to read than an address.
_logits_address = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32)(
    ("llama_get_logits_ith", native._lib)
)


class DecodeFailed(RuntimeError):
    """The native library failed in the middle of a batch; its state cannot be trusted any more."""


def load(
    path: str, options: LlamaCppOptions, threads: int, on_progress: Callable[[float], None]
) -> LlamaCppModel:
    """Loads a GGUF file with options that are valid; see ``EngineRegistration``.

    Raises:
        ModelUnusable: The file is broken, does not fit into memory, or holds no causal decoder; or
            the options do not suit it or this machine.
    """
    weights = load_weights(path, options, on_progress)
    try:
        context = open_context(weights, path, options, threads)
        try:
            check_first_row(weights, context, Path(path).name)
        except BaseException:
            native.llama_free(context)
            raise
    except BaseException:
        native.llama_model_free(weights)
        raise
    model = LlamaCppModel(path, options, weights, context, LOG.end_load())
    for warning in model.facts.warnings:
        worker_log.warn(warning)
    return model


class LlamaCppModel:
    """A loaded model; fulfils ``BatchModel``."""

    def __init__(
        self,
        path: str,
        options: LlamaCppOptions,
        weights: ctypes.c_void_p,
        context: ctypes.c_void_p,
        warnings: Sequence[str] = (),
    ) -> None:
        self._subject = Path(path).name
        self._weights: ctypes.c_void_p | None = weights
        self._context: ctypes.c_void_p | None = context
        self._threads = Threads(context)
        self._memory = native.llama_get_memory(context)
        # Tokens that some layers look back over, the last one included; 0 where all see everything.
        self._window: int = native.llama_model_n_swa(weights)
        self._batch_tokens: int = native.llama_n_batch(context)
        self._batch = TokenBatch(self._batch_tokens)
        tokenizer = Tokenizer(weights)
        self._vocabulary = tokenizer.vocabulary
        # Sorted now, and not within the first decode step that needs it and others wait for.
        self._byte_order = self._vocabulary.byte_order
        self._row_type = ctypes.c_float * len(self._vocabulary)
        self._log_softmax = LogSoftmax(len(self._vocabulary), self._vocabulary.masked)
        facts = gather_facts(weights, context, options, self._subject, tokenizer.adds_space)
        template = chat_template(weights)
        self._prompts = PromptEncoder(tokenizer, template, self._subject, facts.context_length)
        self._facts = replace(
            facts,
            capabilities=replace(facts.capabilities, chat=self._prompts.can_chat),
            warnings=(*facts.warnings, *warnings),
            reasoning=reasoning_marks(template, self._vocabulary),
            template=self._prompts.template_facts,
            block_rows=fitting_block_rows(facts.sessions, len(self._vocabulary)),
        )
        self._max_outputs = max_outputs(options)
        self._interleaved_prefill_tokens = interleaved_prefill_tokens(weights, options)
        self._scored_row: LogProbs = np.empty(len(self._vocabulary), np.float32)

    @property
    def facts(self) -> ModelFacts:
        """Facts of the loaded model."""
        return self._facts

    @property
    def vocabulary(self) -> Vocabulary:
        """The model's tokens, without padding."""
        return self._vocabulary

    @property
    def batch_tokens(self) -> int:
        """Most tokens one decode call takes."""
        return self._batch_tokens

    @property
    def interleaved_prefill_tokens(self) -> int:
        """Prompt tokens that suit one decode call while others decode."""
        return self._interleaved_prefill_tokens

    @property
    def uses_cores(self) -> bool:
        """Whether processors compute it, or a part of it."""
        return self._interleaved_prefill_tokens == CPU_PREFILL_TOKENS

    @property
    def max_outputs(self) -> int:
        """Most rows of log-probs one decode call computes."""
        return self._max_outputs

    @property
    def chunk_rows(self) -> int:
        """As many as one call computes."""
        return self._max_outputs

    def encode(self, prompt: Prompt) -> list[int]:
        """Turns a prompt into tokens; see ``PromptEncoder.encode``."""
        return self._prompts.encode(prompt)

    def encode_continuation(self, text: str) -> list[int]:
        """Turns text into tokens as it would continue a prompt."""
        return self._prompts.encode_continuation(text)

    def decode(self, chunks: Sequence[Chunk]) -> None:
        """Runs one batch and writes to each chunk's ``output``, ``sums``, ``block`` and ``scores``.

        Raises:
            NoRoom: No KV cache is left for these tokens; nothing was changed.
            DecodeFailed: The native library failed, or the model produced NaN.
        """
        last_indices = self._batch.fill(chunks)
        status = native.llama_decode(self._context, self._batch.native)
        if status == _NO_KV_SLOT:
            raise NoRoom
        if status != _DECODED:
            cause = LOG.cause("llama.cpp gives no reason")
            raise DecodeFailed(f"{self._subject}: llama_decode returned {status}: {cause}")
        for chunk, index in zip(chunks, last_indices, strict=True):
            if chunk.output is not None:
                masked_mass = self._write_log_probs(index, chunk.output)
                if chunk.masked_mass is not None:
                    chunk.masked_mass[0] = masked_mass
                if chunk.sums is not None:
                    self._byte_order.prefix_sums(chunk.output, chunk.sums)
            if chunk.block is not None:
                self._write_block(index + 1 - len(chunk.block.rows), chunk.block)
            if chunk.scores is not None:
                self._write_scores(index + 1 - len(chunk.tokens), chunk)

    def copy(self, source: int, target: int, length: int) -> int:
        """Makes ``target``, which is empty, share the first ``length`` tokens of ``source``."""
        native.llama_memory_seq_cp(self._memory, source, target, 0, length)
        return self._whole(target, length)

    def truncate(self, sequence: int, length: int) -> int:
        """Keeps the first ``length`` tokens of a sequence; 0 clears it, which always works.

        Returns:
            How many it holds now, see ``BatchModel.truncate``.

        Raises:
            UnsupportedPlan: The model is recurrent and cannot forget only a part.
        """
        if not native.llama_memory_seq_rm(self._memory, sequence, length, -1):
            raise UnsupportedPlan(self._subject, "a recurrent model cannot forget part of its text")
        return self._whole(sequence, length)

    def set_cores(self, count: int) -> None:
        """Uses this many threads from the next decode call on."""
        self._threads.use(count)

    def close(self) -> None:
        """Frees the context and the weights. Idempotent."""
        if self._context is not None:
            native.llama_free(self._context)
            self._context = None
            self._threads.free()
        if self._weights is not None:
            native.llama_model_free(self._weights)
            self._weights = None

    def _whole(self, sequence: int, length: int) -> int:
        """Clears a sequence that lacks what its next token looks back on; returns its length.

        What is outside its window is overwritten by others, also where there is room (``find_slot``
        of ``llama-kv-cache.cpp``, whatever ``swa_full`` says), and all before that is dropped too.
        A window that moved back, behind fewer tokens, would need it.
        """
        if length and self._window:
            first = native.llama_memory_seq_pos_min(self._memory, sequence)
            if not 0 <= first <= max(0, length - self._window + 1):
                native.llama_memory_seq_rm(self._memory, sequence, 0, -1)
                return 0
        return length

    def _write_block(self, start: int, block: RowBlock) -> None:
        for offset, row in enumerate(block.rows):
            block.masked[offset] = self._write_log_probs(start + offset, row)
            if block.sums is not None:
                self._byte_order.prefix_sums(row, block.sums[offset])

    def _write_scores(self, start: int, chunk: Chunk) -> None:
        for offset, target in enumerate(chunk.targets):
            self._write_log_probs(start + offset, self._scored_row)
            chunk.scores[offset] = self._scored_row[target]  # type: ignore[index]

    def _write_log_probs(self, index: int, output: LogProbs) -> float:
        """Writes a row and returns the probability that was taken from masked tokens."""
        address = _logits_address(self._context, index)
        if address is None:
            raise DecodeFailed(f"{self._subject}: no logits for token {index} of the batch")
        row = self._row_type.from_address(address)
        logits: npt.NDArray[np.float32] = np.frombuffer(row, np.float32)  # type: ignore[call-overload]
        try:
            return self._log_softmax(logits, output)
        except NonFiniteLogits as error:
            raise DecodeFailed(
                f"{self._subject}: the model produced no numbers: {error}"
            ) from error
