"""One member's beam: the distribution of the next byte, whatever the member's tokens are."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from typing import Any

import numpy as np

from quorate.engines.contract import Engine, LogProbs, Session
from quorate.ensemble.alignments.bytes import hypotheses
from quorate.ensemble.alignments.bytes.beam import BeamState, Opening, Pruning
from quorate.ensemble.alignments.bytes.contexts import Context, ContextTree
from quorate.ensemble.alignments.bytes.foresight import Foresight, Way
from quorate.ensemble.alignments.bytes.hypotheses import SYMBOLS, Extension, Kept
from quorate.ensemble.alignments.bytes.sketches import Growth, Sketch, common_start, regrow
from quorate.ensemble.guesses import Ready
from quorate.ensemble.predictor import TopPiece
from quorate.request.plans import HEALING_KV_TOKENS

# Once what was pruned weighs more than what is left, following the text anew is cheaper than being
# wrong about it.
_MAX_LOST = 0.5

_Hypothesis = hypotheses.Hypothesis[Context]


class BytePredictor:
    """``Predictor`` over the 256 bytes and the end.

    After ``close`` it can be opened and started again, and is then where it was: with all its
    hypotheses, from their tokens.

    Args:
        reserved: Tokens its sessions may hold, the prompt included.

    Attributes:
        opening: Its prompt.
    """

    def __init__(self, engine: Engine, opening: Opening, pruning: Pruning, reserved: int) -> None:
        self._engine = engine
        self._order = engine.vocabulary.byte_order
        self._control = engine.vocabulary.sayable_control
        self.opening = opening
        self._pruning = pruning
        self._reserved = reserved
        self._session: Session | None = None
        self._foresight = Foresight(engine.vocabulary, engine.facts)
        self._tree = self._new_tree()
        self._beam: list[_Hypothesis] = []
        self._growing: list[tuple[Context, float]] = []
        self._sketches: list[Sketch] = []
        self._lost = 0.0
        self._probs: hypotheses.ByteProbs = np.empty(SYMBOLS)
        self._row: LogProbs = np.empty(SYMBOLS, np.float32)
        self._dropped = 0.0
        self._masked_mass = 0.0
        self._cached: int | None = None
        self._busy_seconds = 0.0
        self._fed_before = 0
        self._looked_ahead = 0
        self._wasted = 0
        # Tokens that the bytes given with the prompt were cut into.
        self._given = 0
        # Bytes that left no trace.
        self._traceless = 0
        self._begun = False
        self._used_up = False
        self._healed = 0
        # A byte that is being healed, so that it is not forgotten when the worker dies meanwhile.
        self._unhealed: int | None = None

    @property
    def fed(self) -> int:
        """Tokens it was given, the prompt included; what is fed again does not count."""
        return self._fed_before + (self._tree.fed if self._begun else 0)

    @property
    def forwards(self) -> int:
        """See ``Predictor``."""
        return max(0, self.fed - len(self.opening.prompt))

    @property
    def looked_ahead(self) -> int:
        """See ``Predictor``."""
        return self._looked_ahead + self._tree.looked_ahead

    @property
    def wasted(self) -> int:
        """See ``Predictor``."""
        return self._wasted + self._tree.wasted

    @property
    def reach(self) -> int:
        """See ``Predictor``; in bytes."""
        return self._foresight.reach

    @property
    def length(self) -> int:
        """See ``Predictor``; of the hypothesis that weighs most, and bytes it could not take in."""
        tokens = self._best.context.length - self._given if self._beam else 0
        if self._used_up:
            tokens = max(tokens, self._pruning.max_tokens or 0)
        return max(0, tokens) + self._traceless

    @property
    def busy_seconds(self) -> float:
        """See ``Predictor``."""
        return self._busy_seconds

    @property
    def cached_tokens(self) -> int:
        """See ``Predictor``."""
        return self._cached or 0

    @property
    def dropped_mass(self) -> float | None:
        """See ``Predictor``."""
        return self._dropped

    @property
    def masked_mass(self) -> float:
        """See ``Predictor``; of the tokens that were read last."""
        return self._masked_mass

    @property
    def state(self) -> BeamState:
        """What the beam holds now."""
        return BeamState(
            self._probs,
            self._lost,
            [(one.context.tokens(), one.prefix.text) for one in self._beam],
            self._tree.kv_tokens,
            bool(self._growing),
            self._healed,
            self._tree.guessed,
        )

    async def open(self) -> None:
        """See ``Predictor``."""
        self._session = await self._engine.open(self._reserved, self._pruning.width - 1)

    def start(self) -> Awaitable[LogProbs]:
        """See ``Predictor``."""
        session, self._session = self._session, None
        if session is None:
            raise RuntimeError("a member was started before it was opened")
        if not self._sketches:
            root = self._tree.root(session, self.opening.prompt, ())
            self._growing = [(root, 1.0)]
            return _Later(self._begin, root)
        common = common_start(self._sketches)
        root = self._tree.root(session, [*self.opening.prompt, *common], common)
        self._growing = [(root, 1.0)]
        return _Later(self._resume, root)

    def feed(self, symbol: int, ahead: Sequence[int] = ()) -> Awaitable[LogProbs]:
        """See ``Predictor``; symbols are bytes."""
        return self._follow(symbol, _MAX_LOST, bytes(ahead) if self.reach else b"")

    def _follow(self, symbol: int, max_lost: float, ahead: bytes = b"") -> Awaitable[LogProbs]:
        probability = float(self._probs[symbol])
        if probability <= 0:
            return _Later(self._heal, symbol)
        grown = hypotheses.grow(self._beam, symbol, probability, self._order)
        kept = self._within_kv_tokens(
            hypotheses.prune(grown, self._pruning.epsilon, self._pruning.width)
        )
        lost = self._lost / SYMBOLS / probability + kept.dropped
        if lost > max_lost:
            return _Later(self._heal, symbol)
        self._lost = lost
        self._dropped += kept.dropped
        way = self._advance(kept, ahead)
        if self._tree.looked_ahead:
            self._foresight.forget(self._tree, self._ways)
        if way is not None:
            guesses = self._foresight.guesses(way.begun, ahead, self._room_ahead)
            self._tree.look_ahead(way.context, guesses)
        if self._growing:
            return _Later(self._settle)
        self._update()
        return _Later(self._look) if self._tree.waiting else Ready(self._row)

    def top_piece(self, row: LogProbs) -> TopPiece:
        """See ``Predictor``; the rest of the best token of the hypothesis that weighs most."""
        return TopPiece(*hypotheses.top_piece(self._best, self._order))

    def close(self) -> None:
        """See ``Predictor``."""
        if self._begun:
            self._sketches = [
                *(Sketch(h.context.tokens(), h.prefix, h.weight) for h in self._beam),
                *(Sketch(c.tokens(), self._order.root, w, True) for c, w in self._growing),
            ]
            self._fed_before = self.fed
            # Should the worker die while it comes back, the sketches are still what there is.
            self._begun = False
        contexts = [*(h.context for h in self._beam), *(context for context, _ in self._growing)]
        for context in contexts:
            self._tree.release(context)
        if self._session is not None:
            self._session.close()
            self._session = None
        self._beam, self._growing = [], []
        self._looked_ahead, self._wasted = self.looked_ahead, self.wasted
        self._tree = self._new_tree()

    def _new_tree(self) -> ContextTree:
        width, most = self._pruning.width, self._pruning.max_kv_tokens
        return ContextTree(self._order, most, alone=width == 1)

    async def _begin(self, root: Context) -> LogProbs:
        """Waits for the prompt and goes through the bytes that are given behind it."""
        self._lost, self._unhealed = 0.0, None
        await self._settle()
        if root.trunk is not None and self._cached is None:
            self._cached = root.trunk.session.cached_tokens
        for byte in self.opening.forced:
            await self.feed(byte)
        given = self._best.context.tokens()
        self._given = sum(token not in self._control for token in given)
        self._traceless = 0
        self._dropped = 0.0
        self._begun = True
        return self._row

    async def _resume(self, root: Context) -> LogProbs:
        """Comes back to where it was when it was closed."""
        await self._evaluate([root])
        regrown = await regrow(root, self._sketches, self._grow_all)
        self._beam = [
            hypotheses.resumed(context, one.prefix, one.weight)
            for context, one in regrown
            if not one.complete
        ]
        self._growing = [(context, one.weight) for context, one in regrown if one.complete]
        self._fed_before -= self._tree.fed
        self._begun = True
        await self._settle()
        unhealed, self._unhealed = self._unhealed, None
        if unhealed is not None:
            await self.feed(unhealed)
        return self._row

    def _advance(self, kept: Kept[Context], ahead: bytes = b"") -> Way | None:
        """Starts a decode step for every complete token, and frees what nothing rests on.

        What will probably follow one of them is computed in the same step.

        Returns:
            From where else it is worth looking ahead.
        """
        target = self._foresight.target(kept, ahead) if ahead else None
        way = None
        if isinstance(target, hypotheses.Hypothesis):
            way = Way(target.context, target.prefix.text)
        staying = {id(one.context) for one in kept.longer}
        groups: dict[int, list[Extension[Context]]] = {}
        for extension in kept.complete:
            groups.setdefault(id(extension.parent), []).append(extension)
        for hypothesis in self._beam:
            if id(hypothesis.context) not in staying | groups.keys():
                self._tree.release(hypothesis.context)
        self._beam = kept.longer
        for extensions in groups.values():
            for left, one in enumerate(extensions, 1 - len(extensions)):
                keep = left < 0 or id(one.parent) in staying
                guesses: Sequence[int] = ()
                if one is target:
                    guesses = self._foresight.behind(one.token, ahead, self._room_ahead)
                child = self._tree.grow(one.parent, (one.token,), keep_parent=keep, guesses=guesses)
                self._growing.append((child, one.weight))
                if one is target and child.trunk is not None and not child.trunk.waiting:
                    way = Way(child, b"")
        return way

    async def _look(self) -> LogProbs:
        """Waits for what was started ahead; the row is known."""
        await self._evaluate([])
        return self._row

    async def _settle(self) -> LogProbs:
        """Waits for the tokens that were started, and takes them into the beam.

        Where control tokens may follow them, those are waited for too: they give no bytes.
        """
        self._masked_mass = 0.0
        begun = await self._take_in()
        while self._say_control(begun):
            begun = await self._take_in()
        self._update()
        return self._row

    async def _take_in(self) -> list[_Hypothesis]:
        """Waits for what is growing; returns what has begun with it."""
        await self._evaluate([context for context, _ in self._growing])
        growing, self._growing = self._growing, []
        begun = [hypotheses.begun(context, self._order, weight) for context, weight in growing]
        self._masked_mass += sum(weight * context.masked_mass for context, weight in growing)
        self._beam = [*self._beam, *begun]
        return begun

    def _say_control(self, begun: Sequence[_Hypothesis]) -> bool:
        """Starts on the control tokens that may follow; returns whether there are any."""
        if not self._control or not begun:
            return False
        moves, lost = hypotheses.control_moves(begun, self._order, self._pruning.epsilon)
        longest = max((one.parent.length for one in moves), default=0) - self._given
        full = self._kv_tokens_left <= HEALING_KV_TOKENS
        most = self._pruning.max_tokens or math.inf
        if full or longest >= most:
            # Control tokens that go on for ever use up the tokens of the answer.
            rest = sum(move.weight for move in moves)
            self._used_up |= longest >= most and rest > self._best.weight
            moves, lost = [], lost + rest
        elif moves:
            grown = hypotheses.Grown(self._beam, moves)
            kept = self._within_kv_tokens(
                hypotheses.prune(grown, self._pruning.epsilon, self._pruning.width)
            )
            lost += kept.dropped
            self._advance(kept)
        self._lost += lost
        self._dropped += lost
        return bool(self._growing)

    async def _grow_all(self, growths: Sequence[Growth]) -> list[Context]:
        """Grows contexts side by side and waits for what follows them."""
        grown = [
            self._tree.grow(one.parent, one.tokens, keep_parent=one.keep_parent) for one in growths
        ]
        self._growing += [(context, 0.0) for context in grown]
        await self._evaluate(grown)
        return grown

    async def _heal(self, symbol: int) -> LogProbs:
        """Starts the beam anew from its best hypothesis, where no other way leads to the byte.

        The most probable hypothesis takes what it has seen of a token as tokens of their own, and
        the byte begins the next one. What no tokens can spell, or does not fit, leaves no trace.
        """
        self._unhealed = symbol
        self._healed += 1
        best = self._best
        self._dropped += 1.0 - best.weight
        await self._commit(best.context, best.prefix.text)
        # From here on the beam, or what is growing, has the byte in it.
        self._unhealed = None
        if self._probs[symbol] <= 0 or not self._kv_tokens_left:
            await self._commit(self._beam[0].context, bytes((symbol,)))
            return self._row
        # However much is pruned from a beam that has only just begun: it is all there is.
        return await self._follow(symbol, max_lost=math.inf)

    async def _commit(self, context: Context, text: bytes) -> None:
        """Resets the beam to a context and the tokens of some more bytes."""
        for hypothesis in self._beam:
            if hypothesis.context is not context:
                self._tree.release(hypothesis.context)
        tokens = (self._order.segment(text) or [])[: self._kv_tokens_left]
        if tokens:
            child = self._tree.grow(context, tokens, keep_parent=False)
            self._beam, self._growing = [], [(child, 1.0)]
        else:
            self._traceless += len(text)
            self._beam, self._growing = [], [(context, 1.0)]
        self._lost = 0.0
        await self._settle()

    async def _evaluate(self, contexts: Sequence[Context]) -> None:
        for context in contexts:
            await context.settle(self._order)
        seconds = [context.busy_seconds for context in contexts]
        seconds += [await trunk.wait() for trunk in self._tree.trunks]
        self._busy_seconds += max(seconds, default=0.0)

    @property
    def _best(self) -> _Hypothesis:
        return max(self._beam, key=lambda one: one.weight)

    def _update(self) -> None:
        """Renormalises the weights and computes the distribution of the next byte anew."""
        whole = sum(one.weight for one in self._beam) + self._lost
        self._beam = [
            hypotheses.Hypothesis(one.context, one.prefix, one.scale / whole, one.weight / whole)
            for one in self._beam
        ]
        self._lost /= whole
        self._probs = hypotheses.next_bytes(self._beam, self._lost)
        with np.errstate(divide="ignore"):
            np.log(self._probs, out=self._row, casting="same_kind")

    def _within_kv_tokens(self, kept: Kept[Context]) -> Kept[Context]:
        """Keeps the best alone where there is no room for more."""
        needed, alone = len(kept.complete), len(kept.longer) + len(kept.complete) < 2
        if needed <= max(0, self._kv_tokens_left - (0 if alone else HEALING_KV_TOKENS)):
            return kept
        everyone: list[_Hypothesis | Extension[Context]] = [*kept.longer, *kept.complete]
        best = max(everyone, key=lambda one: one.weight)
        dropped = kept.dropped + sum(one.weight for one in everyone if one is not best)
        if isinstance(best, hypotheses.Hypothesis):
            return Kept([best], [], dropped)
        if self._kv_tokens_left:
            return Kept([], [best], dropped)
        return Kept([], [], dropped + best.weight)

    @property
    def _ways(self) -> Sequence[Way]:
        """All hypotheses, those included that are still computed."""
        known = [Way(one.context, one.prefix.text) for one in self._beam]
        return [*known, *(Way(context, b"") for context, _ in self._growing)]

    @property
    def _room_ahead(self) -> int:
        """Guesses there is room for, beside all that a step and healing may take."""
        left = self._kv_tokens_left - self._tree.guessed
        return left - self._pruning.width - HEALING_KV_TOKENS

    @property
    def _kv_tokens_left(self) -> int:
        """Tokens behind the prompt that may still be held."""
        return self._pruning.max_kv_tokens - self._tree.kv_tokens


class _Later:
    """A row that has to be waited for; the waiting begins with the await."""

    def __init__(
        self, wait: Callable[..., Coroutine[Any, Any, LogProbs]], *arguments: object
    ) -> None:
        self._wait = wait
        self._arguments = arguments

    def __await__(self) -> Generator[Any, None, LogProbs]:
        return self._wait(*self._arguments).__await__()
