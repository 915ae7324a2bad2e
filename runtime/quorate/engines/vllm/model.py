"""A checkpoint in vLLM that decodes many sequences in one step; fulfils ``BatchModel``.

A sequence is a request of vLLM that can be fed again. vLLM cannot divide a request in two, and one
can be cut short within its last block of KV entries alone: a sequence that was copied, or lost
more, is a new request, made with its next tokens, which finds all but the last block of what it
shares in vLLM's prefix cache.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from quorate.engines.contract import Capabilities, ModelFacts
from quorate.engines.generation import EngineSampling, SampledToken
from quorate.engines.prompt_encoding import PromptEncoder
from quorate.engines.reasoning import reasoning_marks
from quorate.engines.row_blocks import RowBlock
from quorate.engines.scheduler.contract import (
    CPU_PREFILL_TOKENS,
    GPU_PREFILL_TOKENS,
    Chunk,
    SequenceOutput,
)
from quorate.engines.shared_rows import fitting_block_rows
from quorate.engines.vllm.block_capture import WantedRows
from quorate.engines.vllm.core import StepFailed
from quorate.engines.vllm.loading import SCORED_TOKENS, Loaded
from quorate.engines.vllm.requests import (
    row_params,
    sampling_params,
    scoring_params,
    uncached_row_params,
)
from quorate.engines.vocabulary import Vocabulary
from quorate.request import Prompt

if TYPE_CHECKING:
    from vllm.v1.engine import EngineCoreOutput


@dataclass(slots=True, eq=False)
class _Sequence:
    """One sequence.

    Attributes:
        request: vLLM's request that holds just that, or "" where it has yet to be made.
    """

    tokens: list[int] = field(default_factory=list)
    request: str = ""


class VllmModel:
    """A loaded model."""

    def __init__(self, subject: str, sessions: int, loaded: Loaded) -> None:
        self._subject = subject
        self._loaded = loaded
        self._core = loaded.core
        self._sequences = [_Sequence() for _ in range(sessions)]
        self._requests_made = 0
        # Sequences by the requests that sample for them.
        self._generating: dict[str, int] = {}
        # Requests whose next output says no more than that the beginning of a feed is computed.
        self._leading: set[str] = set()
        self._advances: list[SequenceOutput] = []
        template = loaded.tokenizer.chat_template
        self._encoder = PromptEncoder(
            loaded.tokenizer, template, subject, loaded.plan.context_length
        )
        self._facts = ModelFacts(
            description=loaded.description,
            context_length=loaded.plan.context_length,
            sessions=sessions,
            kv_tokens=loaded.kv_tokens,
            capabilities=Capabilities(
                chat=self._encoder.can_chat,
                fork=True,
                rewind=True,
                generate=True,
                own_sampler=True,
            ),
            memory_bytes=loaded.memory_bytes,
            space_prefix=loaded.tokenizer.adds_space,
            reasoning=reasoning_marks(template, loaded.tokenizer.vocabulary),
            template=self._encoder.template_facts,
            block_rows=fitting_block_rows(sessions, len(loaded.tokenizer.vocabulary)),
        )

    @property
    def facts(self) -> ModelFacts:
        """Facts of the loaded model."""
        return self._facts

    @property
    def vocabulary(self) -> Vocabulary:
        """The model's tokens, without padding."""
        return self._loaded.tokenizer.vocabulary

    @property
    def batch_tokens(self) -> int:
        """Most tokens one decode call takes."""
        return self._loaded.plan.batch_tokens

    @property
    def interleaved_prefill_tokens(self) -> int:
        """Prompt tokens that suit one decode call while others decode."""
        return CPU_PREFILL_TOKENS if self._loaded.plan.on_cpu else GPU_PREFILL_TOKENS

    @property
    def uses_cores(self) -> bool:
        """Whether processors compute it."""
        return self._loaded.plan.on_cpu

    @property
    def max_outputs(self) -> int:
        """Most rows of log-probs one decode call computes."""
        return max(self._facts.sessions, SCORED_TOKENS)

    @property
    def chunk_rows(self) -> int:
        """All of a block, but one where vLLM gives no row but that of a step's last token."""
        return self._facts.block_rows if self._loaded.blocks else 1

    def encode(self, prompt: Prompt) -> list[int]:
        """See ``Engine.encode``."""
        return self._encoder.encode(prompt)

    def encode_continuation(self, text: str) -> list[int]:
        """See ``Engine.encode_continuation``."""
        return self._encoder.encode_continuation(text)

    def decode(self, chunks: Sequence[Chunk]) -> None:
        """See ``BatchModel``.

        Raises:
            StepFailed: vLLM did not run what it was given, or the model produced NaN.
        """
        waiting = {self._feed(chunk): chunk for chunk in chunks}
        slots = self._want_blocks(waiting)
        while True:
            for output in self._core.step():
                if output.request_id in self._leading:
                    self._leading.remove(output.request_id)
                    continue
                chunk = waiting.pop(output.request_id, None)
                if chunk is not None:
                    self._deliver(chunk, output, slots.get(output.request_id, ()))
                elif output.request_id in self._generating:
                    self._advance(output)
            if not waiting:
                return

    def generate(
        self, sequence: int, position: int, tokens: Sequence[int], options: EngineSampling
    ) -> None:
        """See ``BatchModel``.

        A request of its own: one that was fed before would sample with the seed it began with.
        """
        held = self._sequences[sequence]
        self._end(held)
        held.tokens.extend(tokens)
        held.request = self._new_request()
        self._generating[held.request] = sequence
        params = sampling_params(options, self.vocabulary.end_of_generation)
        self._core.add(held.request, held.tokens, params)

    def sampled(self) -> Sequence[SequenceOutput]:
        """See ``BatchModel``."""
        advances, self._advances = self._advances, []
        return advances

    def copy(self, source: int, target: int, length: int) -> int:
        """See ``BatchModel``; the request is made with the next tokens."""
        self._sequences[target].tokens = self._sequences[source].tokens[:length]
        return length

    def truncate(self, sequence: int, length: int) -> int:
        """See ``BatchModel``; where it cannot stay, the request is made with the next tokens."""
        held = self._sequences[sequence]
        if not (held.request and self._core.rewind(held.request, length)):
            self._end(held)
        del held.tokens[length:]
        return length

    def set_cores(self, count: int) -> None:
        """Uses this many threads from the next step on; only CPUs have them."""
        if self._loaded.plan.on_cpu:
            import torch

            # vLLM replaces the public function by one that does nothing.
            torch._C.set_num_threads(count)

    def close(self) -> None:
        """Ends the core and frees the memory."""
        self._core.close()

    def _feed(self, chunk: Chunk) -> str:
        held = self._sequences[chunk.sequence]
        sums = chunk.sums if chunk.block is None else chunk.block.sums
        params = row_params(chunk.sequence, sums is not None)
        if held.request:
            tokens: Sequence[int] = chunk.tokens
        else:
            tokens = [*held.tokens, *chunk.tokens]
            held.request = self._new_request()
            first = len(tokens) - chunk.rows
            if chunk.block is not None and self._core.longest_hit(len(tokens)) > first:
                # The prefix cache may have tokens whose rows are wanted: they are fed apart.
                if first:
                    self._core.feed(held.request, tokens[:first], params)
                    self._leading.add(held.request)
                    tokens = tokens[first:]
                else:
                    params = uncached_row_params(chunk.sequence, sums is not None)
        held.tokens.extend(chunk.tokens)
        if chunk.scores is not None:
            params = scoring_params(chunk.sequence)
            if chunk.position:
                self._core.call("quorate_score", held.request)
        self._core.feed(held.request, tokens, params)
        return held.request

    def _want_blocks(self, chunks: Mapping[str, Chunk]) -> dict[str, range]:
        """Has the rows of blocks captured, but for the last of each, which is captured anyway.

        Returns:
            Where these rows will be, by request.
        """
        wanted, slots = [], {}
        free = self._facts.sessions
        for request, chunk in chunks.items():
            rows = 0 if chunk.block is None else len(chunk.block.rows)
            if chunk.block is None or rows < 2:
                continue
            slots[request] = range(free, free + rows - 1)
            free += rows - 1
            position = chunk.position + len(chunk.tokens) - rows
            sums = chunk.block.sums is not None
            wanted.append(WantedRows(request, position, list(slots[request]), sums))
        if wanted:
            self._core.call("quorate_want", wanted)
        return slots

    def _deliver(self, chunk: Chunk, output: EngineCoreOutput, slots: Sequence[int]) -> None:
        if chunk.output is not None:
            self._loaded.rows.read(chunk.sequence, chunk.output, chunk.sums, chunk.masked_mass)
            if math.isnan(chunk.output[0]):
                raise StepFailed(f"{self._subject}: the model produced no numbers")
        if chunk.block is not None:
            self._deliver_block([*slots, chunk.sequence], chunk.block)
        if chunk.scores is not None:
            self._write_scores(chunk, output)

    def _deliver_block(self, slots: Sequence[int], block: RowBlock) -> None:
        for index, slot in enumerate(slots):
            sums = None if block.sums is None else block.sums[index]
            self._loaded.rows.read(slot, block.rows[index], sums, block.masked[index : index + 1])
        if np.isnan(block.rows[:, 0]).any():
            raise StepFailed(f"{self._subject}: the model produced no numbers")

    def _write_scores(self, chunk: Chunk, output: EngineCoreOutput) -> None:
        """The prompt's own log-probs, and from its last row that of the token which comes next."""
        assert chunk.scores is not None
        inside = len(chunk.tokens) - 1
        if inside:
            scored = output.new_prompt_logprobs_tensors
            chunk.scores[:inside] = scored.logprobs[-inside:, 0].numpy()
        if len(chunk.targets) > inside:
            row = self._loaded.rows.row(chunk.sequence)
            chunk.scores[inside] = row[chunk.targets[inside]]

    def _advance(self, output: EngineCoreOutput) -> None:
        finished = output.finish_reason is not None
        stats = output.prefill_stats
        self._advances.append(
            SequenceOutput(
                self._generating[output.request_id],
                _sampled(output.new_token_ids, output.new_logprobs),
                finished,
                stats.num_cached_tokens if stats is not None else 0,
            )
        )
        if finished:
            del self._generating[output.request_id]

    def _new_request(self) -> str:
        self._requests_made += 1
        return str(self._requests_made)

    def _end(self, held: _Sequence) -> None:
        if not held.request:
            return
        self._core.abort(held.request)
        self._generating.pop(held.request, None)
        held.request = ""


def _sampled(tokens: Sequence[int], logprobs: Any) -> list[SampledToken]:
    """Tokens with their log-probs: the first column is the token's own, the others the best."""
    sampled = []
    for token, ids, values in zip(
        tokens, logprobs.logprob_token_ids, logprobs.logprobs, strict=True
    ):
        top = [
            (int(one), float(value))
            for one, value in zip(ids[1:], values[1:], strict=True)
            if value > -math.inf
        ]
        sampled.append(SampledToken(token, float(values[0]), top))
    return sampled
