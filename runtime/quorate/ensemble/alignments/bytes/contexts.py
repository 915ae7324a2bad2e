"""The token contexts of one member's byte beam, and the engine sessions behind them.

Contexts form a tree, and what they share is shared in the KV cache: it takes as many KV tokens as
the tree has. Several contexts along one path rest on the same session, which may hold more tokens
than any of them: those that were computed ahead of the text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from quorate.engines.byte_order import ByteOrder, PrefixSums
from quorate.engines.contract import LogProbs, Session
from quorate.ensemble.alignments.bytes.trunk import Known, Trunk
from quorate.errors import WorkerLost


class Context:
    """A node of the tree: tokens behind the prompt, and the row of the next token once it is known.

    Made by a ``ContextTree`` only.

    Attributes:
        appended: The tokens it adds to its parent's.
        length: Tokens behind the prompt.
        busy_seconds: Time that passed while it was waited for.
        ending: Probability that the text ends here.
        control: Probabilities of the control tokens that may come next, see ``ByteOrder.control``.
        masked_mass: Probability that was taken from tokens which no model may say.
        trunk: What it rests on; None once it was released or its child took its place.
        users: Reference count: its own place on a trunk and its children.
        failure: Why it never had a session.
    """

    __slots__ = (
        "_row", "_sums",
        "appended", "busy_seconds", "control", "ending", "failure", "length", "masked_mass",
        "parent", "trunk", "users",
    )  # fmt: skip

    def __init__(self, parent: Context | None, appended: Sequence[int]) -> None:
        self.parent = parent
        self.appended = tuple(appended)
        self.length: int = len(self.appended) + (parent.length if parent else 0)
        self.busy_seconds = 0.0
        self.ending = 0.0
        self.control: npt.NDArray[np.float64] = np.empty(0)
        self.masked_mass = 0.0
        self.trunk: Trunk[Context] | None = None
        self.users = 0
        self.failure: WorkerLost | None = None
        self._row: LogProbs = np.empty(0, np.float32)
        self._sums: PrefixSums = np.empty(0)

    @property
    def row(self) -> LogProbs:
        """Log-probs of the next token, float32 of shape (vocabulary,)."""
        return self._row

    @property
    def sums(self) -> PrefixSums:
        """Running sums of their probabilities in byte order."""
        return self._sums

    def tokens(self) -> list[int]:
        """All tokens behind the prompt."""
        path: list[tuple[int, ...]] = []
        context: Context | None = self
        while context is not None:
            path.append(context.appended)
            context = context.parent
        return [token for appended in reversed(path) for token in appended]

    def keep(self) -> None:
        """Copies what the next call on its session overwrites."""
        if self._row.base is not None:
            self._row = self._row.copy()
        if self._sums.base is not None:
            self._sums = self._sums.copy()

    async def settle(self, order: ByteOrder) -> None:
        """Waits until what follows is known; see ``Session.feed`` for what it raises."""
        if self.failure is not None:
            raise self.failure
        if not len(self._row) and self.trunk is not None:
            self.busy_seconds = await self.trunk.wait()
            self.read(self.trunk, order)

    def read(self, trunk: Trunk[Context], order: ByteOrder) -> None:
        """Takes what follows from a trunk where it is known."""
        row, sums, self.masked_mass = trunk.row(self.length)
        self._row = row
        self._sums = _summed(row, order) if sums is None else sums
        self.ending = float(np.exp(row[order.ending].astype(np.float64)).sum())
        self.control = np.exp(row[order.control].astype(np.float64))


class ContextTree:
    """The contexts of one fork group of sessions.

    Args:
        order: Of the vocabulary.
        max_kv_tokens: Tokens behind the prompt that its sessions may hold together.
        width: Most sessions. Rows of one alone come without prefix sums.

    Attributes:
        kv_tokens: Tokens behind the prompt that contexts hold, each counted once; guesses are not
            among them.
        fed: Tokens fed, the prompt's and guesses included.
        looked_ahead: Guesses among them.
        wasted: Guesses that no context was ever made of.
        trunks: Sessions that are open.
    """

    def __init__(self, order: ByteOrder, max_kv_tokens: int, width: int) -> None:
        self.kv_tokens = 0
        self.fed = 0
        self.looked_ahead = 0
        self.wasted = 0
        self.trunks: list[Trunk[Context]] = []
        self._order = order
        self._max_kv_tokens = max_kv_tokens
        self._width = width
        # What was computed beside a trunk and has no context yet, by where it branched off.
        self._beside: dict[tuple[Trunk[Context], int, int], Trunk[Context]] = {}

    @property
    def guessed(self) -> int:
        """Tokens that are held beyond all contexts."""
        return sum(trunk.beyond for trunk in self.trunks) + len(self._beside)

    @property
    def places(self) -> int:
        """Sessions that may still be opened."""
        return self._width - len(self.trunks) - len(self._beside)

    @property
    def waiting(self) -> bool:
        """Whether something that was fed has not been waited for."""
        return any(trunk.waiting for trunk in self.trunks)

    async def settle(self, contexts: Sequence[Context]) -> float:
        """Waits for contexts and all their sessions; returns the seconds that the longest took.

        See ``Session.feed`` for what it raises.
        """
        for context in contexts:
            await context.settle(self._order)
        seconds = [context.busy_seconds for context in contexts]
        seconds += [await trunk.wait() for trunk in self.trunks]
        return max(seconds, default=0.0)

    def close(self) -> None:
        """Gives up every context, and with them all sessions."""
        for context in [context for trunk in self.trunks for context in trunk.users]:
            self.release(context)

    def root(self, session: Session, tokens: Sequence[int], appended: Sequence[int]) -> Context:
        """Starts on all tokens, of which the last ``appended`` are behind the prompt."""
        context = Context(None, appended)
        # Every root rests on the whole prompt.
        trunk: Trunk[Context] = Trunk(session, 0, alone=self._width == 1)
        self.trunks.append(trunk)
        self._rest(context, trunk)
        self.fed += len(tokens)
        trunk.feed(tokens, context.length)
        return context

    def grow(
        self,
        parent: Context,
        tokens: Sequence[int],
        *,
        keep_parent: bool,
        guesses: Sequence[int] = (),
    ) -> Context:
        """Starts a child on further tokens, in the parent's own session where nobody else needs it.

        Where the tokens were guessed, what follows them is known already and nothing is computed.
        Where the worker has died, the child says so once it is waited for.

        Args:
            parent: A context with a place on a trunk.
            tokens: What the child adds.
            keep_parent: Whether the parent stays in use.
            guesses: Tokens to be computed ahead behind them, in the same call.
        """
        trunk = parent.trunk
        if trunk is None:
            raise RuntimeError("a context cannot grow after its session was closed")
        child = Context(parent, tokens)
        guessed = trunk.guessed(parent.length, tokens)
        beside = None if guessed else self._taken_beside(trunk, parent.length, tokens)
        if beside is not None:
            trunk = beside
            self.trunks.append(trunk)
        elif not guessed:
            self._make_room(len(tokens))
            if keep_parent or len(trunk.users) > 1:
                self._make_place()
                try:
                    trunk = trunk.branch(parent.length)
                except WorkerLost as error:
                    child.failure = error
                    if not keep_parent:
                        self.release(parent)
                    return child
                self.trunks.append(trunk)
            else:
                self._cut(trunk, parent.length)
        parent.users += 1
        self._rest(child, trunk)
        if not keep_parent:
            self.release(parent)
        if guessed:
            child.read(trunk, self._order)
        elif beside is None:
            self._feed(trunk, tokens, guesses)
        return child

    def look_ahead(self, context: Context, guesses: Sequence[int]) -> None:
        """Starts on guesses behind a context that stays in use, where its session can take them."""
        trunk = context.trunk
        if not guesses or trunk is None or trunk.waiting or trunk.deepest > context.length:
            return
        self._cut(trunk, context.length)
        self._feed(trunk, (), guesses)

    async def guess(self, trunk: Trunk[Context], length: int, token: int) -> Known:
        """Has a trunk at rest go on by one guess behind its first tokens, so many of them.

        Raises:
            WorkerLost: What ``Session.feed`` raises.
        """
        self._cut(trunk, length)
        for context in trunk.users:
            context.keep()
        self.fed += 1
        self.looked_ahead += 1
        return await trunk.guess(token)

    def compute_beside(self, trunk: Trunk[Context], length: int, token: int) -> None:
        """Starts on a token behind the first ones of a trunk at rest, in a session of its own.

        A context of it is then known as soon as that is. Does nothing where no place is left.
        """
        key = (trunk, length, token)
        if key in self._beside or self.places < 1:
            return
        try:
            beside = trunk.branch(length)
        except WorkerLost:
            # Whoever needs it is told.
            return
        self._beside[key] = beside
        self.fed += 1
        self.looked_ahead += 1
        beside.feed((token,), length + 1)

    def forget_beside(self, keep: Callable[[Trunk[Context], int, int], bool]) -> None:
        """Forgets what was computed beside trunks, but for what is to be kept."""
        for key in [key for key in self._beside if not keep(*key)]:
            self.wasted += 1
            self._beside.pop(key).session.close()

    def release(self, context: Context) -> None:
        """Gives up a context's place; a session on which none rests is closed.

        Tokens that nobody else holds are free.
        """
        trunk = context.trunk
        if trunk is None:
            return
        context.trunk = None
        trunk.users.remove(context)
        if not trunk.users:
            self.wasted += trunk.unused
            self.trunks.remove(trunk)
            self.forget_beside(lambda other, *_: other is not trunk)
            trunk.session.close()
        node: Context | None = context
        while node is not None:
            node.users -= 1
            if node.users:
                return
            self.kv_tokens -= len(node.appended)
            node = node.parent

    def forget_guesses(self, trunk: Trunk[Context]) -> None:
        """Has a session forget what it holds beyond its contexts."""
        self._cut(trunk, trunk.deepest)

    def _feed(self, trunk: Trunk[Context], tokens: Sequence[int], guesses: Sequence[int]) -> None:
        self.fed += len(tokens) + len(guesses)
        self.looked_ahead += len(guesses)
        for context in trunk.users:
            context.keep()
        trunk.feed(tokens, trunk.length + len(tokens), guesses)

    def _rest(self, context: Context, trunk: Trunk[Context]) -> None:
        context.trunk = trunk
        trunk.users.append(context)
        context.users += 1
        self.kv_tokens += len(context.appended)

    def _make_room(self, count: int) -> None:
        """Guesses give way to what was chosen."""
        if self.kv_tokens + self.guessed + count > self._max_kv_tokens:
            self.forget_beside(lambda *_: False)
            for trunk in self.trunks:
                self.forget_guesses(trunk)

    def _make_place(self) -> None:
        """What was computed beside gives way to what was chosen."""
        if self._beside and self.places < 1:
            last = max(self._beside, key=lambda key: key[1])
            self.forget_beside(lambda *key: key != last)

    def _taken_beside(
        self, trunk: Trunk[Context], length: int, tokens: Sequence[int]
    ) -> Trunk[Context] | None:
        """Takes what was computed beside a trunk, where it is these tokens."""
        return self._beside.pop((trunk, length, tokens[0]), None) if len(tokens) == 1 else None

    def _cut(self, trunk: Trunk[Context], length: int) -> None:
        if not trunk.waiting and length < trunk.length:
            self.forget_beside(lambda other, start, _: other is not trunk or start <= length)
            self.wasted += trunk.cut(length)


def _summed(row: LogProbs, order: ByteOrder) -> PrefixSums:
    sums = np.empty(len(order) + 1)
    order.prefix_sums(row, sums)
    return sums
