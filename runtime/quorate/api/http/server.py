"""From a bound port to the end of the last answer."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from email.utils import formatdate

from starlette.types import ASGIApp
from uvicorn import Config
from uvicorn.server import ServerState

from quorate.access.keys import KeyRing
from quorate.access.record import ObserveCall
from quorate.api.http.application import application
from quorate.api.http.certificates import load_certificate, tls_context
from quorate.api.http.feeding import MOST_HEAD_BYTES, Feeds
from quorate.api.http.guard import Guard
from quorate.api.http.listening import Listening, OnLost
from quorate.api.http.protocol import LimitedProtocol
from quorate.api.http.settings import HttpSettings
from quorate.api.open_calls import OpenCalls
from quorate.api.reading import Reader
from quorate.dispatch import Dispatcher
from quorate.fleet.fleet import Fleet

# Between the news that the server stops and the moment the last connection is cut.
_LAST_WORDS_SECONDS = 0.5
_LOOK_SECONDS = 0.02


class HttpServer:
    """The server of the HTTP API.

    Start it once; ``stop`` may be called at any time, more than once.

    Args:
        dispatcher: Runs requests.
        fleet: Knows the models.
        settings: Where it listens, and what it allows.
        keys: Who may call.
        open_calls: Of each caller, over all doors.
        problem: Why the service is not healthy, or "".
        observe: Told of each request that ended.

    Attributes:
        address: ``HOST:PORT`` it listens on, with the port that the system chose where the settings
            say 0; "" before it does.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        fleet: Fleet,
        settings: HttpSettings,
        keys: KeyRing,
        open_calls: OpenCalls,
        problem: Callable[[], str],
        observe: ObserveCall = lambda *_: None,
    ) -> None:
        self.address = ""
        self._settings = settings
        self._reader = Reader(dispatcher.turns.enter)
        self._guard = Guard(
            keys,
            settings,
            open_calls,
            self._reader,
            dispatcher.turns,
            dispatcher.caller,
            observe,
        )
        self._app: ASGIApp = application(dispatcher, fleet, self._guard, problem)
        self._state = ServerState()
        self._listening: Listening | None = None
        self._clock: asyncio.TimerHandle | None = None
        self._tls: ssl.SSLContext | None = None

    async def start(self) -> None:
        """Listens and serves.

        Raises:
            SettingsError: The address cannot be bound, or the TLS files are no good.
        """
        settings = self._settings
        self._tls = tls_context(settings)
        config = Config(
            self._app,
            http=LimitedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            # What peers do wrong is told to them, and requests have lines of their own.
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=max(1, round(settings.idle_seconds)),
            h11_max_incomplete_event_size=MOST_HEAD_BYTES,
        )
        config.load()
        feeds = Feeds()

        def protocol(lost: OnLost) -> LimitedProtocol:
            return LimitedProtocol(
                settings, feeds, lost, config=config, server_state=self._state, app_state={}
            )

        self._listening = Listening(settings, protocol, self._tls)
        self._tell_time()
        self.address = f"{settings.listen.rpartition(':')[0]}:{self._listening.port}"

    async def stop(self) -> None:
        """Closes the port at once, and ends what is still running: its callers are told why."""
        if self._listening is None:
            return
        listening, self._listening = self._listening, None
        await listening.close()
        if self._clock is not None:
            self._clock.cancel()
        for connection in list(self._state.connections):
            connection.shutdown()
        self._guard.end_all()
        loop = asyncio.get_running_loop()
        until = loop.time() + _LAST_WORDS_SECONDS
        while (self._state.tasks or self._state.connections) and loop.time() < until:
            await asyncio.sleep(_LOOK_SECONDS)
        for connection in list(self._state.connections):
            connection.transport.abort()
        await listening.give_up()
        for task in list(self._state.tasks):
            task.cancel()
        if self._state.tasks:
            await asyncio.wait(list(self._state.tasks), timeout=_LAST_WORDS_SECONDS)
        self._reader.close()

    def replace_certificate(self, settings: HttpSettings) -> None:
        """Shows new connections another certificate, where there is TLS.

        Raises:
            SettingsError: The files are no good; the one before stays.
        """
        if self._tls is not None:
            tls_context(settings)
            load_certificate(self._tls, settings)

    def _tell_time(self) -> None:
        """Keeps the header of the date as it is, to the second."""
        now = time.time()
        self._state.default_headers = [(b"date", formatdate(now, usegmt=True).encode("ascii"))]
        self._clock = asyncio.get_running_loop().call_later(1.0 - now % 1.0, self._tell_time)
