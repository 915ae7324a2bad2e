"""A changed configuration taken up by a service that runs: what can change live, and what cannot.

Nothing that runs or waits is ended. Everything is read and checked before anything is changed, so
that a faulty file changes nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from quorate.access.keys import KeyRing, KeySettings
from quorate.api.grpc.certificates import read_pair
from quorate.api.grpc.lifecycle import GrpcServer
from quorate.api.http.settings import HttpSettings
from quorate.dispatch import CallerLimits, Dispatcher
from quorate.errors import QuorateError
from quorate.settings import ModelSettings, Settings
from quorate.threads import beside_loop

if TYPE_CHECKING:
    from quorate.api.http.server import HttpServer

_DAY_SECONDS = 86_400.0
_TLS = ("tls_certificate", "tls_key")
_LIVE = ("profiles", "default_profile", "keys", "budgets")
_LIVE_SERVER = (*_TLS, "log_level")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Living:
    """The parts of a running service that take up changes."""

    dispatcher: Dispatcher
    server: GrpcServer
    keys: KeyRing
    http: HttpServer | None = None


class Reloader:
    """Takes up changes of the configuration.

    Args:
        settings: What the service was started with.
        load: Reads the configuration anew, as at the start; raises ``SettingsError``.
    """

    def __init__(self, settings: Settings, load: Callable[[], Settings], living: Living) -> None:
        self._settings = settings
        self._load = load
        self._living = living

    async def reload(self) -> None:
        """Reads the configuration and takes up what can be; what cannot is told in the log."""
        try:
            settings = await beside_loop(self._load)
            changed = await self._take_up(settings)
        except QuorateError as error:
            _log.error("the configuration was not read anew, the old one stays: %s", error.message)
            return
        _log.info("the configuration was read anew: %s", ", ".join(changed) or "nothing changed")
        fixed = list(fixed_changes(self._settings, settings))
        if fixed:
            _log.warning("these take effect at the next start: %s", ", ".join(fixed))
        self._settings = _with_fixed(self._settings, settings)

    async def _take_up(self, new: Settings) -> list[str]:
        """Changes what differs; returns what that was.

        Raises:
            SettingsError: A key's variable is not set, or the TLS files are no good.
        """
        old, living = self._settings, self._living
        keys = KeyRing(new.keys)
        server = living.server
        has_tls = bool(old.server.tls_certificate and new.server.tls_certificate)
        certificate = new.server.tls_certificate
        pair = await beside_loop(read_pair, certificate, new.server.tls_key) if has_tls else None
        http = living.http if old.http.tls_certificate and new.http.tls_certificate else None
        if http is not None:
            await beside_loop(http.replace_certificate, new.http)
        recorder = living.dispatcher.recorder
        now = time.time()
        other_budgets = new.budgets != old.budgets
        # Fills windows that are new.
        events = (
            await recorder.ledger.spent_since(now - _DAY_SECONDS)
            if other_budgets and recorder.ledger is not None
            else ()
        )
        # From here on nothing fails and nothing is waited for.
        if pair is not None:
            server.replace_certificate(certificate, pair)
        living.keys.replace(keys)
        living.dispatcher.change(new.profiles, new.default_profile, caller_limits(new.keys))
        server.set_required([model.id for model in new.models if model.required])
        if other_budgets:
            recorder.budgets.change(new.budgets, events, now)
        logging.getLogger().setLevel(new.server.log_level.upper())
        return list(_live_changes(old, new, tls=pair is not None, http_tls=http is not None))


def fixed_changes(old: Settings, new: Settings) -> Iterator[str]:
    """Names of the settings that differ and cannot change while the service runs."""
    for section in ("server", "dispatch"):
        before, after = getattr(old, section), getattr(new, section)
        for one in fields(before):
            if one.name in _LIVE_SERVER and not _turns_tls(old, new, one.name):
                continue
            if getattr(before, one.name) != getattr(after, one.name):
                yield f"server.{one.name}"
    if _plain(old.models) != _plain(new.models):
        yield "models"
    for section in ("routing", "energy", "fleet", "ledger", "remotes", "metrics", "traces"):
        if getattr(old, section) != getattr(new, section):
            yield section
    if old.http != _with_tls_of(new.http, old.http):
        yield "http"


def _turns_tls(old: Settings, new: Settings, name: str) -> bool:
    """Whether a setting turns TLS on or off, which a port that listens cannot do."""
    return name in _TLS and bool(getattr(old.server, name)) != bool(getattr(new.server, name))


def _with_tls_of(door: HttpSettings, other: HttpSettings) -> HttpSettings:
    """A door with the TLS files of another, unless that would turn TLS on or off."""
    if bool(door.tls_certificate) != bool(other.tls_certificate):
        return door
    return replace(door, tls_certificate=other.tls_certificate, tls_key=other.tls_key)


def _live_changes(old: Settings, new: Settings, tls: bool, http_tls: bool) -> Iterator[str]:
    for name in _LIVE:
        if getattr(old, name) != getattr(new, name):
            yield "server.default_profile" if name == "default_profile" else name
    if old.server.log_level != new.server.log_level:
        yield f"log level {new.server.log_level}"
    if tls:
        yield f"certificate {new.server.tls_certificate}"
    if http_tls:
        yield f"certificate {new.http.tls_certificate}"


def _plain(models: tuple[ModelSettings, ...]) -> list[ModelSettings]:
    """The models without what profiles make of them."""
    return [replace(model, required=False) for model in models]


def _with_fixed(old: Settings, new: Settings) -> Settings:
    """What is in force now: the new settings that are live, and of the others the old ones."""
    live = {name: getattr(new, name) for name in _LIVE}
    server = {
        name: getattr(new.server, name) for name in _LIVE_SERVER if not _turns_tls(old, new, name)
    }
    http = _with_tls_of(old.http, new.http)
    return replace(old, **live, server=replace(old.server, **server), http=http)


def caller_limits(keys: Mapping[str, KeySettings]) -> dict[str, CallerLimits]:
    """What each key may ask for, as the dispatcher takes it."""
    return {
        name: CallerLimits(
            key.weight, key.max_requests, key.requests_per_minute, key.tokens_per_minute
        )
        for name, key in keys.items()
    }
