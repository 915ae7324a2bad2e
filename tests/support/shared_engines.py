"""One started engine for many tests, one after the other: for engines that take long to start."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from quorate.engines.contract import Engine, Session


class LentEngine:
    """An engine that outlives its borrower: what was opened through it is closed at the end.

    Everything but ``open`` and ``close`` is the engine's own.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sessions: list[Session] = []
        self._given_back = False
        self.closed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def open(self, tokens: int, branches: int = 0) -> LentSession:
        return self.lend(await self._engine.open(tokens, branches))

    async def close(self) -> None:
        self.closed = True
        await self._engine.close()

    def lend(self, session: Session) -> LentSession:
        self._sessions.append(session)
        # A task that the borrower left waiting in ``open`` gets its place now, and frees it.
        if self._given_back:
            session.close()
        return LentSession(session, self)

    def give_back(self) -> None:
        self._given_back = True
        for session in self._sessions:
            session.close()


class LentSession:
    """A session of a lent engine, which hears of the sessions made of it."""

    def __init__(self, session: Session, engine: LentEngine) -> None:
        self._session = session
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def branch(self) -> LentSession:
        return self._engine.lend(self._session.branch())


class SharedEngines:
    """Engines by name, each started when it is first lent and again after a borrower closed it."""

    def __init__(self) -> None:
        self._engines: dict[str, Engine] = {}

    @asynccontextmanager
    async def lent(
        self, name: str, start: Callable[[], Awaitable[Engine]]
    ) -> AsyncIterator[LentEngine]:
        if name not in self._engines:
            self._engines[name] = await start()
        engine = LentEngine(self._engines[name])
        # A borrower may have lost the worker.
        await engine.wait_ready()
        try:
            yield engine
        finally:
            engine.give_back()
            if engine.closed:
                await self._engines.pop(name).close()

    async def close(self) -> None:
        for engine in self._engines.values():
            await engine.close()
