"""One member's beam: the distribution of the next byte, whatever the member's tokens are."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Sequence

from quorate.engines.contract import Engine, LogProbs, Session
from quorate.ensemble.alignments.bytes import hypotheses
from quorate.ensemble.alignments.bytes.beam import BeamState, Opening, Pruning
from quorate.ensemble.alignments.bytes.beside import tokens_beside
from quorate.ensemble.alignments.bytes.contexts import Context, ContextTree
from quorate.ensemble.alignments.bytes.figures import BeamFigures
from quorate.ensemble.alignments.bytes.foresight import Foresight, Way
from quorate.ensemble.alignments.bytes.hypotheses import SYMBOLS, Kept
from quorate.ensemble.alignments.bytes.owing import OwesBytes
from quorate.ensemble.alignments.bytes.own_way import OwnWay
from quorate.ensemble.alignments.bytes.room import Room
from quorate.ensemble.alignments.bytes.sketches import Growth, Sketch, common_start, regrow
from quorate.ensemble.alignments.bytes.weighed import WeighedBeam
from quorate.ensemble.guesses import Begun, Ready
from quorate.ensemble.predictor import TopPiece

# Once what was pruned weighs more than what is left, following the text anew is cheaper than being
# wrong about it.
_MAX_LOST = 0.5
_Hypothesis = hypotheses.Hypothesis[Context]


class BytePredictor(BeamFigures, OwesBytes):
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
        BeamFigures.__init__(self, self._new_tree(), len(opening.prompt))
        OwesBytes.__init__(self)
        self._beam = WeighedBeam(self._order)
        self._growing: list[tuple[Context, float]] = []
        self._sketches: list[Sketch] = []
        # Tokens that the bytes given with the prompt were cut into.
        self._given = 0
        # Bytes that left no trace.
        self._traceless = 0
        # What will probably be told, of which nothing beside the cut was computed yet.
        self._ahead = b""
        # What it guesses by itself, while it goes ahead.
        self._own_way: OwnWay | None = None
        self._used_up = False
        self._healed = 0
        # A byte that is being healed, so that it is not forgotten when the worker dies meanwhile.
        self._unhealed: int | None = None

    @property
    def reach(self) -> int:
        """See ``Predictor``; in bytes."""
        return self._foresight.reach

    @property
    def length(self) -> int:
        """See ``Predictor``; of the hypothesis that weighs most, and bytes it could not take in."""
        tokens = self._beam.best.context.length - self._given if self._beam.hypotheses else 0
        if self._used_up:
            tokens = max(tokens, self._pruning.max_tokens or 0)
        return max(0, tokens) + self._traceless

    @property
    def state(self) -> BeamState:
        """What the beam holds now."""
        return BeamState(
            self._beam.probs,
            self._beam.lost,
            [(one.context.tokens(), one.prefix.text) for one in self._beam.hypotheses],
            self._tree.kv_tokens,
            bool(self._growing),
            self._healed,
            self._tree.guessed,
        )

    async def open(self) -> None:
        """See ``Predictor``."""
        self._session = await self._engine.open(self._reserved, self._pruning.width - 1)

    def start(self, ahead: Sequence[int] = ()) -> Awaitable[LogProbs]:
        """See ``Predictor``; nothing is computed ahead of the first byte."""
        session, self._session = self._session, None
        if session is None:
            raise RuntimeError("a member was started before it was opened")
        common = common_start(self._sketches) if self._sketches else []
        root = self._tree.root(session, [*self.opening.prompt, *common], common)
        self._growing = [(root, 1.0)]
        return Begun(self._resume if self._sketches else self._begin, root)

    def feed(self, symbol: int, ahead: Sequence[int] = ()) -> Awaitable[LogProbs]:
        """See ``Predictor``; symbols are bytes."""
        return self._follow(symbol, _MAX_LOST, bytes(ahead) if self.reach else b"")

    def _follow(self, symbol: int, max_lost: float, ahead: bytes = b"") -> Awaitable[LogProbs]:
        self._ahead, self._own_way = b"", None
        probability = float(self._beam.probs[symbol])
        if probability <= 0:
            return Begun(self._heal, symbol)
        kept = self._room.prune(self._beam.grow(symbol))
        lost = self._beam.lost / SYMBOLS / probability + kept.dropped
        if lost > max_lost:
            return Begun(self._heal, symbol)
        self._beam.lost = lost
        self._dropped += kept.dropped
        way = self._advance(kept, ahead)
        if self._tree.looked_ahead:
            known = [Way(one.context, one.prefix.text) for one in self._beam.hypotheses]
            computed = [Way(context, b"") for context, _ in self._growing]
            self._foresight.forget(self._tree, [*known, *computed])
        self._ahead = ahead
        if way is not None:
            guesses = self._foresight.guesses(way.begun, ahead, self._room.ahead)
            if guesses and not self._growing:
                self._look_beside((way.context, guesses[0]))
            self._tree.look_ahead(way.context, guesses)
        if self._growing:
            return Begun(self._settle)
        self._beam.weigh()
        return Begun(self._look) if self._tree.waiting else Ready(self._beam.row)

    def guess(self, symbol: int) -> Awaitable[LogProbs]:
        """Goes on along what it would say itself, behind a byte that nobody has chosen yet.

        Returns:
            What it would say next, see ``OwnWay.take``.
        """
        if self._own_way is None:
            self._own_way = OwnWay(
                self._tree, self._beam.hypotheses, self._order, self._pruning.epsilon
            )
        return Begun(self._own_way.take, symbol, self._room.ahead)

    def ends_token(self, symbol: int) -> bool:
        """Whether a byte probably ends a token whose row has to be computed."""
        return self._beam.ends_token(symbol)

    def top_piece(self, row: LogProbs) -> TopPiece:
        """See ``Predictor``; the rest of the best token of the hypothesis that weighs most."""
        return TopPiece(*hypotheses.top_piece(self._beam.best, self._order))

    def close(self) -> None:
        """See ``Predictor``."""
        if self._begun:
            self._sketches = [
                *(Sketch(h.context.tokens(), h.prefix, h.weight) for h in self._beam.hypotheses),
                *(Sketch(c.tokens(), self._order.root, w, True) for c, w in self._growing),
            ]
            self._fed_before = self.fed
            # Should the worker die while it comes back, the sketches are still what there is.
            self._begun = False
        self._tree.close()
        if self._session is not None:
            self._session.close()
            self._session = None
        self._beam.hypotheses, self._growing = [], []
        self._ahead, self._own_way = b"", None
        self._replant(self._new_tree())

    def _new_tree(self) -> ContextTree:
        tree = ContextTree(self._order, self._pruning.max_kv_tokens, self._pruning.width)
        self._room = Room(tree, self._pruning)
        return tree

    async def _begin(self, root: Context) -> LogProbs:
        """Waits for the prompt and goes through the bytes that are given behind it."""
        self._beam.lost, self._unhealed = 0.0, None
        await self._settle()
        if root.trunk is not None and self._cached is None:
            self._cached = root.trunk.session.cached_tokens
        for byte in self.opening.forced:
            await self.feed(byte)
        given = self._beam.best.context.tokens()
        self._given = sum(token not in self._control for token in given)
        self._traceless, self._dropped = 0, 0.0
        self._begun = True
        return self._beam.row

    async def _resume(self, root: Context) -> LogProbs:
        """Comes back to where it was when it was closed."""
        self._busy_seconds += await self._tree.settle([root])
        regrown = await regrow(root, self._sketches, self._grow_all)
        self._beam.hypotheses = [
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
        return self._beam.row

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
        groups = hypotheses.by_parent(kept.complete)
        for hypothesis in self._beam.hypotheses:
            if id(hypothesis.context) not in staying | groups.keys():
                self._tree.release(hypothesis.context)
        self._beam.hypotheses = kept.longer
        for extensions in groups.values():
            for left, one in enumerate(extensions, 1 - len(extensions)):
                keep = left < 0 or id(one.parent) in staying
                guesses: Sequence[int] = ()
                if one is target:
                    guesses = self._foresight.behind(one.token, ahead, self._room.ahead)
                child = self._tree.grow(one.parent, (one.token,), keep_parent=keep, guesses=guesses)
                self._growing.append((child, one.weight))
                if one is target and child.trunk is not None and not child.trunk.waiting:
                    way = Way(child, b"")
        return way

    async def _look(self) -> LogProbs:
        """Waits for what was started ahead; the row is known."""
        self._busy_seconds += await self._tree.settle(())
        self._look_beside()
        return self._beam.row

    async def _settle(self) -> LogProbs:
        """Waits for the tokens that were started, and takes them into the beam.

        Where control tokens may follow them, those are waited for too: they give no bytes.
        """
        self._masked_mass = 0.0
        begun = await self._take_in()
        while self._say_control(begun):
            begun = await self._take_in()
        self._beam.weigh()
        self._look_beside()
        return self._beam.row

    def _look_beside(self, first: tuple[Context, int] | None = None) -> None:
        """Starts on what will be needed beside the guesses; nobody waits but who comes to need it.

        ``first`` is as ``tokens_beside`` takes it; without it the rows along the guesses are known.
        """
        ahead = self._ahead
        if first is None:
            self._ahead = b""
        if not ahead or self._tree.places < 1:
            return
        beam, epsilon = self._beam.hypotheses, self._pruning.epsilon
        found = tokens_beside(beam, ahead, self._order, epsilon, first)
        for beside in found[: max(0, self._room.ahead)]:
            self._tree.compute_beside(*beside)

    async def _take_in(self) -> list[_Hypothesis]:
        """Waits for what is growing; returns what has begun with it."""
        self._busy_seconds += await self._tree.settle([context for context, _ in self._growing])
        growing, self._growing = self._growing, []
        self._masked_mass += sum(weight * context.masked_mass for context, weight in growing)
        return self._beam.begin(growing)

    def _say_control(self, begun: Sequence[_Hypothesis]) -> bool:
        """Starts on the control tokens that may follow; returns whether there are any."""
        if not self._control or not begun:
            return False
        moves, lost = hypotheses.control_moves(begun, self._order, self._pruning.epsilon)
        longest = max((one.parent.length for one in moves), default=0) - self._given
        full = self._room.for_healing_only
        most = self._pruning.max_tokens or math.inf
        if full or longest >= most:
            # Control tokens that go on for ever use up the tokens of the answer.
            rest = sum(move.weight for move in moves)
            self._used_up |= longest >= most and rest > self._beam.best.weight
            moves, lost = [], lost + rest
        elif moves:
            kept = self._room.prune(hypotheses.Grown(self._beam.hypotheses, moves))
            lost += kept.dropped
            self._advance(kept)
        self._beam.lost += lost
        self._dropped += lost
        return bool(self._growing)

    async def _grow_all(self, growths: Sequence[Growth]) -> list[Context]:
        """Grows contexts side by side and waits for what follows them."""
        grown = [
            self._tree.grow(one.parent, one.tokens, keep_parent=one.keep_parent) for one in growths
        ]
        self._growing += [(context, 0.0) for context in grown]
        self._busy_seconds += await self._tree.settle(grown)
        return grown

    async def _heal(self, symbol: int) -> LogProbs:
        """Starts the beam anew from its best hypothesis, where no other way leads to the byte.

        The most probable hypothesis takes what it has seen of a token as tokens of their own, and
        the byte begins the next one. What no tokens can spell, or does not fit, leaves no trace.
        """
        self._unhealed = symbol
        self._healed += 1
        best = self._beam.best
        self._dropped += 1.0 - best.weight
        await self._commit(best.context, best.prefix.text)
        # From here on the beam, or what is growing, has the byte in it.
        self._unhealed = None
        if self._beam.probs[symbol] <= 0 or not self._room.left:
            await self._commit(self._beam.hypotheses[0].context, bytes((symbol,)))
            return self._beam.row
        # However much is pruned from a beam that has only just begun: it is all there is.
        return await self._follow(symbol, max_lost=math.inf)

    async def _commit(self, context: Context, text: bytes) -> None:
        """Resets the beam to a context and the tokens of some more bytes."""
        for hypothesis in self._beam.hypotheses:
            if hypothesis.context is not context:
                self._tree.release(hypothesis.context)
        tokens = (self._order.segment(text) or [])[: self._room.left]
        if tokens:
            child = self._tree.grow(context, tokens, keep_parent=False)
            self._beam.hypotheses, self._growing = [], [(child, 1.0)]
        else:
            self._traceless += len(text)
            self._beam.hypotheses, self._growing = [], [(context, 1.0)]
        self._beam.lost = 0.0
        await self._settle()
