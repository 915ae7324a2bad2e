"""The guides of all vocabularies that answers are constrained over."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Hashable
from hashlib import blake2b
from weakref import WeakValueDictionary

from quorate.clocks import since_boot
from quorate.engines.confinement.plan import Isolation
from quorate.engines.vocabulary import BYTES, Vocabulary
from quorate.errors import InvalidRequest, Overloaded
from quorate.guides.guide import Guide, GuideSession
from quorate.request.constraints import OutputConstraint
from quorate.threads import beside_loop

# A vocabulary's table takes some 50 MB.
_MOST_PROCESSES = 4
# What fits into a request mostly takes some milliseconds; whoever needs longer is refused.
_COMPILE_SECONDS = 1.0
# So many are tried at once, each in a process of its own, and nobody waits longer for that.
_TRIALS = 3
_WAIT_SECONDS = 15.0
_RETRY_SECONDS = 5.0
_REMEMBERED = 1024
_REFUSED_SECONDS = 900.0
_UNTRIED = InvalidRequest("constraint", "was not tried")


class Guides:
    """A guide for each vocabulary, as they are asked for; those nobody uses make room.

    A grammar is tried in a process that no running answer depends on, before it comes to others;
    one for each caller at a time. What was tried is remembered, as is what a process ended of.
    """

    def __init__(self, isolation: Isolation | None = None) -> None:
        self._isolation = isolation or Isolation()
        self._trials = [Guide(BYTES, self._isolation, _COMPILE_SECONDS) for _ in range(_TRIALS)]
        self._tried: OrderedDict[bytes, tuple[float, InvalidRequest | None]] = OrderedDict()
        self._turns: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()
        self._guides: dict[str, Guide] = {}
        self._ending: set[asyncio.Task[None]] = set()

    async def check(self, constraint: OutputConstraint | None, caller: Hashable) -> None:
        """Tries to compile a grammar, where there is one.

        Args:
            constraint: Has the grammar.
            caller: Whose it is; a caller's grammars are tried one after the other.

        Raises:
            InvalidRequest: It is wrong, needs what is not supported here, or takes too long.
            Overloaded: Too many are being tried.
            Unavailable: No process can be had.
        """
        if constraint is None:
            return
        name = _name(constraint)
        if self._knows(name):
            return
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await self._try(constraint, name, caller)
        except TimeoutError:
            problem = "too many constraints are being compiled; try again later"
            raise Overloaded(problem, _RETRY_SECONDS) from None

    async def _try(self, constraint: OutputConstraint, name: bytes, caller: Hashable) -> None:
        turn = self._turns.get(caller)
        if turn is None:
            turn = self._turns[caller] = asyncio.Lock()
        async with turn:
            if self._knows(name):
                return
            session = GuideSession(min(self._trials, key=lambda one: one.sessions), constraint)
            try:
                await session.begin()
                seen = await session.seen()
            except InvalidRequest as error:
                self._remember(name, error)
                raise
            finally:
                session.close()
            if not seen.complete and (seen.bits is None or not seen.bits.any()):
                nothing = InvalidRequest(constraint.kind.value, "matches no text at all")
                self._remember(name, nothing)
                raise nothing
            self._remember(name, None)

    async def open(self, constraint: OutputConstraint, vocabulary: Vocabulary) -> GuideSession:
        """Begins an answer over the symbols of a vocabulary; see ``Guide.open``.

        The constraint was tried before, see ``check``.
        """
        fingerprint = await beside_loop(lambda: vocabulary.fingerprint)
        return await self._guide(fingerprint, vocabulary).open(constraint)

    async def close(self) -> None:
        """Ends every process, for good. Idempotent."""
        guides = [*self._trials, *self._guides.values()]
        await asyncio.gather(*(guide.close() for guide in guides), *self._ending)

    def follows(self, constraint: OutputConstraint) -> bool:
        """Whether a grammar was tried, and can be followed."""
        _, error = self._tried.get(_name(constraint), (0.0, _UNTRIED))
        return error is None

    def _knows(self, name: bytes) -> bool:
        """Whether a grammar was tried.

        Raises:
            InvalidRequest: It was refused, not long ago.
        """
        at, error = self._tried.get(name, (0.0, None))
        if error is not None and since_boot() - at < _REFUSED_SECONDS:
            raise InvalidRequest(error.field, error.problem)
        return name in self._tried and error is None

    def _remember(self, name: bytes, error: InvalidRequest | None) -> None:
        self._tried[name] = since_boot(), error
        self._tried.move_to_end(name)
        while len(self._tried) > _REMEMBERED:
            self._tried.popitem(last=False)

    def _guide(self, name: str, vocabulary: Vocabulary) -> Guide:
        """That of a vocabulary, which is the one that was used last from now on."""
        guide = self._guides.pop(name, None) or Guide(vocabulary, self._isolation)
        self._guides[name] = guide
        for old, other in [*self._guides.items()]:
            if len(self._guides) <= _MOST_PROCESSES:
                break
            if other is not guide and not other.sessions:
                del self._guides[old]
                task = asyncio.create_task(other.close())
                self._ending.add(task)
                task.add_done_callback(self._ending.discard)
        return guide


def _name(constraint: OutputConstraint) -> bytes:
    """What a constraint is known by; nothing of it is kept."""
    text = f"{constraint.kind.value} {constraint.text}".encode(errors="replace")
    return blake2b(text, digest_size=32).digest()
