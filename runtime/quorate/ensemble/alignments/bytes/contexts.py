"""The token contexts of one member's byte beam, and the engine sessions behind them.

Contexts form a tree. Each one that a hypothesis rests on has a session of its own, and what it
shares with its relatives is shared in the KV cache: it takes as many KV tokens as the tree has.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

import numpy as np
import numpy.typing as npt

from quorate.engines.byte_order import ByteOrder, PrefixSums
from quorate.engines.contract import LogProbs, Session
from quorate.errors import WorkerLost


class Context:
    """A node of the tree: tokens behind the prompt, and the row of the next token once it is known.

    Made by a ``ContextTree`` only.

    Attributes:
        appended: The tokens it adds to its parent's.
        length: Tokens behind the prompt.
        busy_seconds: Time that passed between its feed and the answer.
        ending: Probability that the text ends here.
        control: Probabilities of the control tokens that may come next, see ``ByteOrder.control``.
        masked_mass: Probability that was taken from tokens which no model may say.
        session: Its session; None once it was closed or taken over by a child.
        users: Reference count: its own session and its children.
        failure: Why it never had a session.
    """

    __slots__ = (
        "_began", "_pending", "_row", "_sums",
        "appended", "busy_seconds", "control", "ending", "failure", "length", "masked_mass",
        "parent", "session", "users",
    )  # fmt: skip

    def __init__(self, parent: Context | None, appended: Sequence[int]) -> None:
        self.parent = parent
        self.appended = tuple(appended)
        self.length: int = len(self.appended) + (parent.length if parent else 0)
        self.busy_seconds = 0.0
        self.ending = 0.0
        self.control: npt.NDArray[np.float64] = np.empty(0)
        self.masked_mass = 0.0
        self.session: Session | None = None
        self.users = 0
        self.failure: WorkerLost | None = None
        self._pending: Awaitable[LogProbs] | None = None
        self._began = 0.0
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

    def begin(self, session: Session, tokens: Sequence[int]) -> None:
        """Starts on the tokens that ``session`` does not hold yet."""
        self.session = session
        self.users += 1
        self._began = session.busy_seconds
        self._pending = session.feed(tokens)

    async def settle(self, order: ByteOrder, *, alone: bool) -> None:
        """Waits until what follows is known; see ``Session.feed`` for what it raises.

        Args:
            order: Of the vocabulary.
            alone: Whether its session is the only one of its fork group; such come without sums.
        """
        if self.failure is not None:
            raise self.failure
        if self._pending is None or self.session is None:
            return
        self._row = await self._pending
        self._pending = None
        self.busy_seconds = self.session.busy_seconds - self._began
        self._sums = _summed(self._row, order) if alone else self.session.prefix_sums
        self.masked_mass = self.session.masked_mass
        self.ending = float(np.exp(self._row[order.ending].astype(np.float64)).sum())
        self.control = np.exp(self._row[order.control].astype(np.float64))


class ContextTree:
    """The contexts of one fork group of sessions.

    Attributes:
        kv_tokens: Tokens behind the prompt that sessions hold, each counted once.
        fed: Tokens fed, the prompt's included.
    """

    def __init__(self) -> None:
        self.kv_tokens = 0
        self.fed = 0

    def root(self, session: Session, tokens: Sequence[int], appended: Sequence[int]) -> Context:
        """Starts on all tokens, of which the last ``appended`` are behind the prompt."""
        context = Context(None, appended)
        self._begin(context, session, tokens)
        return context

    def grow(self, parent: Context, tokens: Sequence[int], *, keep_parent: bool) -> Context:
        """Starts a child on further tokens, in the parent's own session unless that is kept.

        Where the worker has died, the child says so once it is waited for.
        """
        session = parent.session
        if session is None:
            raise RuntimeError("a context cannot grow after its session was closed")
        child = Context(parent, tokens)
        if keep_parent:
            try:
                session = session.branch()
            except WorkerLost as error:
                child.failure = error
                return child
            parent.users += 1
        else:
            parent.session = None
        self._begin(child, session, tokens)
        return child

    def release(self, context: Context) -> None:
        """Closes a context's session; tokens that nobody else holds are free."""
        if context.session is None:
            return
        context.session.close()
        context.session = None
        node: Context | None = context
        while node is not None:
            node.users -= 1
            if node.users:
                return
            self.kv_tokens -= len(node.appended)
            node = node.parent

    def _begin(self, context: Context, session: Session, tokens: Sequence[int]) -> None:
        self.kv_tokens += len(context.appended)
        self.fed += len(tokens)
        context.begin(session, tokens)


def _summed(row: LogProbs, order: ByteOrder) -> PrefixSums:
    sums = np.empty(len(order) + 1)
    order.prefix_sums(row, sums)
    return sums
