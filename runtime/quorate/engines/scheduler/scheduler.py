"""Continuous batching: what the next decode call contains.

Synchronous, with one owner thread. Knows nothing of processes, plans or sampling, and trusts its
caller: token ids are checked at the engine's boundary, not once more on the way of every token.

Short feeds (the next token, or the few of a catch-up or a draft) go into every batch. Longer ones
are prompts, or blocks that are scored: they fill what is left of the batch in order of arrival, in
chunks, and in small chunks while other sessions are decoding, so that a long prompt never stalls
them (Sarathi-Serve, Agrawal et al. 2024); how small, their measured cost says. Blocks do not wait
for the prompts before them, and leave these the half.
Generations, whose tokens nobody is asked for, go on in every call, whatever else is in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

from quorate.engines.byte_order import PrefixSums
from quorate.engines.contract import LogProbs, MaskedMass
from quorate.engines.generation import EngineSampling
from quorate.engines.row_blocks import RowBlock
from quorate.engines.scheduler.contract import BatchModel, Chunk, NoRoom
from quorate.engines.scheduler.drawings import Drawings
from quorate.engines.scheduler.entry import UNBOUND, Completion, Entry
from quorate.engines.scheduler.generations import Generations, SessionOutput
from quorate.engines.scheduler.lockstep import Lockstep
from quorate.engines.scheduler.open_sessions import OpenSessions
from quorate.engines.scheduler.outstanding import Outstanding
from quorate.engines.scheduler.pace import PrefillPace, without_limit
from quorate.engines.scheduler.prefix_cache import PrefixCache
from quorate.engines.scheduler.sequences import SequencePool
from quorate.sampling.peaks import Maxima

_Batch: TypeAlias = list[tuple[Entry, Chunk]]


class Scheduler:
    """Batches the feeds of all sessions of one model.

    Args:
        model: The model, with nothing in its KV cache.
        cache: Where the sequences of closed sessions wait to be reused; a fresh one by default.
        interleaved_prefill_tokens: As ``BatchModel`` has it; None takes what suits the model.
        clock: Monotonic time in seconds.
        prompt_seconds: As ``PrefillPace`` takes it.

    Attributes:
        pool: The KV sequences of the model.
    """

    def __init__(
        self,
        model: BatchModel,
        *,
        cache: PrefixCache | None = None,
        interleaved_prefill_tokens: int | None = None,
        clock: Callable[[], float] = time.perf_counter,
        prompt_seconds: Callable[[], float] = without_limit,
    ) -> None:
        if interleaved_prefill_tokens is None:
            interleaved_prefill_tokens = model.interleaved_prefill_tokens
        if interleaved_prefill_tokens < 1:
            raise ValueError(f"prefill chunks of {interleaved_prefill_tokens} tokens")
        self._model = model
        self._can_rewind = model.facts.capabilities.rewind
        self._can_fork = model.facts.capabilities.fork
        self._batch_tokens = model.batch_tokens
        self._prefill_tokens = min(interleaved_prefill_tokens, model.batch_tokens)
        self.pool = SequencePool(model, PrefixCache() if cache is None else cache)
        self._open = OpenSessions(model.facts.sessions)
        self._feeds = Outstanding()
        self._generations = (
            Generations(model, self.pool)
            if model.facts.capabilities.own_sampler
            else Drawings(model.vocabulary, self._feeds)
        )
        self._sampled: list[SessionOutput] = []
        self._lockstep = Lockstep(clock)
        self._pace = PrefillPace(self._prefill_tokens, prompt_seconds)
        self._steps = 0

    @property
    def has_work(self) -> bool:
        """Whether some session has tokens to decode, or goes on alone."""
        return bool(self._feeds or self._generations or self._generations.pending)

    def open(
        self,
        session: int,
        output: LogProbs,
        sums: PrefixSums | None = None,
        masked_mass: MaskedMass | None = None,
        block: RowBlock | None = None,
        maxima: Maxima | None = None,
    ) -> None:
        """Opens a session; it takes a KV sequence with its first feed only.

        The arrays are the caller's; see ``Entry`` for what goes to them.

        Raises:
            ValueError: The id is in use, or every session is open.
        """
        self._open.check_vacancy(session)
        self._open.add(Entry(session, output, sums, masked_mass, block, maxima))

    def feed(self, session: int, tokens: Sequence[int], rows: int = 0) -> None:
        """Appends tokens to a session at the next decode calls.

        Args:
            session: Whose they are.
            tokens: At least one.
            rows: How many of them, the last ones, are to have a row of the session's block each; 0
                gives the last one the session's output.

        Raises:
            ValueError: No such session, no tokens, more rows than tokens or than its block has, or
                the last feed is still outstanding.
        """
        entry = self._open.at_rest(session)
        entry.take(tokens, rows)
        self._feeds.add(entry)
        self._lockstep.arrived(session)

    def score(self, session: int, tokens: Sequence[int]) -> None:
        """Feeds an empty session and has the log-prob of each token but the first told.

        Raises:
            ValueError: What ``feed`` refuses, or the session is not empty.
        """
        entry = self._open.at_rest(session)
        if entry.tokens or entry.inherited:
            raise ValueError(f"session {session}: only an empty session can be scored")
        self.feed(session, tokens)
        entry.scores, entry.keep = [], False

    def generate(self, session: int, tokens: Sequence[int], options: EngineSampling) -> None:
        """Feeds a session and has it go on alone, in every decode call from now on.

        The model samples where it has a sampler of its own; elsewhere tokens are drawn here. The
        session can only be closed afterwards.

        Raises:
            ValueError: What ``feed`` refuses.
        """
        entry = self._open.at_rest(session)
        if not tokens:
            raise ValueError(f"session {session}: a generation behind no tokens")
        tokens, entry.inherited, entry.generated = [*entry.inherited, *tokens], [], True
        self._generations.start(entry, tokens, options)
        self._lockstep.arrived(session)

    def sampled(self) -> list[SessionOutput]:
        """What generations sampled in the steps since this was last asked."""
        self._sampled += self._generations.draw()
        taken, self._sampled = self._sampled, []
        return taken

    def taken(self, session: int, tokens: int) -> None:
        """Whoever reads a generation took so many tokens of it; it may run as far ahead again.

        Raises:
            ValueError: No such session.
        """
        self._generations.taken(self._open.any(session), tokens)

    def branch(
        self,
        parent: int,
        session: int,
        output: LogProbs,
        sums: PrefixSums | None = None,
        masked_mass: MaskedMass | None = None,
        block: RowBlock | None = None,
        maxima: Maxima | None = None,
    ) -> None:
        """Opens a session, as ``open`` does, with the tokens of its parent.

        A model that cannot share them decodes them again with the session's first feed.

        Raises:
            NoRoom: The model counts shared KV entries twice, and there is no room for that.
            ValueError: No such parent, a feed of it is outstanding, the session's id is in use, or
                every session is open.
        """
        source = self._open.at_rest(parent)
        self._open.check_vacancy(session)
        entry = Entry(session, output, sums, masked_mass, block, maxima)
        if not self._can_fork or source.inherited:
            entry.inherited = [*source.tokens, *source.inherited]
        elif source.tokens:
            entry.sequence, entry.tokens = self.pool.share(source.held, len(source.tokens))
            entry.group = source.group
            entry.group.open_sessions += 1
        self._open.add(entry)
        # Whoever branches goes on with the branch: the next batch need not wait for the parent.
        self._lockstep.arrived(parent)

    def rewind(self, session: int, count: int) -> None:
        """Forgets the last ``count`` tokens of a session.

        Raises:
            ValueError: No such session, a feed of it is outstanding, it holds fewer tokens, or the
                model cannot forget only some of them.
        """
        entry = self._open.at_rest(session)
        held = len(entry.tokens) + len(entry.inherited)
        if not 0 <= count <= held:
            raise ValueError(f"session {session}: cannot forget {count} of {held} tokens")
        if not self._can_rewind and 0 < count < held:
            raise ValueError(f"session {session}: this model cannot rewind")
        if entry.inherited:
            del entry.inherited[held - count :]
        elif count:
            kept = self.pool.shrink(entry.sequence, held, held - count)
            entry.inherited = entry.tokens[kept : held - count]
            del entry.tokens[kept:]

    def close(self, session: int) -> None:
        """Closes a session, also in the middle of a feed; its tokens stay for later prompts.

        While others of its fork group are open its tokens are dropped at once: what they share is
        still held, and many short branches must not drive other prompts out of the cache.

        Raises:
            ValueError: No such session.
        """
        entry = self._open.remove(session)
        self._feeds.remove(session)
        self._lockstep.arrived(session)
        if entry.generated:
            self._generations.end(session)
        entry.group.open_sessions -= 1
        if entry.sequence == UNBOUND:
            return
        if entry.group.open_sessions or not entry.keep:
            self.pool.discard(entry.sequence, len(entry.tokens))
        else:
            self.pool.retire(entry.sequence, entry.tokens)

    def grace_seconds(self) -> float:
        """How long it is worth waiting for stragglers before ``step``; 0.0 is "step now"."""
        return self._lockstep.grace_seconds()

    def step(self) -> list[Completion]:
        """Runs one decode call. What generations made in it is told by ``sampled``.

        Returns:
            Every feed that is now complete, its log-probs written to its session's ``output`` or
            ``block``.

        Raises:
            NoRoom: The sessions in use need more than the KV cache holds; their feeds stay
                outstanding, and closing some of them lets the others go on.
        """
        reading, generations = self._generations.reading, len(self._generations)
        prefilling = self._feeds.any_long or reading
        batch = self._compose()
        if not batch and not self._generations:
            return []
        self._lockstep.begin()
        tokens = self._decode([chunk for _, chunk in batch])
        self._steps += 1
        prompt_tokens = self._prompt_tokens(batch)
        self._sampled += self._generations.collect()
        completed = []
        for entry, chunk in batch:
            if entry.advance(chunk):
                if self._feeds.remove(entry.session):
                    entry.last_decode = self._steps
                if not self._generations.takes(entry):
                    completed.append(entry.complete())
        seconds = self._lockstep.end([one.session for one in completed], prefilling)
        if not reading:
            decoded = tokens - prompt_tokens + generations
            self._pace.took(decoded, prompt_tokens, seconds)
        return completed

    def _compose(self) -> _Batch:
        batch: _Batch = []
        feeds = self._feeds
        # Every generation decodes a token too; feeds are not starved by them.
        left = max(1, self._batch_tokens - len(self._generations))
        # Every feed may want a row of its own; who wants several shares what is left.
        rows = self._model.max_outputs - len(self._generations) - len(feeds)
        # A share of the batch stays with the prompts, so that they are never starved.
        left_for_short = left - min(self._prefill_tokens, left // 2) if feeds.any_long else left
        for entry in feeds.short.values():
            chunk = self._schedule(entry, left_for_short, rows, batch)
            left -= len(chunk.tokens)
            left_for_short -= len(chunk.tokens)
            rows -= chunk.rows - 1
            if left_for_short <= 0:
                break
        if not feeds.any_long:
            return batch
        if self._others_decode():
            decoding = sum([len(chunk.tokens) for _, chunk in batch]) + len(self._generations)
            left = min(left, self._pace.tokens(decoding, self._open.any_late(self._steps)))
        left = min(left, self._pace.most_tokens())
        left_for_prompts = left - left // 2 if feeds.prompts else 0
        for entry in feeds.long():
            most = left if entry.session in feeds.prompts else left - left_for_prompts
            if most <= 0:
                continue
            chunk = self._schedule(entry, most, rows, batch)
            left -= len(chunk.tokens)
            rows -= chunk.rows - 1
        return batch

    def _schedule(self, entry: Entry, most: int, rows: int, batch: _Batch) -> Chunk:
        """Adds at most so many tokens of a feed, and beside its own row at most so many more."""
        # A prompt looks for its prefix as late as here: the sessions before it may have decoded it.
        if entry.sequence == UNBOUND:
            entry.bind(self.pool.claim(entry.cacheable, self._open.held()))
        if entry.wants_several_rows:
            most_rows = 1 + max(0, rows)
            if entry.rows:
                most_rows = min(most_rows, self._model.chunk_rows)
            most = min(most, entry.most_tokens(most_rows))
        chunk = entry.next_chunk(most)
        batch.append((entry, chunk))
        return chunk

    def _prompt_tokens(self, batch: _Batch) -> int:
        feeds = self._feeds
        if not feeds.any_long:
            return 0
        long = [chunk for entry, chunk in batch if entry.session not in feeds.short]
        return sum([len(chunk.tokens) for chunk in long])

    def _decode(self, chunks: list[Chunk]) -> int:
        count = sum([len(chunk.tokens) for chunk in chunks])
        self.pool.make_room(count)
        try:
            self._model.decode(chunks)
        except NoRoom:
            self.pool.evict_all()
            self._model.decode(chunks)
        self.pool.grow(count)
        return count

    def _others_decode(self) -> bool:
        if self._feeds.short or self._generations:
            return True
        return self._open.any_decoding(self._steps)
