"""A batched model without weights that checks its caller like a debug build."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from quorate.engines.contract import Capabilities, ModelFacts
from quorate.engines.generation import EngineSampling
from quorate.engines.row_blocks import RowBlock
from quorate.engines.scheduler.contract import CPU_PREFILL_TOKENS, Chunk, NoRoom, SequenceOutput
from quorate.engines.scripted.distribution import Distribution
from quorate.engines.scripted.faults import SimulatedFaults
from quorate.engines.scripted.generations import Generations
from quorate.engines.scripted.options import ScriptedOptions
from quorate.engines.scripted.tokenizer import IM_END, IM_START, Tokenizer, build_vocabulary
from quorate.engines.shared_rows import fitting_block_rows
from quorate.engines.template_facts import TemplateFacts
from quorate.engines.vocabulary import Vocabulary
from quorate.errors import ModelUnusable, UnsupportedPlan
from quorate.request import ChatPrompt, Prompt, TextPrompt

if TYPE_CHECKING:
    from quorate.engines.prompt_encoding import PromptEncoder

_SCORED_TOKENS = 8


def load(
    path: str, options: ScriptedOptions, threads: int, on_progress: Callable[[float], None]
) -> ScriptedModel:
    """Makes the model the options describe; there are no weights, and nothing is computed.

    Raises:
        ModelUnusable: ``fail_load`` says so.
    """
    on_progress(0.0)
    if options.fail_load:
        raise ModelUnusable("scripted model", options.fail_load)
    model = ScriptedModel(options)
    on_progress(1.0)
    return model


class ScriptedModel:
    """A ``BatchModel`` whose KV cache is the list of tokens of each sequence.

    Every breach of the ``BatchModel`` contract by its caller is a ``ValueError`` that says what was
    wrong, and leaves the model as it was. KV tokens are counted per sequence: none are shared.
    """

    def __init__(self, options: ScriptedOptions) -> None:
        self._options = options
        self._vocabulary = build_vocabulary(options.vocabulary, options.pieces)
        self._tokenizer = Tokenizer(self._vocabulary)
        self._prompts = self._prompt_encoder() if options.template else None
        # Sorted now, and not within the first decode step that needs it and others wait for.
        self._byte_order = self._vocabulary.byte_order
        self._distribution = Distribution(options, self._vocabulary, self._tokenizer)
        self._generations = Generations(
            self._distribution.write, len(self._vocabulary), self._vocabulary.end_of_generation
        )
        self._faults = SimulatedFaults(options)
        self._sequences: list[list[int]] = [[] for _ in range(options.sessions)]
        self._closed = False

    @property
    def facts(self) -> ModelFacts:
        """Facts as the options state them."""
        options = self._options
        return ModelFacts(
            description=f"scripted {options.vocabulary}, seed {options.seed}",
            context_length=options.context_length,
            sessions=options.sessions,
            kv_tokens=options.cells or options.context_length * options.sessions,
            capabilities=Capabilities(
                self._can_chat,
                options.fork,
                options.rewind,
                options.generate or options.own_sampler,
                options.own_sampler,
            ),
            reasoning=((IM_START, IM_END),) if options.thinks else (),
            template=self._prompts.template_facts if self._prompts else TemplateFacts(),
            block_rows=fitting_block_rows(options.sessions, len(self._vocabulary)),
        )

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary the options name."""
        return self._vocabulary

    @property
    def batch_tokens(self) -> int:
        """Most tokens one decode call takes."""
        return self._options.batch_tokens

    @property
    def interleaved_prefill_tokens(self) -> int:
        """That of CPUs."""
        return CPU_PREFILL_TOKENS

    @property
    def uses_cores(self) -> bool:
        """Whether the options say that its steps do."""
        return self._options.uses_cores

    @property
    def max_outputs(self) -> int:
        """Enough for every session."""
        return max(self._options.sessions, _SCORED_TOKENS)

    @property
    def chunk_rows(self) -> int:
        """As many as one call computes."""
        return self.max_outputs

    def encode(self, prompt: Prompt) -> list[int]:
        """See ``Engine.encode``."""
        if isinstance(prompt, TextPrompt) and prompt.parse_special:
            return (self._prompts or self._prompt_encoder()).encode(prompt)
        if isinstance(prompt, ChatPrompt) and not self._options.chat:
            raise UnsupportedPlan("scripted model", "it has no chat template")
        if self._prompts is not None:
            return self._prompts.encode(prompt)
        return self._tokenizer.encode(prompt)

    def encode_continuation(self, text: str) -> list[int]:
        """See ``Engine.encode_continuation``."""
        return self._tokenizer.encode_text(text)

    def decode(self, chunks: Sequence[Chunk]) -> None:
        """See ``BatchModel.decode``; this is where the simulated failures happen."""
        self._check_batch(chunks)
        self._faults.step()
        for chunk in chunks:
            tokens = self._sequences[chunk.sequence]
            self._score(tokens, chunk)
            tokens.extend(chunk.tokens)
            if chunk.output is not None:
                self._distribution.write(tokens, chunk.output)
                if chunk.masked_mass is not None:
                    chunk.masked_mass[0] = self._options.masked
                if chunk.sums is not None:
                    self._byte_order.prefix_sums(chunk.output, chunk.sums)
            if chunk.block is not None:
                self._write_block(tokens, chunk.block)
        self._generations.step(self._sequences)

    def generate(
        self, sequence: int, position: int, tokens: Sequence[int], options: EngineSampling
    ) -> None:
        """See ``BatchModel.generate``."""
        if not self._options.own_sampler:
            raise ValueError("this model has no sampler of its own")
        self._check_tokens(sequence, position, tokens, options.max_tokens)
        if options.max_tokens < 1:
            raise ValueError(f"a generation of {options.max_tokens} tokens")
        self._generations.start(sequence, tokens, options)

    def sampled(self) -> list[SequenceOutput]:
        """See ``GeneratingModel.sampled``."""
        self._check_open()
        return self._generations.take()

    @property
    def _can_chat(self) -> bool:
        return self._options.chat and (self._prompts is None or self._prompts.can_chat)

    def _prompt_encoder(self) -> PromptEncoder:
        # Most scripted models do without, and without the template engine that comes with it.
        from quorate.engines.scripted.templates import prompt_encoder

        return prompt_encoder(self._options, self._tokenizer, self._vocabulary)

    def _write_block(self, held: list[int], block: RowBlock) -> None:
        end = len(held) + 1 - len(block.rows)
        for index, row in enumerate(block.rows):
            self._distribution.write(held[: end + index], row)
            if block.sums is not None:
                self._byte_order.prefix_sums(row, block.sums[index])
        block.masked[:] = self._options.masked

    def _score(self, held: list[int], chunk: Chunk) -> None:
        if chunk.scores is None:
            return
        row = np.empty(len(self._vocabulary), np.float32)
        for index, target in enumerate(chunk.targets):
            self._distribution.write([*held, *chunk.tokens[: index + 1]], row)
            chunk.scores[index] = row[target]

    def copy(self, source: int, target: int, length: int) -> int:
        """See ``BatchModel.copy``.

        Raises:
            NoRoom: The copy needs more KV tokens than are free; nothing was changed.
        """
        if not self._options.fork:
            raise ValueError("this model cannot fork")
        held, copied = self._free_sequence(source), self._free_sequence(target)
        if copied:
            raise ValueError(f"sequence {target} is not empty")
        if not 0 < length <= len(held):
            raise ValueError(f"cannot copy {length} of {len(held)} tokens")
        if length < len(held) and not self._options.rewind:
            raise ValueError("this model can copy whole sequences only")
        self._check_room(length)
        copied.extend(held[:length])
        return length

    def truncate(self, sequence: int, length: int) -> int:
        """See ``BatchModel.truncate``."""
        if not length:
            self._generations.end(sequence)
        held = self._free_sequence(sequence)
        if not 0 <= length <= len(held):
            raise ValueError(f"cannot keep {length} of {len(held)} tokens")
        if 0 < length < len(held) and not self._options.rewind:
            raise ValueError("this model cannot rewind")
        del held[length:]
        return length

    def tokens(self, sequence: int) -> tuple[int, ...]:
        """What a sequence holds."""
        return tuple(self._sequence(sequence))

    def set_cores(self, count: int) -> None:
        """Nothing to do: it computes nothing."""

    def close(self) -> None:
        """Forgets every sequence."""
        self._closed = True
        self._sequences = []

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("the model is closed")

    def _sequence(self, number: int) -> list[int]:
        self._check_open()
        if not 0 <= number < len(self._sequences):
            raise ValueError(f"no sequence {number}; there are {len(self._sequences)}")
        return self._sequences[number]

    def _free_sequence(self, number: int) -> list[int]:
        held = self._sequence(number)
        if number in self._generations:
            raise ValueError(f"sequence {number} generates")
        return held

    def _check_batch(self, chunks: Sequence[Chunk]) -> None:
        self._check_open()
        if not chunks and not self._generations.unread:
            raise ValueError("an empty batch")
        for chunk in chunks:
            self._check_chunk(chunk)
        if len({chunk.sequence for chunk in chunks}) < len(chunks):
            raise ValueError("two chunks of one sequence in one batch")
        wanted = sum(chunk.rows for chunk in chunks)
        if wanted > self.max_outputs:
            raise ValueError(f"{wanted} outputs where {self.max_outputs} are the most")
        count = sum(len(chunk.tokens) for chunk in chunks)
        if count > self.batch_tokens:
            raise ValueError(f"{count} tokens in a batch of {self.batch_tokens}")
        self._check_room(count + self._generations.unread)

    def _check_chunk(self, chunk: Chunk) -> None:
        self._check_tokens(chunk.sequence, chunk.position, chunk.tokens)
        output = chunk.output
        if output is not None and (
            output.dtype != np.float32 or output.shape != (len(self._vocabulary),)
        ):
            raise ValueError(f"an output of {output.dtype} {output.shape}")
        if chunk.block is not None:
            self._check_block(chunk.block, len(chunk.tokens))
            if output is not None:
                raise ValueError("an output beside a block")
        if chunk.sums is not None and output is None:
            raise ValueError("prefix sums without an output")
        if len(chunk.targets) > len(chunk.tokens):
            raise ValueError(f"{len(chunk.targets)} targets for {len(chunk.tokens)} tokens")

    def _check_block(self, block: RowBlock, tokens: int) -> None:
        rows, size = block.rows, len(self._vocabulary)
        if not 0 < len(rows) <= tokens:
            raise ValueError(f"{len(rows)} rows for {tokens} tokens")
        if rows.dtype != np.float32 or rows.shape[1:] != (size,):
            raise ValueError(f"a block of {rows.dtype} {rows.shape}")

    def _check_tokens(
        self, sequence: int, position: int, tokens: Sequence[int], more: int = 0
    ) -> None:
        held = self._free_sequence(sequence)
        if position != len(held):
            raise ValueError(
                f"sequence {sequence} holds {len(held)} tokens, the chunk starts at {position}"
            )
        if not tokens:
            raise ValueError(f"an empty chunk for sequence {sequence}")
        if min(tokens) < 0 or max(tokens) >= len(self._vocabulary):
            raise ValueError(f"a token outside the vocabulary of {len(self._vocabulary)}")
        if len(held) + len(tokens) + more > self._options.context_length:
            raise ValueError(f"more than {self._options.context_length} tokens in a sequence")

    def _check_room(self, count: int) -> None:
        if sum(map(len, self._sequences)) + count > self.facts.kv_tokens:
            raise NoRoom(f"no cells for {count} more tokens")
